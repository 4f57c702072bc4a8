"""How far the completions of a method are from real faces, as a set.

The Frechet distance of face embeddings punishes what means over faces do not: faces
that are all alike, and holes that are blurred. The reference is the originals of the
same faces, so the distance is 0 for perfect completions, and depends on how many there
are: only methods on the same faces can be compared.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from experiments.common import statistics
from experiments.evaluation.kept_completions import Embeddings
from inpaint_jax.evaluation import distribution

NAME = "frechet_face"


def frechet_face(
    completed: Sequence[Embeddings],
    original: Embeddings,
    *,
    baseline: Sequence[Embeddings] = (),
) -> dict[str, float]:
    """Returns the distance of a method, or its difference to another method.

    Args:
      completed: embeddings of the completions, the same faces for each seed.
      original: embeddings of the originals, in the same order.
      baseline: embeddings of the other method's completions.

    Returns:
      "value", the mean over the seeds; "low" and "high", its 95 % interval by the
      jackknife over the faces.
    """

    def mean(sets: Sequence[Embeddings], kept: Bool[np.ndarray, " faces"]) -> float:
        distances = [distribution.frechet(e[kept], original[kept]) for e in sets]
        return float(np.mean(distances))

    def statistic(kept: Bool[np.ndarray, " faces"]) -> float:
        if np.sum(kept) < 2:  # there is no spread
            return np.nan
        other = mean(baseline, kept) if baseline else 0.0
        return mean(completed, kept) - other

    return statistics.jackknife(statistic, [len(original)])
