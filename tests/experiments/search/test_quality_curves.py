"""Searches through time: what each had reached by then, and how that is drawn."""

import numpy as np
from matplotlib import colors

from experiments.common import plots
from experiments.search import quality_curves
from experiments.search.quality_curves import Point

LEGEND = 60


def test_quality_is_what_each_search_had_reached_by_then():
    first = [Point(1.0, 5.0, 10.0), Point(3.0, 1.0, 20.0)]
    second = [Point(2.0, 3.0, 30.0)]
    assert quality_curves.mean_at([first, second], 1.5) is None
    mean = quality_curves.mean_at([first, second], 2.5)
    assert mean == {"loss": 4.0, "psnr_hole": 20.0, "seconds": 1.5}
    assert quality_curves.mean_at([first, second], 9.0)["loss"] == 2.0


def run(offset):
    return [Point(t, 1.0 / t + offset, t - offset) for t in (0.5, 1.0, 2.0, 4.0)]


def test_the_loss_falls_above_and_the_psnr_rises_below():
    found = coloured(quality_curves.draw({"one": [run(0.0)]}, longest=4.0))
    for half, sign in zip(np.array_split(found, 2), (1, -1), strict=True):
        y, x = np.nonzero(half)
        left, right = y[x < x.min() + 20].mean(), y[x > x.max() - 20].mean()
        assert sign * (right - left) > 60


def coloured(image, index=0):
    """Whether pixels have the colour of a method; the legend is left out."""
    ink = np.array(colors.to_rgb(plots.COLOURS[index])) * 255
    found = np.abs(image - ink).max(axis=-1) < 40
    found[:LEGEND] = False
    return found


def test_a_bar_shows_how_far_faces_are_apart():
    def height(*offsets):
        runs = [run(offset) for offset in offsets]
        found = coloured(quality_curves.draw({"one": runs}, longest=4.0))
        lower = found[found.shape[0] // 2 :]
        return lower.sum(axis=0).max()  # of the column with the longest bar

    one, near, far = height(0.0), height(-0.3, 0.0, 0.3), height(-0.9, 0.0, 0.9)
    assert one < near < 0.8 * far


def test_a_search_that_got_nowhere_in_time_has_no_curve():
    late = [Point(9.0, 1.0, 1.0)]
    image = quality_curves.draw({"one": [run(0.0)], "two": [late]}, longest=4.0)
    assert coloured(image).any() and not coloured(image, 1).any()
