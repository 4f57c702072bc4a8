"""What can be said of a mean from the images at hand."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float

_RESAMPLES = 10_000
_NORMAL = 1.959964  # the 97.5 % quantile of the normal distribution
# Groups of the jackknife, and the 97.5 % quantile of Student's t for one fewer degrees.
_GROUPS, _STUDENT = 20, 2.093024


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


def proportion(hits: Bool[np.ndarray, " images"]) -> dict[str, float]:
    """Returns the share of hits and its 95 % interval by Wilson's score (1927).

    Unlike the bootstrap's it has a width where all images are hits, or none.

    Args:
      hits: one for each image, at least 1.
    """
    count, value = len(hits), float(np.mean(hits))
    square = _NORMAL**2 / count
    centre = (value + square / 2.0) / (1.0 + square)
    spread = value * (1.0 - value) / count + square / (4.0 * count)
    half = _NORMAL * math.sqrt(spread) / (1.0 + square)
    low, high = min(value, centre - half), max(value, centre + half)
    return {"value": value, "low": max(0.0, low), "high": min(1.0, high)}


def jackknife(
    statistic: Callable[..., float], counts: Sequence[int]
) -> dict[str, float]:
    """Returns a statistic of several sets of rows and its 95 % interval.

    By leaving out a twentieth of one set at a time. The bootstrap, which draws rows
    twice, would take each set for a smaller one: a Frechet distance grows by that, and
    would grow again in each resampling. Leaving out changes all values alike.

    Where the statistic is not linear in the rows the interval is too wide rather than
    too narrow (Efron and Stein 1981).

    Args:
      statistic: (rows of the first set that are kept, of the second, ...) -> number,
        from a bool array `[count]` for each set.
      counts: of the rows of each set; the sets are independent of each other.

    Returns:
      "value" of all rows, "low" and "high"; these are NaN if a value is not finite or a
      set has one row.
    """
    everything = [np.ones(count, bool) for count in counts]
    value = statistic(*everything)
    variance = 0.0
    for i, count in enumerate(counts):
        groups = min(_GROUPS, count)
        values = []
        for group in range(groups):
            kept = list(everything)
            kept[i] = np.arange(count) % groups != group
            values.append(statistic(*kept) if groups > 1 else math.nan)
        known = all(map(math.isfinite, values))
        variance += (groups - 1) * float(np.var(values)) if known else math.nan
    half = _STUDENT * math.sqrt(variance) if math.isfinite(variance) else math.nan
    return {"value": float(value), "low": value - half, "high": value + half}


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
