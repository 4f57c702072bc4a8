"""Losses, each `[batch]`: of the GAN, of images, of landmarks."""

from inpaint_jax.losses import adversarial, image, landmark

__all__ = ["adversarial", "image", "landmark"]
