"""A training is stopped when it runs away, and not when it wobbles."""

import math

import numpy as np
import pytest

from experiments.training import divergence
from inpaint_jax.errors import InputError

# Every line that was logged at a rate of 1e6, generator and discriminator.
DIVERGED = [
    (40748539969536.0, 18187542331392.0),
    (244591542403072.0, 181170948014080.0),
    (117976997036032.0, 120180835352576.0),
    (0.0, 31029481963520.0),
]


def lines(values):
    return [{"loss": float(value)} for value in values]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 8e13, -8e13, 1.1e5])
def test_a_value_that_no_healthy_run_has_names_itself(value):
    with pytest.raises(InputError, match=r"^loss is .* at step 40.*--generator_rate"):
        divergence.check({"share": 0.5, "loss": value}, 40)


def test_all_lines_of_a_training_that_diverged_are_refused_without_a_history():
    for losses in DIVERGED:
        with pytest.raises(InputError, match=r"_loss is \d\.\d+e\+1\d at step 2"):
            values = dict(
                zip(("generator_loss", "discriminator_loss"), losses, strict=True)
            )
            divergence.check(values, 2)


def test_losses_that_wobble_as_those_of_two_players_do_are_let_go_on():
    # Log-normal: from 0.02 to 40 in 3000 lines, and a penalty that starts high.
    rng = np.random.default_rng(0)
    losses = np.exp(rng.normal(0.0, 1.2, 3000))
    penalties = 900.0 * np.exp(-np.arange(3000) / 30.0) + 0.01
    earlier = []
    for step, (loss, penalty) in enumerate(zip(losses, penalties, strict=True)):
        values = {"loss": loss, "penalty": penalty}
        divergence.check(values, step, earlier=earlier)
        earlier.append(values)
    assert losses.max() > 30 > 0.03 > losses.min()


def test_what_doubles_with_each_line_is_stopped_before_the_absolute_bound():
    # The median of the lines lags behind by half of them, so ten doublings are seen.
    earlier = []
    with pytest.raises(InputError, match=r"step (1\d|2\d).*median of \d+ lines"):
        for step in range(100):
            values = {"loss": 0.01 * 2.0**step if step > 9 else 0.01}
            divergence.check(values, step, earlier=earlier)
            earlier.append(values)


@pytest.mark.parametrize(
    ("before", "value", "stopped"),
    [
        ([1.0] * 10, 1001.0, True),
        ([-1.0] * 10, -1001.0, True),
        ([1.0] * 9, 1001.0, False),  # too few lines to know a median
        ([1e-6] * 10, 999.0, False),  # large beside what it was, but harmless
        ([2.0] * 10, 1999.0, False),
        ([500.0] * 10, 99_000.0, False),
        ([1e4] * 50 + [1.0] * 50, 1001.0, True),  # the last lines count
        ([1.0] * 50 + [2.0] * 50, 1001.0, False),
    ],
)
def test_a_thousandfold_of_the_median_of_the_last_lines_is_the_bound(
    before, value, stopped
):
    try:
        divergence.check({"loss": value}, 7, earlier=lines(before))
    except InputError:
        assert stopped
    else:
        assert not stopped


def test_a_metric_that_is_new_or_gone_is_compared_with_nothing():
    earlier = [{"gone": 1.0}] * 20
    divergence.check({"new": 5000.0}, 3, earlier=earlier)


def test_the_message_says_what_to_lower():
    with pytest.raises(InputError) as raised:
        divergence.check({"likelihood": math.nan}, 9, rates="--learning_rate")
    assert "likelihood is nan at step 9: training diverged; lower --learning_rate" in (
        str(raised.value)
    )
