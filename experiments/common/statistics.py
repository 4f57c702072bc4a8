"""What can be said of a mean from the images at hand."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy  # imports scipy.stats when it is first used
from jaxtyping import Bool, Float

_RESAMPLES, _AT_ONCE = 10_000, 1_000
_GROUPS = 20  # of the jackknife


def interval(
    values: Float[np.ndarray, " images"], rng: np.random.Generator
) -> dict[str, float]:
    """Returns a mean and its 95 % interval by the bootstrap (BCa, Efron 1987).

    Args:
      values: one for each image, at least 1.
      rng: of the resampling.

    Returns:
      "mean", "low" and "high". The interval of equal values has no width. The ends are
      NaN where the spread is not known: there is only one value, or one is not finite.
    """
    mean = low = high = float(np.mean(values))
    if len(values) < 2 or not np.isfinite(values).all():
        low = high = math.nan
    elif np.ptp(values) > 0.0:
        found = scipy.stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=_RESAMPLES,
            batch=_AT_ONCE,
            method="BCa",
            rng=rng,
        )
        low, high = map(float, found.confidence_interval)
    return {"mean": mean, "low": low, "high": high}


def proportion(hits: Bool[np.ndarray, " images"]) -> dict[str, float]:
    """Returns the fraction of hits and its 95 % interval by Wilson's score (1927).

    Unlike the bootstrap's it has a width where all images are hits, or none.

    Args:
      hits: one for each image, at least 1.
    """
    test = scipy.stats.binomtest(int(np.sum(hits)), len(hits))
    low, high = test.proportion_ci(method="wilson")
    return {"value": float(np.mean(hits)), "low": float(low), "high": float(high)}


def jackknife(
    statistic: Callable[..., float], counts: Sequence[int]
) -> dict[str, float]:
    """Returns a statistic of several sets of rows and its 95 % interval.

    A twentieth of one set is left out at a time. The bootstrap draws rows twice, and so
    has fewer different rows than the set: a Frechet distance grows by that, and would
    grow again in each resampling. Leaving rows out changes all values alike.

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
    student = float(scipy.stats.t.ppf(0.975, _GROUPS - 1))
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
    half = student * math.sqrt(variance) if math.isfinite(variance) else math.nan
    return {"value": float(value), "low": value - half, "high": value + half}


def sign_test(differences: Float[np.ndarray, " images"]) -> float:
    """Returns the two-sided exact p-value of as many rises as falls.

    Args:
      differences: one for each image; those of 0 are left out. If none is left, the
        p-value is 1.
    """
    rises, falls = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    return (
        float(scipy.stats.binomtest(rises, rises + falls).pvalue)
        if rises + falls
        else 1.0
    )


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
