"""Scores of embeddings against the definition, and what is paired."""

import numpy as np
import pytest

from experiments.evaluation import embedding_scores
from inpaint_jax.evaluation import attributes, distribution


def faces(count, *, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, 128)) * 0.1 + shift).astype(np.float32)


def test_the_value_is_the_mean_over_seeds():
    original, seeds = faces(40, seed=0), [faces(40, seed=1), faces(40, seed=2)]
    found = embedding_scores.frechet_face(seeds, original)
    each = [distribution.frechet(one, original) for one in seeds]
    assert found["value"] == pytest.approx(np.mean(each))
    assert found["low"] < found["value"] < found["high"]


def test_equal_sets_have_no_distance_and_no_difference():
    original = faces(40, seed=0)
    assert embedding_scores.frechet_face([original], original)["value"] < 1e-6
    other = [faces(40, seed=1)]
    found = embedding_scores.frechet_face(other, original, baseline=other)
    assert (found["value"], found["low"], found["high"]) == (0.0, 0.0, 0.0)


def test_a_difference_is_paired_over_faces():
    original, near = faces(60, seed=0), [faces(60, seed=1)]
    other = [near[0] + faces(60, seed=2, shift=0.5) * 0.1]  # alike, a little farther
    found = embedding_scores.frechet_face(near, original, baseline=other)
    widths = [
        interval["high"] - interval["low"]
        for interval in (
            found,
            *(embedding_scores.frechet_face(one, original) for one in (near, other)),
        )
    ]
    assert found["high"] < 0
    assert found["value"] == pytest.approx(-128 * 0.05**2, rel=0.3)
    assert widths[0] < 0.5 * min(widths[1:])


@pytest.fixture
def by_first(monkeypatch):
    """A classifier that looks at the first coordinate."""
    weights = np.zeros(128, np.float32)
    weights[0] = 1.0
    found = attributes.Classifier(weights, np.zeros(1, np.float32))
    monkeypatch.setattr(embedding_scores, "_classifier", lambda: found)


def of_signs(signs):
    found = faces(len(signs), seed=3)
    found[:, 0] = signs
    return found


@pytest.mark.usefixtures("by_first")
def test_genders_are_compared_face_by_face():
    original = of_signs([1, 1, -1, -1, 1])
    same, other = of_signs([2, 3, -1, -4, 1]), of_signs([1, -1, 1, -1, -1])
    assert embedding_scores.same_gender([same], original)["value"] == 1.0
    found = embedding_scores.same_gender([same, other], original)
    assert found["value"] == pytest.approx((1.0 + 2 / 5) / 2)
    found = embedding_scores.same_gender([other], original, baseline=[same])
    assert found["value"] == pytest.approx(2 / 5 - 1.0)
    assert found["low"] <= found["value"] <= found["high"]
