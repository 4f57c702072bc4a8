"""Settles a face's frame: where it lies follows from the points that are seen in it.

Points are placed in an approximate frame, then in the frame that follows from them, and
so on. What places them says how sure it is, and so tells a frame that settled on the
face from one beside it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from inpaint_jax.images import alignment

Locate = Callable[
    [UInt8[np.ndarray, "size size 3"], Bool[np.ndarray, "size size"]],
    tuple[Float[np.ndarray, "68 2"], Float[np.ndarray, " 68"]],
]
"""(what the frame shows, its hole) -> (points in pixels of the frame, weights: how sure
each is). It ignores the pixels in the hole."""

# How often points are placed again, at most; from each of several starts it is fewer.
_ROUNDS, _FIRST_ROUNDS = 20, 8
# How far a frame still moves when it stays, in its sides, and the largest part of it
# that may be hidden.
_STILL, _MOST_HIDDEN = 0.002, 0.9
# Zooms of an approximate frame, and shifts in its sides, from which it is settled as
# well: badly guessed frames are mended from some of them.
_STARTS = ((1.0, 0.0, 0.0), (1.3, 0.0, 0.0), (0.77, 0.0, 0.0))
_STARTS += ((1.0, 0.15, 0.0), (1.0, -0.15, 0.0), (1.0, 0.0, 0.15), (1.0, 0.0, -0.15))
# CelebA's pictures were aligned by the eyes, so their points count more than others.
_EYES, _EYE_WEIGHT = slice(36, 48), 4.0


def frame_of(
    points: Float[np.ndarray, "68 2"],
    *,
    crop: int,
    size: int,
    weights: Float[np.ndarray, " 68"] | None = None,
) -> alignment.Similarity:
    """Fits the frame of a face to its landmarks, those of the eyes above all.

    Args:
      points: (x, y) in pixels of the photograph.
      crop: side of the frame in CelebA pixels.
      size: side of the frame in pixels.
      weights: how sure each of the points is; all 1 by default.

    Returns:
      The similarity from the photograph to the frame.
    """
    counts = np.ones(68) if weights is None else np.array(weights, np.float64)
    counts[_EYES] *= _EYE_WEIGHT
    template = alignment.template(crop=crop, size=size)
    return alignment.fit(points, template, weights=counts)


class Settled(NamedTuple):
    """A frame that stays where it is.

    Attributes:
      sure: the mean logarithm of the weights of its points; -inf if too much is hidden,
        inf if nothing was settled.
      similarity: from the photograph to the frame.
    """

    sure: float
    similarity: alignment.Similarity


class Frames(NamedTuple):
    """Frames of faces in a photograph.

    Attributes:
      picture: the photograph, RGB bytes.
      hole: True in the hole; None without one.
      locate: places the points; None to let frames be where they were fitted.
      crop: side of a frame in CelebA pixels.
      size: side of a frame in pixels.
    """

    picture: UInt8[np.ndarray, "height width 3"]
    hole: Bool[np.ndarray, "height width"] | None
    locate: Locate | None
    crop: int
    size: int

    def fitted(
        self,
        points: Float[np.ndarray, "68 2"],
        weights: Float[np.ndarray, " 68"],
        *,
        briefly: bool = False,
    ) -> Settled:
        """Fits a frame to points, and settles it if the hole hides a part of it.

        Args:
          points: (x, y) in pixels of the photograph.
          weights: how sure each of them is.
          briefly: settle it in any case, from there alone, in a few rounds.
        """
        frame = frame_of(points, crop=self.crop, size=self.size, weights=weights)
        if briefly:
            return self.settled(frame, rounds=_FIRST_ROUNDS)
        hidden = (
            self.hole is not None
            and alignment.hole_to_frame(self.hole, frame, size=self.size).any()
        )
        return self.surest(frame) if hidden else Settled(np.inf, frame)

    def settled(
        self, similarity: alignment.Similarity, *, rounds: int = _ROUNDS
    ) -> Settled:
        """Settles an approximate frame.

        Args:
          similarity: from the photograph to the approximate frame.
          rounds: how often points are placed, at most.
        """
        if self.locate is None:
            return Settled(np.inf, similarity)
        sure = -np.inf
        for _ in range(rounds):
            hidden = self._hidden(similarity)
            if hidden.mean() > _MOST_HIDDEN:
                return Settled(-np.inf, similarity)
            shown = alignment.to_frame(self.picture, similarity, size=self.size)
            points, weights = self.locate(shown, hidden)
            sure = float(np.log(weights).mean())
            moved = frame_of(points, crop=self.crop, size=self.size, weights=weights)
            before, similarity = similarity, moved.after(similarity)
            if alignment.distance(before, similarity, size=self.size) < _STILL:
                break
        return Settled(sure, similarity)

    def unmoved(self, similarity: alignment.Similarity) -> Settled:
        """Places points in a frame once, and lets it be.

        Args:
          similarity: from the photograph to the frame.
        """
        return Settled(self.settled(similarity, rounds=1).sure, similarity)

    def surest(self, similarity: alignment.Similarity) -> Settled:
        """Settles from starts around an approximate frame, and goes on with the surest.

        Args:
          similarity: from the photograph to the approximate frame.
        """
        best = max(
            (
                self.settled(start.after(similarity), rounds=_FIRST_ROUNDS)
                for start in _starts(self.size)
            ),
            key=lambda each: each.sure,
        )
        if np.isinf(best.sure):
            return Settled(best.sure, similarity)
        return self.settled(best.similarity)

    def _hidden(
        self, similarity: alignment.Similarity
    ) -> Bool[np.ndarray, "size size"]:
        beyond = alignment.outside(similarity, self.picture.shape, size=self.size)
        if self.hole is None:
            return beyond
        return beyond | alignment.hole_to_frame(self.hole, similarity, size=self.size)


def _starts(size: int) -> list[alignment.Similarity]:
    """Returns changes of a frame: none, zooms, and shifts to all sides."""
    found = []
    for zoom, right, down in _STARTS:
        shift = (size - 1) / 2 * (1 - zoom) + size * np.array([right, down])
        found.append(alignment.Similarity(np.column_stack([zoom * np.eye(2), shift])))
    return found
