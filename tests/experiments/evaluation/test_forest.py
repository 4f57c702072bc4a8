"""What is drawn lies where the numbers say."""

import numpy as np
import pytest

from experiments.evaluation import forest

FULL = forest.Mark(-0.5, -0.75, -0.25, True)
HOLLOW = forest.Mark(0.5, -0.1, 0.8, False)
NONE = forest.Mark(np.nan, np.nan, np.nan, False)


def drawn(*marks):
    """One panel with one group, a row for each mark."""
    rows = {f"row {i}": {"centre": mark} for i, mark in enumerate(marks)}
    return forest.draw({"nme": rows}, notes={"nme": "less is better"})


def coloured(image):
    """(y, x) of the pixels of the first group, its name above the panel left out."""
    found = np.argwhere((image == forest.COLOURS[0]).all(axis=-1))
    return found[found[:, 0] > 60]


def test_a_line_spans_its_interval():
    image = drawn(FULL, HOLLOW)
    y, x = coloured(image).T
    upper, lower = x[y < y.mean()], x[y > y.mean()]
    # Scale: the furthest end is 0.8, so the axis goes from -0.8 to 0.8.
    ink = np.argwhere((image[64:65] == 30).all(axis=-1))  # the line at 0
    zero = np.median(ink[:, 1])
    unit = (lower.max() - zero) / 0.8
    assert upper.min() == pytest.approx(zero - 0.75 * unit, abs=2)
    assert upper.max() == pytest.approx(zero - 0.25 * unit, abs=2)
    assert lower.min() == pytest.approx(zero - 0.1 * unit, abs=2)


def test_only_what_is_real_has_a_full_dot():
    def filled(mark):
        return len(coloured(drawn(mark)))

    assert filled(FULL._replace(real=True)) > filled(FULL._replace(real=False))


def test_what_is_not_known_is_left_out():
    assert len(coloured(drawn(NONE, NONE))) == 0
    assert len(coloured(drawn(NONE, FULL))) > 0
