"""Finds the faces in a photograph, tilted ones and such under a hole too."""

from collections.abc import Callable

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float, UInt8

from inpaint_jax.images import alignment
from inpaint_jax.landmarks.face_detection import (
    UNDER_THE_HOLE,
    Face,
    Finder,
    covers,
    distinct,
)
from inpaint_jax.landmarks.face_views import Detector, Predictor

_Picture = UInt8[np.ndarray, "height width 3"]
_Hole = Bool[np.ndarray, "height width"]

Locate = Callable[
    [UInt8[np.ndarray, "size size 3"], Bool[np.ndarray, "size size"]],
    tuple[Float[np.ndarray, "68 2"], Float[np.ndarray, " 68"]],
]
"""(what the frame shows, its hole) -> (points in pixels of the frame, weights: how sure
each is). It ignores the pixels in the hole."""

_MOST_PARTS = 6
# Side of a frame in the photograph. A smaller face is not guessed under a hole: in a
# few pixels of cloth the detector sees one as well.
_LEAST = 32
# How often points are placed in the frame that follows from them, at most, and how far
# the frame still moves when it stays, in its sides.
_ROUNDS, _STILL = 20, 0.002


def find(
    picture: _Picture,
    hole: _Hole | None,
    *,
    detector: Detector,
    predictor: Predictor,
    crop: int,
    size: int,
    locate: Locate | None = None,
) -> list[Face]:
    """Finds all faces in a photograph.

    Args:
      picture: RGB bytes.
      hole: True in the hole; None without one.
      detector: finds upright faces.
      predictor: places their points.
      crop: side of the frame in CelebA pixels.
      size: side of the frame in pixels.
      locate: places the points of faces of which a part is hidden; without it they are
        the predictor's, in a picture whose hole is filled smoothly.

    Returns:
      The faces, the largest first.
    """
    hole = np.zeros(picture.shape[:2], bool) if hole is None else hole
    if hole.all():
        return []
    finder = Finder(picture, hole, detector, predictor)
    found = finder.everywhere()
    for part in _parts(hole):
        if not any(covers(face.points, part) for face in found):
            found += finder.around(part)
    frame = alignment.template(crop=crop, size=size)
    faces = []
    for face in distinct(found):
        weights = finder.weights(face.points)
        fitted = alignment.fit(face.points, frame, weights=weights)
        if face.how == UNDER_THE_HOLE and size / fitted.scale < _LEAST:
            continue
        hidden = alignment.hole_to_frame(hole, fitted, size=size)
        if locate is not None and hidden.any():
            fitted = settled(picture, hole, fitted, locate=locate, crop=crop, size=size)
        faces.append(face._replace(similarity=fitted))
    return sorted(faces, key=lambda face: face.similarity.scale)


def settled(
    picture: _Picture,
    hole: _Hole | None,
    similarity: alignment.Similarity,
    *,
    locate: Locate,
    crop: int,
    size: int,
) -> alignment.Similarity:
    """Places points in a frame, then in the frame that follows from them, and so on.

    Args:
      picture: RGB bytes.
      hole: True in the hole; None without one.
      similarity: from the photograph to an approximate frame of a face.
      locate: places the points.
      crop: side of the frame in CelebA pixels.
      size: side of the frame in pixels.

    Returns:
      The similarity to the last frame.
    """
    template = alignment.template(crop=crop, size=size)
    for _ in range(_ROUNDS):
        shown = alignment.to_frame(picture, similarity, size=size)
        hidden = alignment.outside(similarity, picture.shape, size=size)
        if hole is not None:
            hidden |= alignment.hole_to_frame(hole, similarity, size=size)
        if hidden.all():
            break
        points, weights = locate(shown, hidden)
        moved = alignment.fit(points, template, weights=weights)
        before, similarity = similarity, moved.after(similarity)
        if alignment.distance(before, similarity, size=size) < _STILL:
            break
    return similarity


def _parts(hole: _Hole) -> list[alignment.Box]:
    """Boxes of the parts of a hole that are near each other, the largest first."""
    by = max(1, max(hole.shape) // 200)
    small = alignment.any_of_blocks(hole, by)
    near = scipy.ndimage.binary_dilation(small, iterations=3)
    labels = np.zeros(near.shape, np.int32)
    scipy.ndimage.label(near, output=labels)
    boxes = []
    for number in range(1, int(labels.max()) + 1):
        y, x = np.nonzero(small & (labels == number))
        edges = by * np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
        boxes.append(tuple(edges.tolist()))
    return sorted(boxes, key=lambda b: -(b[2] - b[0]) * (b[3] - b[1]))[:_MOST_PARTS]
