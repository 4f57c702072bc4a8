"""What is drawn lies where the numbers say."""

import numpy as np
import pytest
from matplotlib import colors

from experiments.common import plots
from experiments.evaluation import forest

FULL = forest.Mark(-0.5, -0.75, -0.25, True)
HOLLOW = forest.Mark(0.5, -0.1, 0.8, False)
NONE = forest.Mark(np.nan, np.nan, np.nan, False)
LEGEND = 40


def drawn(*marks):
    """One panel with one group, a row for each mark, without the legend above it."""
    rows = {f"row {i}": {"centre": mark} for i, mark in enumerate(marks)}
    return forest.draw({"nme": rows}, labels={"nme": "less"}, caption="")[LEGEND:]


def coloured(image, group=0):
    """(y, x) of the pixels of a group."""
    ink = np.array(colors.to_rgb(plots.COLOURS[group])) * 255
    return np.argwhere(np.abs(image - ink).max(axis=-1) < 60)


def test_a_line_spans_its_interval():
    image = drawn(FULL, HOLLOW)
    y, x = coloured(image).T
    middle = (y.min() + y.max()) / 2
    upper, lower = x[y < middle], x[y > middle]
    # The line at 0 is the column with the most black.
    zero = np.argmax((image < 60).all(axis=-1).sum(axis=0))
    unit = (lower.max() - zero) / 0.8
    assert unit > 50
    assert upper.min() == pytest.approx(zero - 0.75 * unit, abs=3)
    assert upper.max() == pytest.approx(zero - 0.25 * unit, abs=3)
    assert lower.min() == pytest.approx(zero - 0.1 * unit, abs=3)


def test_only_what_is_real_has_a_full_marker():
    def filled(mark):
        return len(coloured(drawn(mark)))

    assert filled(FULL) > filled(FULL._replace(real=False)) + 10


def test_what_is_not_known_is_left_out():
    assert len(coloured(drawn(NONE, NONE))) == 0
    assert len(coloured(drawn(NONE, FULL))) > 0


def test_groups_of_a_row_are_drawn_one_below_the_other():
    row = {"centre": FULL, "left": FULL}
    image = forest.draw({"nme": {"row": row}}, labels={"nme": ""}, caption="")[LEGEND:]
    upper, lower = (coloured(image, group) for group in (0, 1))
    assert upper[:, 0].max() < lower[:, 0].min()
    np.testing.assert_allclose(upper[:, 1].min(), lower[:, 1].min(), atol=1)
