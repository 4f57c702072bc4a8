"""Similarities between a photograph and the square frame in which the model sees faces.

A point is (x, y) in pixels; the centre of the first pixel is (0, 0). Everything is
NumPy and Pillow on the host. A photograph of 48 megapixels is never copied as floats:
what the frame does not show is cut off first, and the rest is reduced, channel by
channel.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from inpaint_jax.images import framing
from inpaint_jax.images.similarities import Similarity as Similarity
from inpaint_jax.images.similarities import corners as corners
from inpaint_jax.images.similarities import distance as distance
from inpaint_jax.images.similarities import fit as fit

Box = tuple[int, int, int, int]
"""(left, top, right, bottom): edges of pixels, so that right - left is the width."""

_BICUBIC = Image.Resampling.BICUBIC
# A photograph is reduced by a whole number before it is turned, but to no fewer pixels
# than this along the side of a pixel of the frame.
_FINE = 4
# Pixels that a bicubic filter sees to each side.
_MARGIN = 2

_TEMPLATE = """
-43.5 5.1   -43.1 16.2   -41.8 27.1   -39.7 37.9   -36 47.8   -29.6 56.2
-21.3 62.3   -11.3 65.9   0 66.4   11.3 65.9   21.3 62.3   29.6 56.2
36 47.8   39.7 37.9   41.8 27.1   43.1 16.2   43.5 5.1   -35.5 -4.5
-29.8 -8.8   -22.3 -9.8   -14.8 -8.6   -7.6 -5.4   7.6 -5.4   14.8 -8.6
22.3 -9.8   29.8 -8.8   35.5 -4.5   0 3.3   0 11   0 18.7
0 26.3   -8.3 31.1   -4.3 32.5   0 33.8   4.3 32.5   8.3 31.1
-27 4.3   -22.3 1.5   -16.4 1.6   -11.6 5.5   -17 6.6   -22.7 6.4
11.6 5.5   16.4 1.6   22.3 1.5   27 4.3   22.7 6.4   17 6.6
-17.4 44.3   -11.2 41.9   -4.7 40.6   0 41.8   4.7 40.6   11.2 41.9
17.4 44.3   11.5 50.2   5.1 52.6   0 53.1   -5.1 52.6   -11.5 50.2
-15 44.7   -4.8 44.4   0 44.9   4.8 44.4   15 44.7   4.9 46.9
0 47.4   -4.9 46.9
"""
TEMPLATE: Float[np.ndarray, "68 2"] = np.array(_TEMPLATE.split(), float).reshape(68, 2)
"""The 68 landmarks of a mean face: (x, y) in CelebA pixels from the frame's centre.

