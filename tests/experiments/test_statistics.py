"""Intervals cover the truth as often as they say."""

import numpy as np

from experiments import statistics


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        found = statistics.interval(rng.normal(0.3, 1.0, 40), rng)
        hits += found["low"] <= 0.3 <= found["high"]
    assert 86 <= hits <= 99
