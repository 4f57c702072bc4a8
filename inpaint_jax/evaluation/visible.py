"""Scores of what people look at first: open eyes, and a hole that is not blurred.

PSNR and SSIM prefer a blurred eye to a sharp one that is a pixel off. These scores
compare how much there is to see, not whether it is in the same pixels.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.landmarks import annotation

OPEN = 0.5
"""From this `eye_detail` on an eye looks open (experiments/evaluation/RESULTS.md)."""

_EYES = (annotation.RIGHT_EYE, annotation.LEFT_EYE)
# Half the width and height of the window around an eye, in distances of the eyes.
_WINDOW = (0.24, 0.14)
# Added on both sides of a ratio, so that a flat window as flat as the reference is 1.
_LEAST = 1e-4

_Grey = Float[Array, "batch height width"]


def sharpness(
    image: types.Image, reference: types.Image, region: types.Mask
) -> types.PerExample:
    """Compares the mean slope of the intensities in a region with a reference's.

    Args:
      image: `[batch, H, W, 3]` in [-1, 1].
      reference: the undamaged images, same shape.
      region: `[batch, H, W, 1]`, 1 where pixels count, as `1 - mask`.

    Returns:
      `[batch]`: 1 if as sharp, below if blurred, above if rough; NaN where the region
      is empty or the reference flat.
    """
    types.check_images(image=image, reference=reference, per_pixel={"region": region})
    return _slope(image, region[..., 0]) / _slope(reference, region[..., 0])


def eye_detail(
    image: types.Image, reference: types.Image, landmarks: annotation.Landmarks
) -> types.PerExample:
    """Compares contrast and slopes around the eyes with a reference's.

    In a window around each eye of the reference, the standard deviation of the
    intensities and their mean slope are divided by the reference's. The least of these
    four ratios is the score, as an eye needs both and a face needs two.

    Args:
      image: `[batch, H, W, 3]` in [-1, 1].
      reference: the undamaged images, same shape.
      landmarks: of the reference, `[batch, 68, 2]`, (x, y) in pixels.

    Returns:
      `[batch]`: 0 without eyes, 1 with such as the reference's; NaN if a landmark of an
      eye is.
    """
    types.check_images(image=image, reference=reference)
    ratios = []
    for eye in _EYES:
        window = _window(landmarks, eye, image.shape[1:3])
        ratios += [
            (measure(image, window) + _LEAST) / (measure(reference, window) + _LEAST)
            for measure in (_contrast, _slope)
        ]
    return jnp.min(jnp.stack(ratios), axis=0)


def _window(
    landmarks: annotation.Landmarks, eye: slice, size: tuple[int, ...]
) -> _Grey:
    """Weights of pixels around an eye: a parabola that falls to 0 at its edge."""
    middle = jnp.mean(landmarks[:, eye], axis=1)[:, None, None]
    half = annotation.eye_distance(landmarks)[:, None] * jnp.array([_WINDOW])
    place = jnp.stack(jnp.meshgrid(*map(jnp.arange, reversed(size))), axis=-1)
    offset = (place.astype(jnp.float32)[None] - middle) / half[:, None, None]
    return jnp.maximum(1.0 - jnp.sum(offset**2, axis=-1), 0.0)


def _contrast(image: types.Image, weights: _Grey) -> types.PerExample:
    grey = jnp.mean(image, axis=-1)
    mean = _mean(grey, weights)[:, None, None]
    return jnp.sqrt(_mean((grey - mean) ** 2, weights))


def _slope(image: types.Image, weights: _Grey) -> types.PerExample:
    """The weighted mean of the gradient's length, from differences of neighbours."""
    grey = jnp.mean(image, axis=-1)
    right = jnp.diff(grey, axis=2, append=grey[:, :, -1:])
    down = jnp.diff(grey, axis=1, append=grey[:, -1:])
    return _mean(jnp.sqrt(right**2 + down**2), weights)


def _mean(values: _Grey, weights: _Grey) -> types.PerExample:
    return jnp.sum(weights * values, axis=(1, 2)) / jnp.sum(weights, axis=(1, 2))
