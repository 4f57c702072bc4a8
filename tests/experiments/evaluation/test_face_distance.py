"""The distance of sets of faces against the one of all rows, and what is paired."""

import numpy as np
import pytest

from experiments.evaluation import face_distance
from inpaint_jax.evaluation import distribution


def faces(count, *, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, 128)) * 0.1 + shift).astype(np.float32)


def test_the_value_is_the_mean_over_seeds():
    original, seeds = faces(40, seed=0), [faces(40, seed=1), faces(40, seed=2)]
    found = face_distance.frechet_face(seeds, original)
    each = [distribution.frechet(one, original) for one in seeds]
    assert found["value"] == pytest.approx(np.mean(each))
    assert found["low"] < found["value"] < found["high"]


def test_equal_sets_have_no_distance_and_no_difference():
    original = faces(40, seed=0)
    assert face_distance.frechet_face([original], original)["value"] < 1e-6
    other = [faces(40, seed=1)]
    found = face_distance.frechet_face(other, original, baseline=other)
    assert (found["value"], found["low"], found["high"]) == (0.0, 0.0, 0.0)


def test_a_difference_is_paired_over_faces():
    original, near = faces(60, seed=0), [faces(60, seed=1)]
    other = [near[0] + faces(60, seed=2, shift=0.5) * 0.1]  # alike, a little farther
    found = face_distance.frechet_face(near, original, baseline=other)
    widths = [
        interval["high"] - interval["low"]
        for interval in (
            found,
            *(face_distance.frechet_face(one, original) for one in (near, other)),
        )
    ]
    assert found["high"] < 0
    assert found["value"] == pytest.approx(-128 * 0.05**2, rel=0.3)
    assert widths[0] < 0.5 * min(widths[1:])
