"""Intervals cover the truth as often as they say; tests count as they should."""

import numpy as np
import pytest
import scipy.stats

from experiments import statistics


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        found = statistics.interval(rng.normal(0.3, 1.0, 40), rng)
        hits += found["low"] <= 0.3 <= found["high"]
    assert 86 <= hits <= 99


@pytest.mark.parametrize(("rises", "falls"), [(1, 0), (3, 9), (9, 3), (6, 6), (0, 40)])
def test_the_sign_test_is_the_binomial_one(rises, falls):
    differences = np.array([0.3] * rises + [-2.0] * falls)
    expected = scipy.stats.binomtest(rises, rises + falls).pvalue
    assert statistics.sign_test(differences) == pytest.approx(expected, rel=1e-9)


def test_ties_say_nothing():
    differences = np.array([0.0, 1.0, 1.0, 0.0, 1.0, -1.0])
    assert statistics.sign_test(differences) == statistics.sign_test(differences[1:])
    assert statistics.sign_test(np.zeros(3)) == 1.0


def test_holm_corrects_by_how_many_are_not_smaller():
    # By hand: 4 * 0.01, 3 * 0.02, then not less than those before, then at most 1.
    found = statistics.holm(np.array([0.5, 0.01, 0.025, 0.02]))
    np.testing.assert_allclose(found, [0.5, 0.04, 0.06, 0.06])
    assert statistics.holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]
