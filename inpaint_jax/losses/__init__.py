"""Losses of the GAN, of images and of landmarks; each returns one number per image."""

from inpaint_jax.losses import adversarial, image, landmark

__all__ = ["adversarial", "image", "landmark"]
