"""What it costs a completer to redraw a damaged face badly, critics apart.

Its pixels are compared with the true ones, in the hole and in a band around it, and so
may be the parts of the face that a fixed parser sees in the hole (Li et al. 2017).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.models import face_completion

Parse = Callable[[types.Image], face_completion.ClassLogits]
"""Image -> logits of its parts."""


class Filled(NamedTuple):
    """How well holes were filled.

    Attributes:
      error: mean squared error in the hole, `[batch]`.
      parsing: cross entropy of the parser in the hole, `[batch]`; 0 without it.
    """

    error: types.PerExample
    parsing: types.PerExample


def gradient(
    drawn: types.Image,
    image: types.Image,
    mask: types.Mask,
    *,
    parser: Parse | None,
    overlap: int,
    lambda_parsing: float,
) -> tuple[types.Image, Filled]:
    """Computes the gradient of the mean cost by the drawn images.

    Args:
      drawn: `[batch, H, W, 3]`.
      image: the true one, `[batch, H, W, 3]`.
      mask: `[batch, H, W, 1]`, 1 = known.
      parser: what sees the parts; None if it has no weight.
      overlap: as in `weights`.
      lambda_parsing: weight of the parser's cross entropy.

    Returns:
      The gradient, and the parts of the cost.
    """
    hole = 1.0 - mask

    def objective(drawn: types.Image) -> tuple[Float[Array, ""], Filled]:
        squared = jnp.mean((drawn - image) ** 2, axis=-1, keepdims=True)
        each = weighted_error(drawn, image, mask, overlap=overlap)
        parsing = jnp.zeros(image.shape[0])
        if parser is not None:
            # The parts of the true face, as sure as the parser is of them.
            target = jax.nn.softmax(parser(image))
            # Seen by the parser as the user will see it.
            logits = parser(jnp.where(mask > 0, image, drawn))
            entropy = optax.softmax_cross_entropy(logits, target)
            parsing = _mean_over(entropy[..., None], hole)
        cost = each + lambda_parsing * parsing
        return jnp.mean(cost), Filled(_mean_over(squared, hole), parsing)

    return jax.grad(objective, has_aux=True)(drawn)


def weighted_error(
    drawn: types.Image, image: types.Image, mask: types.Mask, *, overlap: int
) -> types.PerExample:
    """Computes the weighted squared error over all pixels that count.

    It is divided by the number of those pixels, not by the sum of their weights: the
    band around the hole then counts more, but the hole not less. Where the hole counts
    little, the critics decide its colours, and they know no true ones.

    Args:
      drawn: `[batch, H, W, 3]`.
      image: the true one, `[batch, H, W, 3]`.
      mask: `[batch, H, W, 1]`, 1 = known.
      overlap: as in `weights`.

    Returns:
      `[batch]`.
    """
    weight = weights(mask, overlap=overlap)
    squared = jnp.mean((drawn - image) ** 2, axis=-1, keepdims=True)
    counted = jnp.sum(weight > 0, axis=(1, 2, 3), dtype=jnp.float32)
    return jnp.sum(weight * squared, axis=(1, 2, 3)) / jnp.maximum(counted, 1.0)


def weights(mask: types.Mask, *, overlap: int) -> types.ContextWeights:
    """Weighs the pixels of the redrawing loss.

    Args:
      mask: `[batch, H, W, 1]`, 1 = known.
      overlap: width of the band around the hole, in pixels; 0: all pixels count alike.

    Returns:
      `[batch, H, W, 1]`: in the hole 1, around it 10, further away 0; or 1 everywhere.
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
