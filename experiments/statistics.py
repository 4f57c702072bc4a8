"""What can be said of a mean from the images at hand."""

import math

import numpy as np
from jaxtyping import Float

_RESAMPLES = 10_000


def interval(
    differences: Float[np.ndarray, " images"], rng: np.random.Generator
) -> dict[str, float]:
    """Returns the mean difference and the 95 % percentile bootstrap interval.

    Args:
      differences: one for each image.
      rng: of the resampling.
    """
    count = len(differences)
    drawn = differences[rng.integers(0, count, (_RESAMPLES, count))].mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {"mean": float(differences.mean()), "low": float(low), "high": float(high)}


def sign_test(differences: Float[np.ndarray, " images"]) -> float:
    """Returns the two-sided exact p-value of as many rises as falls.

    Args:
      differences: one for each image; those of 0 are left out.
    """
    rises, falls = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    count = rises + falls
    tail = sum(math.comb(count, k) for k in range(min(rises, falls) + 1))
    return min(1.0, tail / 2 ** (count - 1)) if count else 1.0


def holm(p: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """Corrects p-values for the number of tests (Holm 1979).

    Where all those below 0.05 are believed, the chance that one of them is wrong is at
    most 0.05, however the tests depend on each other.

    Args:
      p: of each test.
    """
    order = np.argsort(p)
    stepped = p[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return corrected
