"""Curves go through the losses that a trace holds, and only through these."""

import re

import numpy as np
import pytest

from experiments.search import loss_curves


def line(step, loss, best=None):
    return {"step": step, "loss": loss, "best_loss": loss if best is None else best}


def curves(svg, name):
    """The points of each line of a class, in the drawing's units."""
    found = re.findall(rf'<g class="{name}"><polyline points="([^"]*)"', svg)
    return [
        np.array([list(map(float, p.split(","))) for p in each.split()])
        for each in found
    ]


def test_lines_are_the_losses_on_linear_axes():
    trace = [line(10, [4.0, 2.0]), line(20, [3.0, 2.5], [3.0, 2.0]), line(40, [1.0, 0])]
    svg = loss_curves.svg(trace)
    first, second = curves(svg, "loss")
    (best,) = curves(svg, "best")
    # Losses fall to the right and down: 4 at step 10 is the corner, 0 at 40 the other.
    span = second[-1] - first[0]
    assert (span > 0).all()
    for have, losses in ((first, [4, 3, 1]), (second, [2, 2.5, 0]), (best, [2, 2, 0])):
        want = first[0] + span * np.stack(
            [(np.array([10, 20, 40]) - 10) / 30, (4 - np.array(losses)) / 4], axis=1
        )
        np.testing.assert_allclose(have, want, atol=0.06)


def test_a_schedule_begins_new_lines():
    trace = [line(1, [4.0, 3.0]), line(2, [3.0, 2.0]), line(3, [1.0])]
    svg = loss_curves.svg(trace)
    assert [len(each) for each in curves(svg, "loss")] == [2, 2, 1]
    assert [len(each) for each in curves(svg, "best")] == [3]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_left_out(bad):
    trace = [line(1, [4.0]), line(2, [bad]), line(3, [2.0])]
    svg = loss_curves.svg(trace)
    assert [len(each) for each in curves(svg, "loss")] == [1, 1]
    assert "nan" not in svg and "inf" not in svg
    assert "<svg" not in loss_curves.svg([line(1, [bad, bad])])
    assert "<svg" not in loss_curves.svg([])


@pytest.mark.parametrize("loss", [0.0, 1e-12, -3.0, 5e8])
def test_a_single_point_is_drawn_inside(loss):
    svg = loss_curves.svg([line(25, [loss])])
    [(x, y)] = curves(svg, "best")[0].tolist()
    assert 58 <= x <= 368 and 10 <= y <= 164


@pytest.mark.parametrize(
    ("low", "high", "want"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.11, 0.19, [0.12, 0.14, 0.16, 0.18]),
        (-250.0, 700.0, [-200, 0, 200, 400, 600]),
    ],
)
def test_ticks_are_round_numbers(low, high, want):
    np.testing.assert_allclose(loss_curves.ticks(low, high, most=5), want, atol=1e-9)
