"""Intervals cover the truth as often as they say; tests count as they should."""

import numpy as np
import pytest
import scipy.stats

from experiments.common import statistics


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


@pytest.mark.parametrize(
    ("hits", "count"), [(0, 5), (5, 5), (1, 1), (3, 40), (457, 500)]
)
def test_the_interval_of_a_share_is_wilsons(hits, count):
    found = statistics.proportion(np.arange(count) < hits)
    expected = scipy.stats.binomtest(hits, count).proportion_ci(method="wilson")
    assert found["value"] == hits / count
    np.testing.assert_allclose([found["low"], found["high"]], expected, atol=1e-6)


def test_the_jackknife_of_a_mean_is_students_interval():
    x = np.random.default_rng(0).normal(3.0, 2.0, 20)  # each group is one row
    found = statistics.jackknife(lambda kept: float(np.mean(x[kept])), [20])
    expected = scipy.stats.t.interval(0.95, 19, np.mean(x), scipy.stats.sem(x))
    assert found["value"] == np.mean(x)
    np.testing.assert_allclose([found["low"], found["high"]], expected, rtol=1e-6)


def test_variances_of_independent_sets_add_up():
    rng = np.random.default_rng(1)
    sets = rng.normal(size=60), rng.normal(2.0, 3.0, 100)

    def half(statistic, *counts):
        found = statistics.jackknife(statistic, counts)
        return found["high"] - found["value"]

    both = half(lambda *kept: mean(sets[0], kept[0]) - mean(sets[1], kept[1]), 60, 100)
    alone = [half(lambda kept, x=x: mean(x, kept), len(x)) for x in sets]
    assert both == pytest.approx(np.hypot(*alone))


def mean(x, kept):
    return float(np.mean(x[kept]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("value", "count"), [(np.nan, 40), (np.inf, 40), (2.0, 1)])
def test_what_has_no_value_has_no_interval(value, count):
    found = statistics.jackknife(lambda kept: value, [count])
    assert np.isnan(found["low"]) and np.isnan(found["high"])
