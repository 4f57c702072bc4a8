"""Tells a training that diverged from one that wobbles."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from inpaint_jax.errors import InputError

# What is logged are losses and errors before their weights. A loss of logits is about
# as large as a logit: 0.1 to 20 while two players are well, some hundreds where one of
# them wins. Errors of pixels in [-1, 1] are at most 4 squared; penalties of gradients
# and distances between features begin in the hundreds, thousands for a moment. A rate
# of 1e6 makes losses of 1e11 to 1e14 within 2 steps, and they stay finite.
LARGEST = 1e5
# A metric may also run away below that, seen from where it was: a thousand times its
# median of the last lines, but a small one may grow to the size of a bad loss.
TIMES, HARMLESS = 1e3, 1e3
_LINES, _ENOUGH = 50, 10


def check(
    values: Mapping[str, float],
    step: int,
    *,
    earlier: Sequence[Mapping[str, float]] = (),
    rates: str = "--generator_rate or --discriminator_rate",
) -> None:
    """Stops a run that diverged.

    Args:
      values: {name: metric} of this step.
      step: how many were taken.
      earlier: the same of the lines of metrics before, the newest last; the last 50 of
        them count. With fewer than 10, as after a resumption, nothing is compared.
      rates: what to lower.

    Raises:
      InputError: a value is NaN or infinite, larger than any that a training has that
        goes well, or far from its median.
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
    """Words for what is wrong, None if nothing is."""
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
