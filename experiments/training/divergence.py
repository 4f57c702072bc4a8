"""Detects a training that has diverged, by its metrics."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from inpaint_jax.errors import InputError

# Logged metrics are losses and errors without their weights. A loss of logits is about
# as large as a logit: 0.1 to 20 while G and D are balanced, some hundreds if one of
# them wins. Squared errors of pixels in [-1, 1] are at most 4; gradient penalties and
# distances between features begin in the hundreds, and may be thousands for some steps.
# A learning rate of 1e6 makes losses of 1e11 to 1e14 within 2 steps, still finite.
LARGEST = 1e5
# A smaller metric has also diverged if it is a thousand times its median over the last
# lines, unless it is below the size of a bad loss.
TIMES, HARMLESS = 1e3, 1e3
_LINES, _ENOUGH = 50, 10


def check(
    values: Mapping[str, float],
    step: int,
    *,
    earlier: Sequence[Mapping[str, float]] = (),
    rates: str = "--generator_rate or --discriminator_rate",
) -> None:
    """Raises an error if the metrics of a step have diverged.

    Args:
      values: {name: metric} of this step.
      step: number of steps taken.
      earlier: {name: metric} of earlier lines of the log, newest last; the last 50 are
        used. With fewer than 10, as after a resumption, medians are not compared.
      rates: flags of the learning rates to lower.

    Raises:
      InputError: a value is NaN or infinite, too large, or far above its median.
    """
    lines = earlier[-_LINES:]
    for name, value in values.items():
        reason = _reason(value, [line[name] for line in lines if name in line])
        if reason is not None:
            raise InputError(
                f"{name} is {value:.4g} at step {step}{reason}: training diverged; "
                f"lower {rates} and start anew in another --run_dir."
            )


def _reason(value: float, before: Sequence[float]) -> str | None:
    """Returns why a value has diverged, as a phrase; None if it has not."""
    if not math.isfinite(value):
        return ""
    if abs(value) > LARGEST:
        return f" (at most {LARGEST:g} in a training that goes well)"
    if len(before) < _ENOUGH or abs(value) <= HARMLESS:
        return None
    median = float(np.median(np.abs(before)))
    if abs(value) <= TIMES * median:
        return None
    return f" (its median of {len(before)} lines before is {median:.4g})"
