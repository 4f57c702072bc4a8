"""Methods of a search against a baseline, in pairs.

Images are the independent units: differences of an image are first averaged over the
seeds. Intervals are bootstrapped over images, p-values are of an exact sign test, and
Holm's correction is over all comparisons of a metric.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.common import statistics

BASELINE = "none"
METRICS = {
    "nme": -1,
    "nme_independent": -1,
    "psnr_hole": 1,
    "ssim_hole": 1,
    "identity": -1,
    "eye_detail": 1,
    "sharpness": 1,
}
"""What is compared, and whether more of it is better (1) or less (-1)."""

Columns = dict[str, Float[np.ndarray, "seeds images"]]
Scores = dict[tuple[str, str], Columns]
"""{(method, mask): {column: values}}"""


class Comparison(NamedTuple):
    """A method against the baseline.

    Attributes:
      mean: of the method, over the seeds and images that both have a number for.
      difference: of the means.
      low: end of its 95 % interval.
      high: the other end.
      p: of the sign test, corrected.
      images: how many it rests on.
    """

    mean: float
    difference: float
    low: float
    high: float
    p: float
    images: int

    @property
    def real(self) -> bool:
        """Whether the interval and the corrected test both leave out 0."""
        return self.p < 0.05 and (self.low > 0.0 or self.high < 0.0)


Comparisons = dict[tuple[str, str, str], Comparison]
"""{(method, mask, metric): comparison}"""


def compare(scores: Scores) -> Comparisons:
    """Compares all methods with the baseline, for each mask and metric.

    Args:
      scores: the baseline's among them.
    """
    found = {}
    for metric in METRICS:
        rows = {
            key: _paired(columns[metric], scores[BASELINE, key[1]][metric])
            for key, columns in scores.items()
            if key[0] != BASELINE
        }
        p = [statistics.sign_test(differences) for _, differences in rows.values()]
        corrected = statistics.holm(np.array(p))
        for (key, (mean, differences)), value in zip(
            rows.items(), corrected, strict=True
        ):
            found[*key, metric] = _comparison(mean, differences, float(value))
    return found


def _paired(
    values: Float[np.ndarray, "seeds images"],
    baseline: Float[np.ndarray, "seeds images"],
) -> tuple[float, Float[np.ndarray, " seen"]]:
    """Mean over the pairs, and the difference of each image that has one."""
    paired = np.isfinite(values) & np.isfinite(baseline)
    seen = paired.any(axis=0)
    differences = np.subtract(values, baseline, out=np.zeros_like(values), where=paired)
    of_image = differences.sum(axis=0)[seen] / paired.sum(axis=0)[seen]
    return float(values[paired].mean()) if seen.any() else np.nan, of_image


def _comparison(
    mean: float, differences: Float[np.ndarray, " images"], p: float
) -> Comparison:
    if not len(differences):
        return Comparison(mean, np.nan, np.nan, np.nan, p, 0)
    found = statistics.interval(differences, np.random.default_rng(0))
    return Comparison(
        mean, found["mean"], found["low"], found["high"], p, len(differences)
    )
