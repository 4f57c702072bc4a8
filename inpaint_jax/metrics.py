"""Scores of completed images, one number per image out.

Images are in [-1, 1]; landmarks are (x, y) in pixels.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.landmarks import annotation

_RANGE = 2.0
_WINDOW, _SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03


def psnr(
    image: types.Image, reference: types.Image, region: types.Mask | None = None
) -> types.PerExample:
    """Computes the peak signal-to-noise ratio in dB.

    Args:
      image: `[batch, H, W, 3]`.
      reference: same shape.
      region: `[batch, H, W, 1]`, pixels with 1 count; all, if not given. `1 - mask`
        scores the hole alone.

    Returns:
      `[batch]`; infinite where the images agree, NaN where the region is empty.
    """
    error = (image - reference) ** 2
    if region is None:
        mean = jnp.mean(error, axis=(1, 2, 3))
    else:
        count = image.shape[-1] * jnp.sum(region, axis=(1, 2, 3))
        mean = jnp.sum(region * error, axis=(1, 2, 3)) / count
    return 10.0 * jnp.log10(_RANGE**2 / mean)


def ssim(image: types.Image, reference: types.Image) -> types.PerExample:
    """Computes the structural similarity of Wang et al. 2004, the mean over channels.

    Gaussian window of 11 pixels with sigma 1.5, windows inside the image only, as
    published.

    Args:
      image: `[batch, H, W, 3]`, H and W at least 11.
      reference: same shape.

    Returns:
      `[batch]`, at most 1.
    """
    # As published for intensities from 0: the luminance term is not one of differences.
    image, reference = image + 1.0, reference + 1.0
    c1, c2 = (_K1 * _RANGE) ** 2, (_K2 * _RANGE) ** 2
    mean_x, mean_y = _smooth(image), _smooth(reference)
    variance_x = _smooth(image**2) - mean_x**2
    variance_y = _smooth(reference**2) - mean_y**2
    covariance = _smooth(image * reference) - mean_x * mean_y
    luminance = (2.0 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2.0 * covariance + c2) / (variance_x + variance_y + c2)
    return jnp.mean(luminance * structure, axis=(1, 2, 3))


def nme(
    landmarks: annotation.Landmarks, truth: annotation.Landmarks
) -> types.PerExample:
    """Computes the normalised mean error of landmarks.

    The unit is the distance between the centres of the true eyes. Figures that were
    normalised by the outer corners of the eyes, which lie further apart, are smaller.

    Args:
      landmarks: (x, y) in pixels, `[batch, 68, 2]`.
      truth: same shape.

    Returns:
      `[batch]`: the mean Euclidean distance over that of the eyes; NaN where a
      coordinate is NaN.
    """
    distance = jnp.linalg.norm(landmarks - truth, axis=-1)
    return jnp.mean(distance, axis=1) / annotation.eye_distance(truth)


def _smooth(
    image: types.Image,
) -> Float[Array, "batch inner_height inner_width 3"]:
    offset = jnp.arange(_WINDOW, dtype=jnp.float32) - _WINDOW // 2
    window = jnp.exp(-0.5 * (offset / _SIGMA) ** 2)
    window = window / jnp.sum(window)
    valid = jax.vmap(lambda line: jnp.convolve(line, window, mode="valid"))

    def along_last(x):
        return valid(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)

    rows_last = jnp.moveaxis(along_last(jnp.moveaxis(image, 1, -1)), -1, 1)
    return jnp.moveaxis(along_last(jnp.moveaxis(rows_last, 2, -1)), -1, 2)
