"""Losses of the GAN, of images and of landmarks; each returns one number per image.

A new term of a search is a function here, a field of `LossTerms` in
`inpaint_jax/search/objective.py`, and its weight in `Settings`. A term of one's own
needs neither, see `inpaint_jax.complete`.
"""

from inpaint_jax.losses import adversarial, image, landmark

__all__ = ["adversarial", "image", "landmark"]