dlib's points of 24,000 aligned CelebA pictures, averaged with those of their mirror
images.
"""


def central(height: int, width: int, *, crop: int, size: int) -> Similarity:
    """Returns the similarity to the square that `framing.frame` cuts out of a picture.

    Args:
      height: of the picture in pixels.
      width: of the picture in pixels.
      crop: side of the square in CelebA pixels, for aligned CelebA pictures.
      size: side of the frame in pixels.
    """
    side = framing.crop_side(height, width, crop=crop)
    scale = size / side
    corner = np.array([(width - side) // 2, (height - side) // 2])
    # The corner of a pixel lies half a pixel before its centre.
    shift = scale * (0.5 - corner) - 0.5
    return Similarity(np.column_stack([scale * np.eye(2), shift]))


def template(*, crop: int, size: int) -> Float[np.ndarray, "68 2"]:
    """Returns where the 68 landmarks of a mean face lie in the frame.

    Args:
      crop: side of the frame in CelebA pixels.
      size: side of the frame in pixels.
    """
    return (TEMPLATE + crop / 2) * size / crop - 0.5


def frame_box(similarity: Similarity, shape: tuple[int, ...], *, size: int) -> Box:
    """Returns the box of a photograph that holds all that the frame shows of it.

    Args:
      similarity: from the photograph to the frame.
      shape: (height, width, ...) of the photograph.
      size: side of the frame in pixels.

    Returns:
      The box, within the photograph; empty (left = right) if they do not meet.
    """
    limits = np.array([shape[1], shape[0]])
    edges = similarity.inverse.apply(corners(size)) + 0.5
    # A corner that is a whole number but for rounding is that number.
    first = np.floor(edges.min(axis=0) + 1e-6).clip(0, limits).astype(int)
    last = np.ceil(edges.max(axis=0) - 1e-6).clip(first, limits).astype(int)
    return int(first[0]), int(first[1]), int(last[0]), int(last[1])


def outside(
    similarity: Similarity, shape: tuple[int, ...], *, size: int
) -> Bool[np.ndarray, "size size"]:
    """Returns which pixels of the frame have their centre outside the photograph."""
    rows, columns = np.mgrid[:size, :size].astype(np.float64)
    x, y = np.moveaxis(similarity.inverse.apply(np.stack([columns, rows], -1)), -1, 0)
    height, width = shape[:2]
    return (x < -0.5) | (y < -0.5) | (x >= width - 0.5) | (y >= height - 0.5)


def to_frame(
    picture: UInt8[np.ndarray, "height width channels"],
    similarity: Similarity,
    *,
    size: int,
) -> UInt8[np.ndarray, "size size channels"]:
    """Draws what the frame shows of a photograph.

    The filter is that of `framing.frame`, bicubic, widened where it shrinks: an
    unrotated square within the photograph comes out as there, bit by bit. Outside the
    photograph the colour is that of its nearest pixel.

    Args:
      picture: bytes.
      similarity: from the photograph to the frame.
      size: side of the frame in pixels.
    """
    planes = [
        _plane_to_frame(picture[:, :, channel], similarity, size)
        for channel in range(picture.shape[2])
    ]
    return np.stack(planes, axis=-1)


def to_photograph(
    image: UInt8[np.ndarray, "size size channels"]
    | Float[np.ndarray, "size size channels"],
    similarity: Similarity,
    *,
    box: Box,
) -> np.ndarray:
    """Draws the frame's picture where it lies in the photograph, by bicubic filtering.

    Args:
      image: the frame's picture, bytes or float32.
      similarity: from the photograph to the frame.
      box: of the photograph, as from `frame_box`.

    Returns:
      `[bottom - top, right - left, channels]` of the type of `image`; the frame's edges
      are continued to all sides.
    """
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    shifted = similarity.after(_scaled(1.0, left, top))
    # A frame finer than the photograph is drawn several times as large, then reduced.
    times = max(1, round(similarity.scale))
    fine = shifted.after(_scaled(1 / times, *[(1 / times - 1) / 2] * 2))
    shape = (times * height, times * width)
    planes = [
        np.asarray(_transform(image[:, :, channel], fine, shape).reduce(times))
        for channel in range(image.shape[2])
    ]
    return np.stack(planes, axis=-1).astype(image.dtype)


def hole_to_frame(
    hole: Bool[np.ndarray, "height width"], similarity: Similarity, *, size: int
) -> Bool[np.ndarray, "size size"]:
    """Returns the frame's pixels of which any part lies in the hole.

    None is missed. One more may be marked if the hole ends within an eighth of a pixel
    beside it and the similarity rotates, or if it shrinks more than 32 times.

    Args:
      hole: True in the hole.
      similarity: from the photograph to the frame.
      size: side of the frame in pixels.
    """
    aligned = np.abs(similarity.matrix[:, 0]).min() <= 1e-9 * similarity.scale
    parts = 1 if aligned else 4
    left, top, right, bottom = frame_box(similarity, hole.shape, size=size)
    if left == right or top == bottom:
        return np.zeros((size, size), bool)
    by = max(1, int(1 / (16 * similarity.scale)))
    part = any_of_blocks(hole[top:bottom, left:right], by)
    # Each pixel, or each sixteenth of it, by the upright box around it.
    centres = (np.arange(size * parts) + 0.5) / parts - 0.5
    grid = np.stack(np.meshgrid(centres, centres), axis=-1)
    x, y = np.moveaxis(similarity.inverse.apply(grid) + 0.5, -1, 0)
    turned = np.abs(similarity.inverse.matrix[:, :2]).sum(axis=1) / (2 * parts)
    columns = _range((x - left) / by, turned[0] / by, part.shape[1])
    rows = _range((y - top) / by, turned[1] / by, part.shape[0])
    total = np.zeros((part.shape[0] + 1, part.shape[1] + 1), np.int32)
    np.cumsum(part, axis=0, out=total[1:, 1:])
    np.cumsum(total, axis=1, out=total)
    count = (
        total[rows[1], columns[1]]
        - total[rows[0], columns[1]]
        - total[rows[1], columns[0]]
        + total[rows[0], columns[0]]
    )
    touched = (count > 0).reshape(size, parts, size, parts)
    return np.any(touched, axis=(1, 3), keepdims=True)[:, 0, :, 0]


def _range(centre: np.ndarray, half: float, limit: int) -> tuple[np.ndarray, ...]:
    """Indices of the first pixel that intervals touch, and of that after the last."""
    first = np.floor(centre - half + 1e-6).clip(0, limit).astype(int)
    return first, np.ceil(centre + half - 1e-6).clip(first, limit).astype(int)


def any_of_blocks(
    hole: Bool[np.ndarray, "height width"], by: int
) -> Bool[np.ndarray, "rows columns"]:
    """Returns which blocks of `by` x `by` pixels, from the first on, touch the hole."""
    for axis in (0, 1) if by > 1 else ():
        starts = np.arange(0, hole.shape[axis], by)
        hole = np.logical_or.reduceat(hole, starts, axis=axis)
    return hole


def _scaled(scale: float, x: float | int, y: float | int) -> Similarity:
    return Similarity(np.array([[scale, 0.0, x], [0.0, scale, y]], float))


def _is_upright(similarity: Similarity) -> bool:
    along, across = similarity.matrix[:, 0]
    return bool(along > 0 and abs(across) <= 1e-9 * along)


def _plane_to_frame(
    plane: UInt8[np.ndarray, "height width"], similarity: Similarity, size: int
) -> UInt8[np.ndarray, "size size"]:
    height, width = plane.shape
    left, top, right, bottom = frame_box(similarity, plane.shape, size=size)
    # A frame beside the photograph shows the colours of its edge.
    left, top = min(left, width - 1), min(top, height - 1)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    part = Image.fromarray(np.ascontiguousarray(plane[top:bottom, left:right]))
    cut = similarity.after(_scaled(1.0, left, top))
    edges = np.round(cut.inverse.apply(corners(size)) + 0.5, 6)
    within = (edges >= 0).all() and (edges <= part.size).all()
    upright = _is_upright(similarity)
    if upright and within:
        box = (*edges[0].tolist(), *edges[2].tolist())
        return np.asarray(part.resize((size, size), _BICUBIC, box=box))
    by = max(1, int(1 / (_FINE * cut.scale)))
    part = np.asarray(part.reduce(by))
    if upright:
        return _resized(part, edges[0] / by, edges[2] / by, size)
    reduced = cut.after(_scaled(float(by), *[(by - 1) / 2] * 2))
    times = max(1, int(np.ceil(1 / reduced.scale - 1e-6)))
    fine = _scaled(float(times), *[(times - 1) / 2] * 2).after(reduced)
    drawn = _transform(part, fine.inverse, (times * size, times * size))
    return np.asarray(drawn.resize((size, size), _BICUBIC))


def _resized(
    part: UInt8[np.ndarray, "height width"],
    first: Float[np.ndarray, "2"],
    last: Float[np.ndarray, "2"],
    size: int,
) -> UInt8[np.ndarray, "size size"]:
    """Scales the box from `first` to `last`, with the plane's edges continued."""
    (x0, y0) = np.ceil(-first).clip(0).astype(int)
    (x1, y1) = np.ceil(last - part.shape[::-1]).clip(0).astype(int)
    padded = Image.fromarray(np.pad(part, ((y0, y1), (x0, x1)), mode="edge"))
    box = (*(first + [x0, y0]).tolist(), *(last + [x0, y0]).tolist())
    return np.asarray(padded.resize((size, size), _BICUBIC, box=box))


def _transform(
    plane: np.ndarray, source: Similarity, shape: tuple[int, int]
) -> Image.Image:
    """Draws a plane of that shape whose pixel at p shows the pixel at `source` of p."""
    height, width = shape
    last = [width - 1, height - 1]
    ends = source.apply(np.array([(0, 0), (last[0], 0), last, (0, last[1])], float))
    # Pillow leaves black what lies beyond the plane, so its edges are continued.
    before = np.ceil(_MARGIN - ends.min(axis=0)).clip(0)
    after = np.ceil(ends.max(axis=0) + _MARGIN + 1 - plane.shape[::-1]).clip(0)
    (x0, y0), (x1, y1) = before.astype(int), after.astype(int)
    padded = np.pad(plane, ((y0, y1), (x0, x1)), mode="edge")
    # In Pillow the corner of the first pixel is (0, 0), not its centre.
    half = _scaled(1.0, 0.5, 0.5)
    given = half.after(_scaled(1.0, int(x0), int(y0))).after(source).after(half.inverse)
    return Image.fromarray(padded).transform(
        (width, height),
        Image.Transform.AFFINE,
        tuple(given.matrix.ravel().tolist()),
        _BICUBIC,
    )
