"""Similarities of the plane: scaling, rotation and translation, without reflection."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "*batch 2"]
"""(x, y) in pixels; the centre of the first pixel is (0, 0), and y points down."""


class Similarity(NamedTuple):
    """Scaling, rotation and translation, from a photograph to the frame.

    Attributes:
      matrix: `[2, 3]`; maps (x, y, 1) of the photograph to (x, y) of the frame.
    """

    matrix: Float[np.ndarray, "2 3"]

    @property
    def scale(self) -> float:
        """Pixels of the frame in a pixel of the photograph."""
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))

    @property
    def angle(self) -> float:
        """Rotation in radians; positive turns a picture clockwise, as y points down."""
        return float(np.arctan2(self.matrix[1, 0], self.matrix[0, 0]))

    @property
    def inverse(self) -> "Similarity":
        """The similarity from the frame to the photograph."""
        turned = np.linalg.inv(self.matrix[:, :2])
        return Similarity(np.column_stack([turned, -turned @ self.matrix[:, 2]]))

    def apply(self, points: Points) -> Points:
        """Returns the points where the similarity puts them."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    def after(self, first: "Similarity") -> "Similarity":
        """Returns the similarity that applies `first`, and then this one."""
        turned = self.matrix[:, :2] @ first.matrix
        turned[:, 2] += self.matrix[:, 2]
        return Similarity(turned)


def fit(
    points: Float[np.ndarray, "points 2"],
    target: Float[np.ndarray, "points 2"],
    *,
    weights: Float[np.ndarray, " points"] | None = None,
) -> Similarity:
    """Fits the similarity that moves points nearest to their targets.

    Args:
      points: at least two different points.
      target: where each should come to lie.
      weights: of the squared distances, positive; all 1 by default.

    Returns:
      The weighted least squares solution without reflection.

    References:
      Eqs. (40)-(43), Umeyama 1991. In the plane the singular value decomposition of eq.
      (38) is an angle: that of the sum of conj(p) q over points p and targets q.
    """
    w = np.ones(len(points)) if weights is None else np.asarray(weights, np.float64)
    w = w / w.sum()
    mean, target_mean = w @ points, w @ target
    p, q = points - mean, target - target_mean
    variance = w @ np.sum(p**2, axis=1)
    along = w @ np.sum(p * q, axis=1) / variance
    across = w @ (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]) / variance
    turned = np.array([[along, -across], [across, along]])
    return Similarity(np.column_stack([turned, target_mean - turned @ mean]))


def corners(size: int) -> Float[np.ndarray, "4 2"]:
    """Returns the four outer corners of a frame, clockwise from the first pixel's."""
    near, far = -0.5, size - 0.5
    return np.array([(near, near), (far, near), (far, far), (near, far)])


def distance(one: Similarity, other: Similarity, *, size: int) -> float:
    """Returns how far the corners of two frames lie apart.

    Args:
      one: from a photograph to a frame.
      other: from the same photograph to another frame.
      size: side of the frames in pixels.

    Returns:
      The mean over the four corners, in sides of the frame.
    """
    expected = corners(size)
    found = one.apply(other.inverse.apply(expected))
    return float(np.linalg.norm(found - expected, axis=1).mean() / size)
