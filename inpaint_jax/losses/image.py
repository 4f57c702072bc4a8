"""Losses of a search on images: context (eqs. 15, 16), prior (eq. 19), structure."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from inpaint_jax import types
from inpaint_jax.losses import adversarial


def context_weights(mask: types.Mask, *, window: int = 7) -> types.ContextWeights:
    """Computes for each known pixel how much of its window is hole (eq. 15).

    The weight is the fraction of unknown pixels among the neighbours N(i), the pixel
    itself included, that lie inside the image. Eq. 15 of the thesis prints the
    condition for M_j where it means M_i, as in eq. 3 of Yeh et al. 2017.

    Args:
      mask: `[batch, H, W, 1]`, 1 = known.
      window: side of the square neighbourhood, odd.

    Returns:
      `[batch, H, W, 1]` in [0, 1]; 0 in the hole.
    """
    if window % 2 == 0 or window < 1:
        raise ValueError(f"window must be odd and positive, got {window}")
    if mask.ndim != 4 or mask.shape[-1] != 1:
        raise ValueError(f"mask: is {list(mask.shape)}; give [batch, H, W, 1].")

    rows, columns = mask.shape[1:3]
    # A wider window sees nothing more, and would take as long as it is wide.
    window = min(window, 2 * max(rows, columns) - 1)
    unknown = _window_sum(_window_sum(1.0 - mask, window, axis=1), window, axis=2)
    neighbours = _in_window(rows, window)[:, None] * _in_window(columns, window)[None]
    return mask * unknown / neighbours[None, ..., None]


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
      image: the damaged images, same shape; any value with weight 0 is ignored, also
        NaN.
      weights: `context_weights` (eq. 15), `[batch, H, W, 1]`.
      normalised: divide by the sum of the weights over pixels and channels. The plain
        sum grows with the number of weighted pixels, twelvefold between the usual
        masks, which changes the balance with the other terms.

    Returns:
      `[batch]`: the L1 norm of weights * (generated - image).
    """
    types.check_images(generated=generated, image=image, per_pixel={"weights": weights})
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
      saturating: use log(1 - D(G(z))), as in the paper, in place of -log D(G(z)), as in
        the authors' code. Both have the same minimiser.

    Returns:
      `[batch]`.
    """
    return adversarial.generator(fake_logits, saturating=saturating)


def structure(
    generated: types.Image,
    expected: types.Image,
    weights: Float[jax.Array, "batch height width 1"],
    *,
    blur: int = 1,
) -> types.PerExample:
    """Computes how far faces are from what is expected in the hole, seen from afar.

    Args:
      generated: G(z), `[batch, H, W, 3]`.
      expected: what the hole should look like, same shape; any value with weight 0 is
        ignored.
      weights: `[batch, H, W, 1]` in [0, 1]; 0 at known pixels.
      blur: side of the square, odd, over which the weighted difference is averaged.

    Returns:
      `[batch]`: the mean absolute averaged difference over the hole and its colours.
    """
    types.check_images(
        generated=generated, expected=expected, per_pixel={"weights": weights}
    )
    if blur % 2 == 0 or blur < 1:
        raise ValueError(f"blur must be odd and positive, got {blur}")
    difference = jnp.where(weights > 0, weights * (generated - expected), 0.0)
    if blur > 1:
        total = _window_sum(_window_sum(difference, blur, axis=1), blur, axis=2)
        difference = jnp.where(weights > 0, total / blur**2, 0.0)
    hidden = jnp.sum(jnp.where(weights > 0, 1.0, 0.0), axis=(1, 2, 3))
    total = jnp.sum(jnp.abs(difference), axis=(1, 2, 3))
    return total / jnp.maximum(generated.shape[-1] * hidden, 1.0)


def _window_sum(
    x: Float[jax.Array, "batch height width channels"], window: int, *, axis: int
) -> Float[jax.Array, "batch height width channels"]:
    size = tuple(window if i == axis else 1 for i in range(4))
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, size, (1, 1, 1, 1), "SAME")


def _in_window(length: int, window: int) -> Float[np.ndarray, " length"]:
    # The number of pixels of a window around each place that lie inside the line.
    place, reach = np.arange(length), window // 2
    count = np.minimum(place + reach, length - 1) - np.maximum(place - reach, 0) + 1
    return count.astype(np.float32)
