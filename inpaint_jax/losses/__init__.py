"""Losses of the GAN, of images and of landmarks; each returns one number per image.

A new term of a search is a function here, and a `Term` in a module of its own in
`inpaint_jax/search`, as `structure_term`. A term of one's own needs neither, see
`inpaint_jax.complete`.
"""

from inpaint_jax.losses import adversarial, image, landmark

__all__ = ["adversarial", "image", "landmark"]
