"""Finds the faces in a photograph, tilted ones and such under a hole too.

Candidates come from the detector, from the mean face drawn into the hole in several
sizes, and from frames that the caller believes in. Each is settled by what places
points in frames with holes, and of those at one place the surest is kept.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, UInt8

from inpaint_jax.images import alignment
from inpaint_jax.landmarks import frame_settling
from inpaint_jax.landmarks.face_detection import DETECTED, GIVEN, Face, Finder
from inpaint_jax.landmarks.face_views import Detector, Predictor

_Picture = UInt8[np.ndarray, "height width 3"]
_Hole = Bool[np.ndarray, "height width"]

_MOST_PARTS = 6
# How sure the points of a face under a hole are: from the first on it is there, below
# the second a guess is not believed (experiments/search/RESULTS.md), nor if its frame
# has fewer pixels along its side. In cloth the detector sees a face, too, if the mean
# face is drawn in.
_SURE, _DOUBTFUL, _LEAST = 0.2, -1.0, 32
# Below this a face under a hole may lie elsewhere, which is said.
_GUESSED = 0.0
# From this score of the detector on a face is there, whatever a hole hides of it.
_CLEAR = 0.5
# Of so many guesses, of heads that are tilted by up to 50 degrees, the surest is taken
# if none is sure; the others are of heads that lie or stand upside down.
_LIKELY = 5
# By how much a frame is less sure if all of its part of the hole lies outside of it.
_OF_MISSED = 2.0
# How near the centres of two faces may be, in sides of the larger frame.
_APART = 0.3
# Where the head is in its frame, from the hair to the chin, in its sides. It is under a
# part of the hole if they have so much of the smaller in common.
_HEAD, _COMMON = np.array([[0.16, 0.12], [0.84, 1.0]]), 0.3


def find(
    picture: _Picture,
    hole: _Hole | None,
    *,
    detector: Detector,
    predictor: Predictor,
    crop: int,
    size: int,
    locate: frame_settling.Locate | None = None,
    given: Sequence[alignment.Similarity] = (),
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
      given: frames in which faces should be, and stay if they are surest there.

    Returns:
      The faces, the largest first.
    """
    hole = np.zeros(picture.shape[:2], bool) if hole is None else hole
    if hole.all():
        return []
    finder = Finder(picture, hole, detector, predictor)
    frames = frame_settling.Frames(picture, hole, locate, crop, size)
    settling = _Settling(finder, frames, _parts(hole))
    found = [settling.settled(face) for face in finder.everywhere()]
    found += [_given(frame, frames) for frame in given if locate is not None]
    for part in settling.parts:
        if not any(_is_known(face, part, size) for face in found):
            found += _likeliest(map(settling.surest, finder.around(part)))
    kept = _apart([face for face in found if _is_believed(face, size)], size)
    return sorted(kept, key=lambda face: face.similarity.scale)


def is_guessed(face: Face) -> bool:
    """Whether a face that was found may well lie elsewhere."""
    return face.how != GIVEN and face.sure < _GUESSED and not _is_clear(face)


class _Settling(NamedTuple):
    """Settles the faces that were found, against the parts of the hole."""

    finder: Finder
    frames: frame_settling.Frames
    parts: Sequence[alignment.Box]

    def surest(self, faces: Sequence[Face]) -> Face:
        """Settles the surest of guesses, and of those as sure the detector's."""
        best, *others = faces
        if others:
            near = [self.settled(face, briefly=True) for face in faces]
            best = max(near, key=lambda face: (face.sure, face.score))
        return self.settled(self.finder.refined(best))

    def settled(self, face: Face, *, briefly: bool = False) -> Face:
        """Settles a face, see `frame_settling.Frames.fitted`."""
        weights = self.finder.weights(face.points)
        at = self.frames.fitted(face.points, weights, briefly=briefly)
        missed = _missed(at.similarity, self.parts, self.frames.size)
        return face._replace(similarity=at.similarity, sure=at.sure - missed)


def _given(frame: alignment.Similarity, frames: frame_settling.Frames) -> Face:
    """Returns the face in a frame, or where it settles if it is surer there."""
    sure, kept = max(frames.unmoved(frame), frames.settled(frame), key=_sure)
    template = alignment.template(crop=frames.crop, size=frames.size)
    return Face(kept.inverse.apply(template), 0.0, kept, GIVEN, sure)


def _missed(
    frame: alignment.Similarity, parts: Sequence[alignment.Box], size: int
) -> float:
    """How much less sure a frame is for what it leaves of its part of the hole."""
    shares = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 2), axis=-1)
    seen = [1.0] if not parts else []
    for left, top, right, bottom in parts:
        place = frame.apply(shares * [right - left, bottom - top] + [left, top])
        seen.append(float(((place >= 0) & (place <= size)).all(axis=-1).mean()))
    return _OF_MISSED * (1 - max(seen))


def _is_known(face: Face, part: alignment.Box, size: int) -> bool:
    """Whether this is certainly the face that a part of the hole hides."""
    if face.sure < _SURE and not _is_clear(face):
        return False
    left, top, right, bottom = part
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    place = face.similarity.apply(corners - 0.5)
    box = np.array([place.min(axis=0), place.max(axis=0)]) / size
    lowest, highest = np.maximum(box[0], _HEAD[0]), np.minimum(box[1], _HEAD[1])
    common = np.prod(np.maximum(highest - lowest, 0))
    return bool(
        common > _COMMON * min(np.prod(np.ptp(x, axis=0)) for x in (box, _HEAD))
    )


def _likeliest(guesses: Iterable[Face]) -> list[Face]:
    """Returns the surest of some guesses, or the first that is sure; none of none."""
    best: list[Face] = []
    for number, face in enumerate(guesses, start=1):
        best = [max([*best, face], key=_sure)]
        if best[0].sure >= (_SURE if number < _LIKELY else _DOUBTFUL):
            break
    return best


def _sure(found: Face | frame_settling.Settled) -> float:
    return found.sure


def _is_clear(face: Face) -> bool:
    return face.how == DETECTED and face.score >= _CLEAR


def _is_believed(face: Face, size: int) -> bool:
    """Whether it is a face, as the detector or what places its points says."""
    if _is_clear(face):
        return True
    large = face.how == DETECTED or size / face.similarity.scale >= _LEAST
    return large and face.sure >= _DOUBTFUL


def _apart(faces: Sequence[Face], size: int) -> list[Face]:
    """Keeps of faces at one place the surest, and of equally sure ones the clearest."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: (-face.sure, -face.score)):
        if all(_distance(face, other, size) > _APART for other in kept):
            kept.append(face)
    return kept


def _distance(one: Face, other: Face, size: int) -> float:
    """How far the centres of two frames are apart, in sides of the larger frame."""
    middle = np.full((1, 2), (size - 1) / 2)
    places = [face.similarity.inverse.apply(middle) for face in (one, other)]
    scale = min(face.similarity.scale for face in (one, other))
    return float(np.linalg.norm(places[0] - places[1]) * scale / size)


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
