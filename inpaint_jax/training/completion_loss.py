"""What a completion network minimises, the critics' part left out.

The pixels are compared with the true ones in the hole and in a band around it; so may
be the parts of the face that a fixed parser finds in the hole (Li et al. 2017).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from inpaint_jax import types
from inpaint_jax.models import face_completion

Parse = Callable[[types.Image], face_completion.ClassLogits]
"""Image -> logits of its parts."""


class Losses(NamedTuple):
    """The loss of each image and its parts.

    Attributes:
      total: what is minimised, `[batch]`.
      error: mean squared error in the hole, `[batch]`.
      parsing: cross entropy of the parser in the hole, `[batch]`; 0 without it.
    """

    total: types.PerExample
    error: types.PerExample
    parsing: types.PerExample


def compute(
    output: types.Image,
    image: types.Image,
    mask: types.Mask,
    *,
    parser: Parse | None,
    overlap: int,
    lambda_parsing: float,
) -> Losses:
    """Computes the loss of each image.

    Args:
      output: of the network, `[batch, H, W, 3]`.
      image: the true one, `[batch, H, W, 3]`.
      mask: `[batch, H, W, 1]`, 1 = known.
      parser: finds the parts; None if it has no weight.
      overlap: as in `weights`.
      lambda_parsing: weight of the parser's cross entropy.
    """
    hole = 1.0 - mask
    squared = jnp.mean((output - image) ** 2, axis=-1, keepdims=True)
    parsing = jnp.zeros(image.shape[0])
    if parser is not None:
        # Soft labels: what the parser finds in the true face.
        target = jax.lax.stop_gradient(jax.nn.softmax(parser(image)))
        # The parser sees the completed image, as the user will.
        logits = parser(jnp.where(mask > 0, image, output))
        cross_entropy = optax.softmax_cross_entropy(logits, target)
        parsing = _mean_over(cross_entropy[..., None], hole)
    weighted = weighted_error(output, image, mask, overlap=overlap)
    total = weighted + lambda_parsing * parsing
    return Losses(total, _mean_over(squared, hole), parsing)


def weighted_error(
    output: types.Image, image: types.Image, mask: types.Mask, *, overlap: int
) -> types.PerExample:
    """Computes the weighted squared error over all pixels with a weight.

    It is divided by the number of those pixels, not by the sum of their weights, so
    that the band around the hole does not make the hole count less. Where the hole
    counts little, the critics decide its colours, and they do not see the true ones.

    Args:
      output: of the network, `[batch, H, W, 3]`.
      image: the true one, `[batch, H, W, 3]`.
      mask: `[batch, H, W, 1]`, 1 = known.
      overlap: as in `weights`.

    Returns:
      `[batch]`.
    """
    weight = weights(mask, overlap=overlap)
    squared = jnp.mean((output - image) ** 2, axis=-1, keepdims=True)
    counted = jnp.sum(weight > 0, axis=(1, 2, 3), dtype=jnp.float32)
    return jnp.sum(weight * squared, axis=(1, 2, 3)) / jnp.maximum(counted, 1.0)


def weights(mask: types.Mask, *, overlap: int) -> types.ContextWeights:
    """Computes the weight of each pixel's error.

    Args:
      mask: `[batch, H, W, 1]`, 1 = known.
      overlap: width of the band around the hole, in pixels; 0: all pixels count alike.

    Returns:
      `[batch, H, W, 1]`: 1 in the hole, 10 in the band around it and 0 further away; 1
      everywhere without a band.
    """
    if overlap == 0:
        return jnp.ones_like(mask)
    side = 2 * overlap + 1
    window, stride = (1, side, side, 1), (1, 1, 1, 1)
    hole = 1.0 - mask
    near = jax.lax.reduce_window(hole, 0.0, jax.lax.max, window, stride, "SAME")
    return hole + 10.0 * mask * near


def _mean_over(values: types.Mask, weight: types.Mask) -> types.PerExample:
    total = jnp.sum(weight, axis=(1, 2, 3))
    return jnp.sum(weight * values, axis=(1, 2, 3)) / jnp.maximum(total, 1.0)
