"""Gives the compared methods equal time or steps: the number of steps of each."""

import time
from typing import TypedDict

import numpy as np

from experiments.common import cases, progress
from experiments.search import search_methods
from inpaint_jax.errors import InputError
from inpaint_jax.search.settings import Settings

_STEPS, _ROUNDS = 10, 5


class Plan(TypedDict):
    """The budget of one method for each image.

    Attributes:
      restarts: number of restarts.
      iterations: steps of each restart.
      step_seconds: measured seconds of a step; 0 if it was not measured.
      planned_seconds: expected seconds of the search; 0 as well.
    """

    restarts: int
    iterations: int
    step_seconds: float
    planned_seconds: float


def check(prepared: dict[str, search_methods.SearchMethod], *, baseline: str) -> None:
    """Checks that the methods can be compared at equal time.

    Args:
      prepared: {name: method}.
      baseline: name of the method whose time the others get.

    Raises:
      InputError: a method has more restarts or steps, a restart schedule, or early
        stopping.
    """
    usual = prepared[baseline].settings
    for name, method in prepared.items():
        settings = method.settings
        more = settings.restarts > usual.restarts
        if more or settings.iterations > usual.iterations or settings.restart_schedule:
            raise InputError(
                f"method {name}: must have the --restarts and --iterations of "
                f"{baseline}, or fewer, and no --restart_schedule."
            )
        if settings.patience:
            raise InputError(
                f"--patience={settings.patience}: method {name} must not stop early; "
                "give --patience=0."
            )


def measure(
    prepared: dict[str, search_methods.SearchMethod],
    inputs: list[cases.Case],
    *,
    baseline: str,
    at_once: int,
    equal: str = "time",
) -> dict[str, Plan]:
    """Measures the time of a step and returns the budget of each method.

    The seconds of a step are the median over rounds in which all methods take turns, so
    that a slow machine slows all of them. A method that asks for fewer restarts or
    steps than the baseline keeps them.

    Args:
      prepared: {name: method}, see `check`.
      inputs: at most `at_once` images to search for.
      baseline: name of the method that keeps the steps of its flags.
      at_once: number of images that one program searches for.
      equal: "time" or "steps": the budget that all methods share with the baseline.

    Returns:
      {name: plan}.
    """
    if equal == "steps":
        return {
            name: _plan(method.settings, 0.0, 1.0) for name, method in prepared.items()
        }
    step = _seconds_of_steps(prepared, inputs, at_once=at_once)
    # Terms only add time to a step: one that seems faster than the baseline is noise.
    usual = prepared[baseline].settings.stages
    ratio = {
        name: min(1.0, step[baseline] / step[name])
        if method.settings.stages == usual
        else 1.0
        for name, method in prepared.items()
    }
    return {
        name: _plan(method.settings, step[name], ratio[name])
        for name, method in prepared.items()
    }


def _seconds_of_steps(
    prepared: dict[str, search_methods.SearchMethod],
    inputs: list[cases.Case],
    *,
    at_once: int,
) -> dict[str, float]:
    """Measures the seconds that a step takes for each image, see `measure`."""
    runs = {}
    for name, method in prepared.items():
        problems = [method.guides.problem(case)[0] for case in inputs]
        short = search_methods.with_stages(
            method, ((method.settings.restarts, _STEPS),)
        )
        runs[name] = short, problems
    times: dict[str, list[float]] = {name: [] for name in runs}
    progress.say(f"measuring the seconds of a step of {len(runs)} methods")
    for _ in range(1 + _ROUNDS):
        for name, (method, problems) in runs.items():
            started = time.perf_counter()
            search_methods.search(method, inputs, problems, at_once=at_once)
            times[name].append(time.perf_counter() - started)
    return {  # the first round compiles
        name: float(np.median(seconds[1:])) / (_STEPS * at_once)
        for name, seconds in times.items()
    }


def _plan(settings: Settings, step: float, ratio: float) -> Plan:
    iterations = max(1, round(settings.iterations * ratio))
    return {
        "restarts": settings.restarts,
        "iterations": iterations,
        "step_seconds": step,
        "planned_seconds": iterations * step,
    }
