"""Intervals cover the truth as often as they say; tests count as they should."""

import math

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


def test_the_interval_of_skewed_values_reaches_further_to_where_they_reach():
    values = np.random.default_rng(0).lognormal(size=30)
    found = statistics.interval(values, np.random.default_rng(1))
    assert found["mean"] == values.mean()
    below, above = found["mean"] - found["low"], found["high"] - found["mean"]
    mirrored = statistics.interval(-values, np.random.default_rng(1))
    assert above > 1.2 * below > 0.0
    np.testing.assert_allclose(mirrored["high"], -found["low"], rtol=0.02)


def test_the_same_generator_gives_the_same_interval():
    values = np.random.default_rng(0).normal(size=7)
    first, second = (
        statistics.interval(values, np.random.default_rng(3)) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("value", [0.0, -0.1, 3.7])
def test_equal_values_leave_no_doubt(value):
    found = statistics.interval(np.full(20, value), np.random.default_rng(0))
    expected = {"mean": value, "low": value, "high": value}
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("values", [[1.0], [1.0, np.nan, 2.0], [1.0, np.inf]])
def test_without_a_known_spread_there_are_no_ends(values):
    found = statistics.interval(np.array(values), np.random.default_rng(0))
    np.testing.assert_equal(found["mean"], np.mean(values))
    assert np.isnan(found["low"]) and np.isnan(found["high"])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_ends_of_few_values_lie_among_them(count):
    values = np.arange(count) ** 2.0
    found = statistics.interval(values, np.random.default_rng(0))
    assert 0.0 <= found["low"] < found["mean"] < found["high"] <= values[-1]


@pytest.mark.parametrize("count", [2, 20, 500])
def test_one_value_that_differs_has_an_interval_around_the_mean(count):
    values = np.zeros(count)
    values[0] = 1.0
    found = statistics.interval(values, np.random.default_rng(0))
    assert 0.0 <= found["low"] < found["mean"] < found["high"] <= 1.0


def test_more_values_than_are_drawn_at_once():
    values = np.random.default_rng(0).normal(size=3000)
    found = statistics.interval(values, np.random.default_rng(0))
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found["high"] - found["low"] == pytest.approx(2 * half, rel=0.05)


@pytest.mark.parametrize(("rises", "falls"), [(1, 0), (3, 9), (9, 3), (6, 6), (0, 40)])
def test_the_sign_test_counts_outcomes_that_are_as_uneven(rises, falls):
    differences = np.array([0.3] * rises + [-2.0] * falls)
    count = rises + falls
    uneven = [k for k in range(count + 1) if abs(2 * k - count) >= abs(rises - falls)]
    expected = sum(math.comb(count, k) for k in uneven) / 2**count
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
    share = hits / count
    assert found["value"] == share and 0.0 <= found["low"] < found["high"] <= 1.0
    # Its ends are the shares that are just not rejected (Wilson 1927).
    for end in (found["low"], found["high"]):
        if end not in (0.0, 1.0):
            error = math.sqrt(end * (1.0 - end) / count)
            assert abs(share - end) == pytest.approx(1.959964 * error, rel=1e-6)


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
