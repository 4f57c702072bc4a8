"""Puts a completed face back into its photograph, at the photograph's resolution.

The completed face is small and the photograph is large, so the face was enlarged and
has neither the brightness of its surroundings nor their grain. Poisson blending (Perez
et al. 2003) mends the first: what is added to the face is harmonic in the hole and
meets the known pixels around it. It is solved from coarse to fine, as millions of
unknowns are too many for the solver of `blending.poisson`.

Where the hole reaches the edge of the face's frame, what lies beyond has nothing to do
with what was drawn there: the face meets it within a narrow band, and keeps its colours
elsewhere.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy import ndimage

from inpaint_jax.images import pixels

Picture = UInt8[np.ndarray, "height width 3"]
Face = UInt8[np.ndarray, "rows columns 3"]
Pixels = Bool[np.ndarray, "height width"]
Values = Float32[np.ndarray, "height width channels"]
Coarse = Float32[np.ndarray, "height_coarse width_coarse channels"]
CoarsePixels = Bool[np.ndarray, "height_coarse width_coarse"]

# How far the colours of a photograph of one tone are spread about it, in levels: JPEG
# rounds them, and a scanner's cast is not quite even.
_ONE_TONE = 3.0
_SAMPLES = 1 << 16  # pixels that tell a photograph's tone

_SWEEPS = 24  # of relaxation at each level
_SMALLEST = 3  # side up to which no coarser level is used


def insert(
    photograph: Picture,
    face: Picture,
    fill: Pixels,
    *,
    known: Pixels,
    beyond: Pixels | None = None,
    band: float = 1.0,
) -> Picture:
    """Fills pixels of a photograph with a face, blended into its surroundings.

    Args:
      photograph: uint8 `[H, W, 3]`.
      face: the completed face, as large as the photograph.
      fill: the pixels to be taken from the face.
      known: the pixels of the photograph that the face must fit; all others are
        neither looked at nor changed.
      beyond: known pixels that the face was not drawn to fit, as they lie outside of
        its frame; None if there are none.
      band: pixels within which the face meets those.

    Returns:
      uint8 `[H, W, 3]`; bit-equal to the photograph outside `fill`.
    """
    result = photograph.copy()
    parts, _ = ndimage.label(fill)  # pyright: ignore[reportGeneralTypeIssues]
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        # With the pixels around the part, which it must fit.
        box = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
        inside = parts[box] == number
        new, old = (x[box].astype(np.float32) for x in (face, photograph))
        around = known[box] & ~inside
        foreign = None if beyond is None else around & beyond[box]
        added = _correction(old - new, inside, around, foreign, band)
        result[box][inside] = pixels.rounded((new + added)[inside])
    return result


def _correction(
    wanted: Values, inside: Pixels, around: Pixels, foreign: Pixels | None, band: float
) -> Values:
    """What is added to a face: far from foreign pixels it follows from the others."""
    added = harmonic(wanted, inside, around)
    if foreign is None or not foreign.any():
        return added
    own = harmonic(wanted, inside, around & ~foreign)
    far: Any = ndimage.distance_transform_edt(~foreign)
    near = np.exp(-((far.astype(np.float32) / np.float32(band)) ** 2))[..., None]
    return own + near * (added - own)


def in_tone(face: Face, photograph: Picture, *, known: Pixels) -> Face:
    """Takes the colours from a face if its photograph has none.

    A grey photograph may be stored in colours that are rounded, or with a cast.

    Args:
      face: uint8 `[rows, columns, 3]`, the completed face.
      photograph: uint8 `[H, W, 3]`.
      known: the pixels of the photograph that are looked at.

    Returns:
      The face, or its grey levels with the photograph's cast.
    """
    step = max(1, round((known.size / _SAMPLES) ** 0.5))
    part = np.s_[::step, ::step]
    seen = photograph[part][known[part]].astype(np.float32)
    colours = seen - seen.mean(axis=1, keepdims=True)
    if not len(seen) or colours.std(axis=0).max() > _ONE_TONE:
        return face
    grey = face.astype(np.float32).mean(axis=-1, keepdims=True)
    return pixels.rounded(grey + colours.mean(axis=0))


def harmonic(values: Values, unknown: Pixels, known: Pixels) -> Values:
    """Extends values harmonically: each unknown one is the mean of its neighbours.

    Neighbours that are neither known nor unknown do not count, nor do those beyond the
    edge. Where no known pixel is connected the result is 0.

    Args:
      values: `[H, W, channels]`; used at the known pixels only.
      unknown: where to extend.
      known: the pixels with values; none may be unknown as well.

    Returns:
      `[H, W, channels]`: the values, and 0 where a pixel is neither.
    """
    values = np.where(known[..., None], values, np.float32(0.0))
    if max(unknown.shape) > _SMALLEST and unknown.any():
        coarse = harmonic(*_coarser(values, unknown, known))
        zoom: Any = ndimage.zoom  # which it is declared to return is much wider
        finer = zoom(coarse, (2, 2, 1), order=1, grid_mode=True, mode="nearest")
        finer = finer[: unknown.shape[0], : unknown.shape[1]]
        values = np.where(unknown[..., None], finer, values)
    return _relaxed(values, unknown, unknown | known)


def _coarser(
    values: Values, unknown: Pixels, known: Pixels
) -> tuple[Coarse, CoarsePixels, CoarsePixels]:
    """Halves the problem: a cell with a known pixel is known, by the mean of those."""
    weights = known[..., None].astype(np.float32)
    count = _cells(weights)
    mean = _cells(values * weights) / np.maximum(count, np.float32(1.0))
    coarse_known = count[..., 0] > 0
    coarse_unknown = _cells(unknown[..., None].astype(np.float32))[..., 0] > 0
    return mean, coarse_unknown & ~coarse_known, coarse_known


def _cells(x: Values) -> Coarse:
    """Sums over cells of 2 x 2 pixels; an odd side is filled up with zeros."""
    x = np.pad(x, ((0, x.shape[0] % 2), (0, x.shape[1] % 2), (0, 0)))
    height, width, channels = x.shape
    return x.reshape(height // 2, 2, width // 2, 2, channels).sum(axis=(1, 3))


def _relaxed(values: Values, unknown: Pixels, counted: Pixels) -> Values:
    """Replaces the unknown values by the means of their neighbours, many times.

    Half of them at a time, as on a chessboard (red-black Gauss-Seidel).
    """
    neighbours = np.maximum(_neighbours(counted[..., None].astype(np.float32)), 1.0)
    rows, columns = np.indices(unknown.shape)
    halves = [unknown & ((rows + columns) % 2 == parity) for parity in (0, 1)]
    for _ in range(_SWEEPS):
        for half in halves:
            means = _neighbours(values) / neighbours
            values = np.where(half[..., None], means, values)
    return values


def _neighbours(x: Values) -> Values:
    """Sums each pixel's four neighbours."""
    total = np.zeros_like(x)
    total[1:] += x[:-1]
    total[:-1] += x[1:]
    total[:, 1:] += x[:, :-1]
    total[:, :-1] += x[:, 1:]
    return total
