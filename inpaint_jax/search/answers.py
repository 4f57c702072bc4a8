"""Chooses different answers among the restarts of one image: a hole has more than one.

Restarts that end in the same place complete a face in the same way. Answers are chosen
greedily: the best restart first, then each next best that differs enough from all that
are chosen already.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

DIFFERENT = 0.1
"""Distance from which on two completions count as different, see `distance`.

It is 5 % of the range, about where the eye begins to see it. Of 16 restarts around the
encoder's guess, two are 0.08 to 0.16 apart under the centre mask and 0.29 to 0.39 under
the left one (medians of the pairs, for each of four CelebA faces), so that there are 3
to 16 answers under the one and 16 under the other.
"""


class Answers(NamedTuple):
    """The chosen restarts, best first.

    Attributes:
      indices: `[answers]`, their rows.
      distances: `[answers]`, the distance of each from the nearest of those before it;
        infinite for the first.
    """

    indices: Int[np.ndarray, " answers"]
    distances: Float[np.ndarray, " answers"]


def distance(
    pictures: Float[np.ndarray, "restarts height width 3"],
    other: Float[np.ndarray, "height width 3"],
    mask: Float[np.ndarray, "1 height width 1"],
) -> Float[np.ndarray, " restarts"]:
    """Returns the root mean square difference of completions inside the hole.

    Args:
      pictures: completed images in [-1, 1].
      other: the completed image to compare them with.
      mask: 1 where the pixel is known; known pixels are not compared.

    Returns:
      The distance of each picture in units of [-1, 1], so at most 2.
    """
    hole = mask[0, :, :, 0] == 0
    apart = pictures[:, hole].astype(np.float64) - other[hole]
    return np.sqrt(np.mean(apart**2, axis=(1, 2)))


def choose(
    pictures: Float[np.ndarray, "restarts height width 3"],
    scores: Float[np.ndarray, " restarts"],
    mask: Float[np.ndarray, "1 height width 1"],
    *,
    most: int,
    least_distance: float = DIFFERENT,
) -> Answers:
    """Chooses the best different completions of one image.

    Args:
      pictures: the completed image of each restart, in [-1, 1].
      scores: by which they are ranked, lowest first; a restart whose score is not
        finite is never chosen.
      mask: 1 where the pixel is known.
      most: largest number of answers.
      least_distance: what each must be away from every other, see `distance`.

    Returns:
      The answers: fewer than `most` if no more are different.
    """
    nearest = np.where(np.isfinite(scores), np.inf, -np.inf)
    indices, distances = [], []
    for index in np.argsort(scores, kind="stable"):
        # A picture that is not finite has no distance, and is not different.
        if len(indices) < most and nearest[index] >= least_distance:
            indices.append(int(index))
            distances.append(float(nearest[index]))
            away = distance(pictures, pictures[index], mask)
            nearest = np.fmin(nearest, np.where(np.isfinite(away), away, -np.inf))
    return Answers(np.array(indices, np.int64), np.array(distances, np.float64))
