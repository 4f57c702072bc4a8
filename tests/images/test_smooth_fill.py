"""Holes are filled from around them, and nothing else changes."""

import numpy as np

from inpaint_jax.images import smooth_fill
from tests import drawn


def test_a_filled_hole_lies_between_the_colours_around_it_and_continues_a_slope():
    slope = np.broadcast_to(np.arange(20, 84)[None, :, None], (48, 64, 3))
    picture = slope.astype(np.uint8)
    hole = np.zeros((48, 64), bool)
    hole[15:31, 20:41] = True
    damaged = np.where(hole[:, :, None], 255, picture).astype(np.uint8)
    got = smooth_fill.fill(damaged, hole)
    np.testing.assert_array_equal(got[~hole], picture[~hole])
    inside = got[hole].astype(int)
    assert inside.min() >= 20 and inside.max() <= 83
    assert np.abs(inside - picture[hole]).mean() < 5


def test_what_the_hole_holds_does_not_matter():
    picture, other = drawn.noise(33, 41, 3), drawn.noise(33, 41, 3, seed=1)
    hole = drawn.noise(33, 41, seed=2) < 200
    mixed = np.where(hole[:, :, None], other, picture)
    np.testing.assert_array_equal(
        smooth_fill.fill(mixed, hole), smooth_fill.fill(picture, hole)
    )


def test_without_a_hole_nothing_is_filled():
    picture = drawn.noise(5, 4, 3)
    nothing = np.zeros((5, 4), bool)
    np.testing.assert_array_equal(smooth_fill.fill(picture, nothing), picture)
