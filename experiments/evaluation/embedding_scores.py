"""Scores of completions by their face embeddings: as a set of faces, and who they seem.

`frechet_face` punishes what means over faces do not: faces that are all alike, and
holes that are blurred. The reference is the originals of the same faces, so it is 0 for
perfect completions, and depends on how many there are: only methods on the same faces
can be compared.

`same_gender` is the share of completions that look of the gender that the original
looks of, to a classifier of both, see `inpaint_jax.evaluation.attributes`. It says
nothing about the people.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from experiments.common import statistics
from experiments.evaluation.kept_completions import Embeddings
from inpaint_jax.evaluation import attributes, distribution
from inpaint_jax.pretrained import attribute_classifier

Score = dict[str, float]
"""{"value", "low", "high"}: a score and its 95 % interval."""


def frechet_face(
    completed: Sequence[Embeddings],
    original: Embeddings,
    *,
    baseline: Sequence[Embeddings] = (),
) -> Score:
    """Returns the distance of a method, or its difference to another method.

    Args:
      completed: embeddings of the completions, the same faces for each seed.
      original: embeddings of the originals, in the same order.
      baseline: embeddings of the other method's completions.

    Returns:
      The mean over the seeds, with the interval by the jackknife over the faces.
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


def same_gender(
    completed: Sequence[Embeddings],
    original: Embeddings,
    *,
    baseline: Sequence[Embeddings] = (),
) -> Score:
    """Returns the share of completions that look of their original's gender.

    Args:
      completed: as in `frechet_face`.
      original: as in `frechet_face`.
      baseline: as in `frechet_face`; the difference of the shares then.

    Returns:
      The mean over seeds and faces, with the interval by the bootstrap over the faces.
    """

    def shares(sets: Sequence[Embeddings]) -> Float[np.ndarray, " faces"]:
        same = [_looks_male(each) == _looks_male(original) for each in sets]
        return np.mean(same, axis=0)

    values = shares(completed) - (shares(baseline) if baseline else 0.0)
    found = statistics.interval(values, np.random.default_rng(0))
    return {"value": found["mean"], "low": found["low"], "high": found["high"]}


SCORES: dict[str, Callable[..., Score]] = {
    "frechet_face": frechet_face,
    "same_gender": same_gender,
}
"""{name: function}, which all have the same arguments."""

LESS_IS_BETTER = ("frechet_face",)


def _looks_male(embeddings: Embeddings) -> Bool[np.ndarray, " faces"]:
    return attributes.probability(_classifier(), embeddings) > 0.5


@functools.cache
def _classifier() -> attributes.Classifier:
    return attribute_classifier.load("release", "male")
