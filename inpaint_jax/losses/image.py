"""Losses of a search that need no landmarks: context (eq. 16) and prior (eq. 19)."""

import jax.numpy as jnp

from inpaint_jax import types
from inpaint_jax.losses import adversarial


def context(
    generated: types.Image,
    image: types.Image,
    weights: types.ContextWeights,
    *,
    normalised: bool = False,
) -> types.PerExample:
    """Computes the weighted context loss (eq. 16; eq. 4, Yeh et al. 2017).

    Args:
      generated: G(z), `[batch, H, W, 3]`.
      image: the damaged image; where the weight is 0 it may hold anything, even NaN.
      weights: `masks.context_weights` (eq. 15), `[batch, H, W, 1]`.
      normalised: divide by the sum of the weights over pixels and channels. The plain
        sum grows with the number of pixels that a mask makes count, twelvefold between
        the usual masks, and with it the balance to the other terms.

    Returns:
      `[batch]`: the L1 norm of weights * (generated - image).
    """
    image = jnp.where(weights > 0, image, 0.0)
    difference = jnp.sum(weights * jnp.abs(generated - image), axis=(1, 2, 3))
    if normalised:
        total = generated.shape[-1] * jnp.sum(weights, axis=(1, 2, 3))
        difference = difference / jnp.maximum(total, 1e-6)
    return difference


def prior(fake_logits: types.Logits, *, saturating: bool = False) -> types.PerExample:
    """Computes the prior loss without its weight (eq. 19 of the thesis).

    Args:
      fake_logits: `[batch]`, D's logits of the generated images.
      saturating: log(1 - D(G(z))), as the paper prints it; otherwise -log D(G(z)), as
        the authors' code has it. They have the same minimiser.

    Returns:
      `[batch]`.
    """
    return adversarial.generator(fake_logits, saturating=saturating)
