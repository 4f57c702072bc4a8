"""Finds the faces in a photograph, tilted ones and such under a hole too."""

from collections.abc import Callable
from typing import NamedTuple

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
# What a face that is only guessed under a hole must have, as the detector sees one in
# cloth as well if the mean face is drawn in: the side of its frame in the photograph,
# and how sure `locate` is of its points at last (see experiments/search/RESULTS.md).
_LEAST, _SURE = 32, -1.2
# How often points are placed in the frame that follows from them, at most, at first and
# then; how far the frame still moves when it stays, in its sides; and the largest part
# of it that may be hidden.
_FIRST_ROUNDS, _ROUNDS, _STILL, _MOST_HIDDEN = 8, 20, 0.002, 0.9
# Zooms of a guessed frame, and shifts in its sides, from which it is settled as well:
# of badly guessed frames the landmark net mends some, and says how sure it is.
_STARTS = ((1.0, 0.0, 0.0), (1.3, 0.0, 0.0), (0.77, 0.0, 0.0))
_STARTS += ((1.0, 0.15, 0.0), (1.0, -0.15, 0.0), (1.0, 0.0, 0.15), (1.0, 0.0, -0.15))


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
        weights, sure = finder.weights(face.points), np.inf
        fitted = alignment.fit(face.points, frame, weights=weights)
        if (
            locate is not None
            and alignment.hole_to_frame(hole, fitted, size=size).any()
        ):
            sure, fitted = _Frames(picture, hole, locate, crop, size).surest(fitted)
        guessed = face.how == UNDER_THE_HOLE
        if not guessed or (size / fitted.scale >= _LEAST and sure >= _SURE):
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
    frames = _Frames(picture, hole, locate, crop, size)
    return frames.settled(similarity, rounds=_ROUNDS)[1]


class _Frames(NamedTuple):
    """Frames of a photograph in which `locate` places points; see `settled`."""

    picture: _Picture
    hole: _Hole | None
    locate: Locate
    crop: int
    size: int

    def surest(self, guess: alignment.Similarity) -> tuple[float, alignment.Similarity]:
        """Settles from starts around a guess, and goes on with the surest."""
        found = (
            self.settled(start.after(guess), rounds=_FIRST_ROUNDS)
            for start in _starts(self.size)
        )
        sure, best = max(found, key=lambda each: each[0])
        if np.isinf(sure):
            return sure, guess
        return self.settled(best, rounds=_ROUNDS)

    def settled(
        self, similarity: alignment.Similarity, *, rounds: int
    ) -> tuple[float, alignment.Similarity]:
        """Returns how sure of its points `locate` is at last, and the frame."""
        template, sure = alignment.template(crop=self.crop, size=self.size), -np.inf
        for _ in range(rounds):
            hidden = self._hidden(similarity)
            if hidden.mean() > _MOST_HIDDEN:
                return -np.inf, similarity
            shown = alignment.to_frame(self.picture, similarity, size=self.size)
            points, weights = self.locate(shown, hidden)
            sure = float(np.log(weights).mean())
            moved = alignment.fit(points, template, weights=weights)
            before, similarity = similarity, moved.after(similarity)
            if alignment.distance(before, similarity, size=self.size) < _STILL:
                break
        return sure, similarity

    def _hidden(
        self, similarity: alignment.Similarity
    ) -> Bool[np.ndarray, "size size"]:
        beyond = alignment.outside(similarity, self.picture.shape, size=self.size)
        if self.hole is None:
            return beyond
        return beyond | alignment.hole_to_frame(self.hole, similarity, size=self.size)


def _starts(size: int) -> list[alignment.Similarity]:
    """Returns changes of a frame: none, a zoom, and shifts to all sides."""
    found = []
    for zoom, right, down in _STARTS:
        shift = (size - 1) / 2 * (1 - zoom) + size * np.array([right, down])
        found.append(alignment.Similarity(np.column_stack([zoom * np.eye(2), shift])))
    return found


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
