"""Fills the hole of a photograph smoothly from around it, for detectors of faces."""

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8


def fill(
    picture: UInt8[np.ndarray, "height width 3"],
    hole: Bool[np.ndarray, "height width"],
) -> UInt8[np.ndarray, "height width 3"]:
    """Fills a hole with colours that change slowly and continue those around it.

    Known pixels are averaged to coarser and coarser grids until none has a hole, which
    is then filled from the coarse to the fine: "push-pull", Gortler et al. 1996.

    Args:
      picture: RGB bytes; any colour in the hole.
      hole: True in the hole, not everywhere.

    Returns:
      The picture, equal outside the hole.
    """
    if not hole.any():
        return picture
    # What lies farther from the hole than it is long hardly matters.
    rows, columns = np.nonzero(hole)
    cut = _surroundings(rows), _surroundings(columns)
    known, part = ~hole[cut][:, :, None], picture[cut]
    if not known.any():
        return picture
    filled = _fill(np.where(known, part, 0).astype(np.float32), known)
    result = picture.copy()
    result[cut] = np.where(known, part, np.round(filled).astype(np.uint8))
    return result


def _surroundings(hidden: Int[np.ndarray, " pixels"]) -> slice:
    first, last = int(hidden.min()), int(hidden.max())
    reach = last - first + 8
    return slice(max(0, first - reach), last + reach)


def _fill(
    colour: Float[np.ndarray, "height width 3"],
    known: Float[np.ndarray, "height width 1"] | Bool[np.ndarray, "height width 1"],
) -> Float[np.ndarray, "height width 3"]:
    """Blends colours by how far each is known with those of the next coarser grid."""
    height, width = colour.shape[:2]
    share = known.astype(np.float32)
    if share.all() or max(height, width) == 1:
        return colour
    total, weight = _sums(colour * share), _sums(share)
    mean = total / np.maximum(weight, 1e-6)
    coarse = _fill(mean, np.minimum(weight, 1.0))
    return share * colour + (1 - share) * _double(coarse)[:height, :width]


def _sums(values: Float[np.ndarray, "height width c"]) -> Float[np.ndarray, "h w c"]:
    """Sums of 2 x 2 pixels; odd sizes are continued by zeros."""
    height, width = values.shape[:2]
    even = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)))
    rows = even[::2] + even[1::2]
    return rows[:, ::2] + rows[:, 1::2]


def _double(values: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "height width c"]:
    """Twice as many pixels along each side, by linear interpolation."""
    for axis in (0, 1):
        edges = [(1, 1) if each == axis else (0, 0) for each in range(3)]
        padded = np.moveaxis(np.pad(values, edges, mode="edge"), axis, 0)
        before = 0.75 * padded[1:-1] + 0.25 * padded[:-2]
        after = 0.75 * padded[1:-1] + 0.25 * padded[2:]
        both = np.stack([before, after], axis=1).reshape(-1, *before.shape[1:])
        values = np.moveaxis(both, 0, axis)
    return values
