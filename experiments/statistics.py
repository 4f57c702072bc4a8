"""What can be said of a mean from the images at hand."""

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
