"""Detects faces in a photograph with dlib, and places their points.

The detector sees the whole photograph, turned views if that shows no face, and the
surroundings of a part of the hole.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from inpaint_jax.images import alignment, framing
from inpaint_jax.landmarks import face_views, hidden_faces
from inpaint_jax.landmarks.face_views import Detector, Predictor

_Picture = UInt8[np.ndarray, "height width 3"]
_Hole = Bool[np.ndarray, "height width"]

# Side of the views in pixels: of the whole, and of what is turned.
_WHOLE, _PART = 1600, 560
_TURNS = (30.0, -30.0, 60.0, -60.0, 90.0, -90.0, 120.0, -120.0, 150.0, -150.0, 180.0)
# Turns at which a face under a hole is looked for, the likeliest first.
_UPRIGHT = (0.0,)
_HIDDEN_TURNS = (_UPRIGHT, (25.0, -25.0), (50.0, -50.0), (90.0, -90.0, 180.0))
# Lowest scores of a face in the whole photograph and in a turned view, and a score from
# which on turned views are not needed.
_STANDARD, _TURNED, _SURE = 0.0, 0.3, 0.5
# How often the points of a face under a hole are placed again.
_ROUNDS = 2
# The upright view in which points are placed again: wider than the frame, as dlib looks
# at pixels beside the face.
_CHIP_CROP, _CHIP_PIXELS = 192, 288
_CHIP = alignment.template(crop=_CHIP_CROP, size=_CHIP_PIXELS)
# How much a point in the hole counts against a visible one.
_GUESSED = 0.1

DETECTED, UNDER_THE_HOLE, GIVEN = "detected", "under the hole", "given"


class Face(NamedTuple):
    """A face in a photograph.

    Attributes:
      points: `[68, 2]`, its landmarks (x, y) in pixels of the photograph.
      score: dlib's, of the detection.
      similarity: from the photograph to the frame.
      how: `DETECTED`; `UNDER_THE_HOLE` if only the mean face in it made it visible;
        `GIVEN` if its frame was believed in before.
      sure: how sure its points are, see `frame_settling.Settled`; without a hole inf.
    """

    points: Float[np.ndarray, "68 2"]
    score: float
    similarity: alignment.Similarity
    how: str
    sure: float = np.inf


class Finder:
    """Shows views of one photograph to the detector."""

    def __init__(
        self, picture: _Picture, hole: _Hole, detector: Detector, predictor: Predictor
    ) -> None:
        """Keeps the photograph, its hole (not everywhere), and dlib's models."""
        self._photograph = face_views.Photograph(picture, hole)
        self._detector, self._predictor = detector, predictor

    def everywhere(self) -> list[Face]:
        """Finds faces in the whole photograph, in turned views if it shows none."""
        height, width = self._photograph.picture.shape[:2]
        middle, side = np.array([width - 1, height - 1]) / 2, float(max(height, width))
        pixels = min(_WHOLE, 2 * int(side))
        whole = face_views.square(middle, side=side, turn=0.0, pixels=pixels)
        view = face_views.draw(self._photograph, whole, pixels=pixels)
        found = self._in(view, _STANDARD)
        if any(face.score >= _SURE for face in found):
            return found
        # Turned views are drawn from a small one, and fit into the circle around it.
        upright = face_views.square(middle, side=side, turn=0.0, pixels=_PART)
        small = face_views.draw(self._photograph, upright, pixels=_PART)
        filled = face_views.Photograph(small.picture, np.zeros_like(small.hole))
        circle = round(_PART * float(np.hypot(height, width)) / side)
        centre = np.full(2, (_PART - 1) / 2)
        for turn in _TURNS:
            turned = face_views.square(
                centre, side=float(circle), turn=turn, pixels=circle
            )
            view = face_views.draw(filled, turned, pixels=circle)
            view = view._replace(similarity=turned.after(upright))
            found += self._in(view, _TURNED)
        return distinct(found)

    def around(self, part: alignment.Box) -> Iterator[list[Face]]:
        """Yields faces that may be under a part of the hole, by turn.

        Upright ones have several sizes, of others there is the one with the highest
        score: more guesses are more false ones, too. The likeliest turns come first;
        those that are as likely as each other in the order of the detector's scores.
        Points are placed once, see `refined`.

        Args:
          part: of the hole.
        """
        for turns in _HIDDEN_TURNS:
            guesses = [
                hidden_faces.guesses(
                    self._photograph, part, detector=self._detector, turn=turn
                )
                for turn in turns
            ]
            for each in sorted(filter(None, guesses), key=_highest, reverse=True):
                if turns != _UPRIGHT:
                    each = [max(each, key=lambda guess: guess.score)]
                placed = [
                    self._face(points, guess.score, UNDER_THE_HOLE)
                    for guess in each
                    if (points := self._points(guess.view, guess.box)) is not None
                ]
                if placed:
                    yield placed

    def refined(self, face: Face) -> Face:
        """Returns a face whose points are placed again in upright views of it."""
        points = face.points
        for _ in range(_ROUNDS):
            points = self._upright(points)
        return self._face(points, face.score, face.how)

    def weights(
        self, points: Float[np.ndarray, "points 2"]
    ) -> Float[np.ndarray, " points"]:
        """Returns how much each point counts: less in the hole, where it is guessed."""
        height, width = self._photograph.hole.shape
        x, y = np.round(points).astype(int).T
        hidden = self._photograph.hole[y.clip(0, height - 1), x.clip(0, width - 1)]
        return np.where(hidden, _GUESSED, 1.0)

    def _in(self, view: face_views.View, threshold: float) -> list[Face]:
        """Finds the faces in a view."""
        boxes, scores = self._detector.scored(view.picture, threshold=threshold)
        found = []
        for box, score in zip(boxes, scores, strict=True):
            points = self._points(view, box)
            if points is not None:
                for _ in range(_ROUNDS if self._photograph.hole.any() else 1):
                    points = self._upright(points)
                found.append(self._face(points, float(score), DETECTED))
        return distinct(found)

    def _face(self, points: Float[np.ndarray, "68 2"], score: float, how: str) -> Face:
        similarity = alignment.fit(points, _CHIP, weights=self.weights(points))
        return Face(points, score, similarity, how)

    def _upright(self, points: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "68 2"]:
        """Places the points again in an upright view of the face."""
        similarity = alignment.fit(points, _CHIP, weights=self.weights(points))
        view = face_views.draw(self._photograph, similarity, pixels=_CHIP_PIXELS)
        if view.hole.any():
            middle, zoom = np.full(2, _CHIP_PIXELS // 2), _CHIP_PIXELS / _CHIP_CROP
            view = hidden_faces.drawn_in(view, middle, zoom=zoom)
        # The usual box, moved from its frame to the wider view.
        usual = framing.aligned_box(crop=_CHIP_CROP, size=_CHIP_PIXELS)
        again = self._points(view, np.array(usual, np.int32))
        return points if again is None else again

    def _points(
        self, view: face_views.View, box: Int[np.ndarray, "4"]
    ) -> Float[np.ndarray, "68 2"] | None:
        points, status = self._predictor.predict(view.picture[None], box[None])
        if status[0]:
            return None
        return view.similarity.inverse.apply(points[0].astype(np.float64))


def _highest(guesses: Sequence[hidden_faces.Guess]) -> float:
    return max(guess.score for guess in guesses)


def distinct(faces: Sequence[Face]) -> list[Face]:
    """Keeps of faces at one place that with the highest score."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        centre, radius = face.points.mean(axis=0), np.ptp(face.points, axis=0).mean()
        if all(
            np.linalg.norm(centre - other.points.mean(axis=0))
            > 0.4 * max(radius, np.ptp(other.points, axis=0).mean())
            for other in kept
        ):
            kept.append(face)
    return kept
