"""Scores of completed images; each returns one number per image.

Images are in [-1, 1]; landmarks are (x, y) in pixels. Differences of intensity (`l1`,
`seam`) are in units of the whole range: from black to white is 1.
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
      region: `[batch, H, W, 1]`, 1 where pixels count; None for all. `1 - mask` scores
        the hole alone.

    Returns:
      `[batch]`; infinite where the images agree, NaN where the region is empty.
    """
    types.check_images(image=image, reference=reference, per_pixel={"region": region})
    mean = _mean((image - reference) ** 2, region)
    return 10.0 * jnp.log10(_RANGE**2 / mean)


def l1(
    image: types.Image, reference: types.Image, region: types.Mask
) -> types.PerExample:
    """Computes the mean absolute difference of the pixels in a region.

    Args:
      image: `[batch, H, W, 3]`.
      reference: same shape.
      region: `[batch, H, W, 1]`, 1 where pixels count.

    Returns:
      `[batch]`, 0 to 1, where 1 is the distance from black to white; NaN where the
      region is empty.
    """
    types.check_images(image=image, reference=reference, per_pixel={"region": region})
    return _mean(jnp.abs(image - reference), region) / _RANGE


def seam(
    completed: types.Image, original: types.Image, mask: types.Mask
) -> types.PerExample:
    """Computes the error of the intensity steps across the border of the hole.

    A step is the difference between a hole pixel and a known pixel beside, above or
    below it. The score is the mean, over all such pairs and the channels, of the
    absolute difference between the step in the completion and the step in the original.
    So an edge of the original that crosses the border is no error, and its absence is.

    If the known pixels equal the original's, as after `blending`, the error of a step
    is the error of its hole pixel: the score is then the mean absolute error of the
    outermost pixels of the hole, each counted once for each known neighbour.

    Args:
      completed: `[batch, H, W, 3]`.
      original: same shape.
      mask: `[batch, H, W, 1]`, 1 = known.

    Returns:
      `[batch]`, 0 (the original) to 2, where 1 is the step from black to white; NaN if
      there is no border.
    """
    types.check_images(completed=completed, original=original, per_pixel={"mask": mask})
    change = (completed - original) / _RANGE
    total, pairs = 0.0, 0.0
    for axis in (1, 2):
        # The difference of steps is the step of the difference.
        step = jnp.abs(jnp.diff(change, axis=axis))
        crosses = jnp.abs(jnp.diff(mask, axis=axis))
        total += jnp.sum(crosses * step, axis=(1, 2, 3))
        pairs += change.shape[-1] * jnp.sum(crosses, axis=(1, 2, 3))
    return total / pairs


def ssim(
    image: types.Image, reference: types.Image, *, region: types.Mask | None = None
) -> types.PerExample:
    """Computes the structural similarity of Wang et al. 2004, the mean over channels.

    As published, it uses Gaussian windows of 11 pixels with sigma 1.5 that lie inside
    the image.

    Args:
      image: `[batch, H, W, 3]`, H and W at least 11.
      reference: same shape.
      region: `[batch, H, W, 1]`, 1 where the centre of a window must lie; None for
        anywhere.

    Returns:
      `[batch]`, at most 1; NaN where no window inside the image has its centre in the
      region.
    """
    types.check_images(image=image, reference=reference, per_pixel={"region": region})
    if min(image.shape[1:3]) < _WINDOW:
        raise ValueError(
            f"image: is {list(image.shape)}; give at least {_WINDOW} x {_WINDOW} "
            "pixels."
        )
    # The formula is for intensities from 0: its luminance term depends on the origin.
    image, reference = image + 1.0, reference + 1.0
    c1, c2 = (_K1 * _RANGE) ** 2, (_K2 * _RANGE) ** 2
    mean_x, mean_y = _smooth(image), _smooth(reference)
    variance_x = _smooth(image**2) - mean_x**2
    variance_y = _smooth(reference**2) - mean_y**2
    covariance = _smooth(image * reference) - mean_x * mean_y
    luminance = (2.0 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2.0 * covariance + c2) / (variance_x + variance_y + c2)
    if region is not None:
        inner = slice(_WINDOW // 2, -(_WINDOW // 2))
        region = region[:, inner, inner]
    return _mean(luminance * structure, region)


def nme(
    landmarks: annotation.Landmarks | annotation.FivePoints,
    truth: annotation.Landmarks | annotation.FivePoints,
) -> types.PerExample:
    """Computes the normalised mean error (NME) of landmarks.

    It is normalised by the distance between the centres of the true eyes. Errors that
    are normalised by the outer corners of the eyes, which lie further apart, are
    smaller.

    Args:
      landmarks: (x, y) in pixels, `[batch, 68, 2]` or `[batch, 5, 2]`.
      truth: same shape.

    Returns:
      `[batch]`: mean Euclidean error over the distance between the eyes; NaN if a
      coordinate is NaN.

    Raises:
      ValueError: the shapes differ.
    """
    types.check_alike(landmarks=landmarks, truth=truth)
    distance = jnp.linalg.norm(landmarks - truth, axis=-1)
    return jnp.mean(distance, axis=1) / annotation.eye_distance(truth)


def identity_distance(
    embedding: Float[Array, "batch numbers"], reference: Float[Array, "batch numbers"]
) -> types.PerExample:
    """Computes the distance between two faces' embeddings, see `landmarks.embedding`.

    Args:
      embedding: of one face, `[batch, numbers]`.
      reference: of the other face, same shape.

    Returns:
      `[batch]`: the Euclidean distance, below about 0.6 for two pictures of one person
      (King 2017); NaN where a number is NaN.

    Raises:
      ValueError: the shapes differ.
    """
    types.check_alike(embedding=embedding, reference=reference)
    return jnp.linalg.norm(embedding - reference, axis=-1)


def _mean(
    values: Float[Array, "batch height width channels"], region: types.Mask | None
) -> types.PerExample:
    if region is None:
        return jnp.mean(values, axis=(1, 2, 3))
    count = values.shape[-1] * jnp.sum(region, axis=(1, 2, 3))
    return jnp.sum(region * values, axis=(1, 2, 3)) / count


def _smooth(
    image: types.Image,
) -> Float[Array, "batch inner_height inner_width 3"]:
    offset = jnp.arange(_WINDOW, dtype=jnp.float32) - _WINDOW // 2
    window = jnp.exp(-0.5 * (offset / _SIGMA) ** 2)
    window = window / jnp.sum(window)
    valid = jax.vmap(lambda line: jnp.convolve(line, window, mode="valid"))

    def along_last(x: Float[Array, "*lines length"]) -> Float[Array, "*lines inner"]:
        return valid(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)

    rows_last = jnp.moveaxis(along_last(jnp.moveaxis(image, 1, -1)), -1, 1)
    return jnp.moveaxis(along_last(jnp.moveaxis(rows_last, 2, -1)), -1, 2)
