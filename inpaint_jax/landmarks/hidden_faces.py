"""Finds a face of which the hole hides so much that dlib's detector does not see it.

The mean face is drawn into the hole at many places and sizes, and the detector judges
each. Where the visible part of a face continues the mean face, the score is high. It
also rises with what is drawn in: in plain grey from 0.4 (a mouth) to 2.6 (a face). So
only faces of one size are compared.
"""

import functools
from typing import NamedTuple

import numpy as np
import scipy.ndimage
from jaxtyping import Float, Int

from inpaint_jax.images import alignment
from inpaint_jax.io import files, picture_files
from inpaint_jax.landmarks import face_views

# The longest side of the hole in CelebA pixels: from a mouth or an eye to a whole face.
_EXTENTS = (40, 56, 78, 108)
# The hole's centre in CelebA pixels from the frame's: on a face, in these steps.
_ACROSS, _DOWN = (-30, -15, 0, 15, 30), (-16, -2, 12, 26, 40)
# Half the side of what the detector is shown of a view, in CelebA pixels.
_REACH = 88
# Where dlib's box lies in the frame: its centre from the frame's, and its side.
_BOX_CENTRE, _BOX_SIDE = np.array([-1.0, 27.0]), 90.0
_NEAR = 0.17
_LOWEST = -0.3
# Pixels of the mean face that are blurred to separate its features from its shade.
_SHADE = 16.0


class Guess(NamedTuple):
    """A place where a face may be.

    Attributes:
      score: the detector's, with the mean face in the hole.
      box: dlib's, in the view.
      view: what the detector saw.
    """

    score: float
    box: Int[np.ndarray, "4"]
    view: face_views.View


def guesses(
    photograph: face_views.Photograph,
    part: alignment.Box,
    *,
    detector: face_views.Detector,
    turn: float,
) -> list[Guess]:
    """Returns the likeliest face of each size under a part of the hole, at one turn.

    Args:
      photograph: the photograph with its hole.
      part: box of a part of the hole.
      detector: finds upright faces.
      turn: degrees by which the photograph is turned first.

    Returns:
      The guess with the highest score of each size, the largest faces first; none of a
      size at which no score is high enough.
    """
    left, top, right, bottom = part
    middle = np.array([left + right - 1, top + bottom - 1]) / 2
    extent = max(right - left, bottom - top)
    found = []
    for pixels in _EXTENTS:
        side = pixels + 2 * (_REACH + _DOWN[-1])
        similarity = face_views.square(
            middle, side=side * extent / pixels, turn=turn, pixels=side
        )
        view = face_views.draw(photograph, similarity, pixels=side)
        judged = [
            _judge(view, side // 2 - np.array([across, down]), detector)
            for down in _DOWN
            for across in _ACROSS
        ]
        known = [guess for guess in judged if guess is not None]
        found += [max(known, key=lambda guess: guess.score)] if known else []
    return found


def drawn_in(
    view: face_views.View, centre: Int[np.ndarray, "2"], *, zoom: float
) -> face_views.View:
    """Draws the features of the mean face into a view's hole.

    Args:
      view: of an upright face.
      centre: (x, y) of the centre of the face's frame in the view.
      zoom: pixels of the view in a CelebA pixel.
    """
    features = _features(zoom)
    half = len(features) // 2
    height, width = view.hole.shape
    (x, y), padded = centre, np.zeros((height + 2 * half, width + 2 * half), np.float32)
    if not (0 <= x <= width and 0 <= y <= height):
        return view
    padded[y : y + 2 * half, x : x + 2 * half] = features
    added = np.where(view.hole, padded[half : half + height, half : half + width], 0)
    picture = (view.picture + added[:, :, None]).clip(0, np.iinfo(np.uint8).max)
    return view._replace(picture=picture.astype(np.uint8))


def _judge(
    view: face_views.View,
    centre: Int[np.ndarray, "2"],
    detector: face_views.Detector,
) -> Guess | None:
    x, y = centre
    first = np.array([x - _REACH, y - _REACH // 2]).clip(0)
    last = np.array([x + _REACH, y + _REACH])
    cut = np.s_[first[1] : last[1], first[0] : last[0]]
    part = face_views.View(view.picture[cut], view.hole[cut], view.similarity)
    part = drawn_in(part, centre - first, zoom=1.0)
    boxes, scores = detector.scored(part.picture, threshold=_LOWEST)
    for box, score in zip(boxes, scores, strict=True):
        middle, side = (box[:2] + box[2:]) / 2, float(box[2] - box[0])
        off = np.abs(middle - (centre - first + _BOX_CENTRE)).max() / _BOX_SIDE
        if off < _NEAR and 0.75 < side / _BOX_SIDE < 1.3:
            whole = drawn_in(view, centre, zoom=1.0)
            return Guess(float(score), box + np.tile(first, 2).astype(box.dtype), whole)
    return None


@functools.lru_cache(maxsize=8)
def _features(zoom: float) -> Float[np.ndarray, "side side"]:
    """The mean face less its shade, in grey levels, at `zoom` pixels a CelebA pixel."""
    mean = picture_files.read(files.ASSETS / "mean_face.png")[:, :, 0]
    side = 2 * round(64 * zoom)
    scaled = alignment.central(*mean.shape, crop=128, size=side).inverse
    wide = alignment.to_photograph(
        mean[:, :, None].astype(np.float32), scaled, box=(0, 0, side, side)
    )[:, :, 0]
    shade = scipy.ndimage.gaussian_filter(wide, _SHADE * zoom, mode="nearest")
    return wide - shade
