"""Searches of equal time or steps: how many steps each method gets."""

import time
from typing import TypedDict

import numpy as np

from experiments.common import cases, progress
from experiments.search import search_methods
from inpaint_jax.errors import InputError
from inpaint_jax.search.problem import Settings

_STEPS, _ROUNDS = 10, 5


class Plan(TypedDict):
    """What a method gets.

    Attributes:
      restarts: of each image.
      iterations: steps of each restart.
      step_seconds: what a step takes for one image.
      planned_seconds: what its search is to take.
    """

    restarts: int
    iterations: int
    step_seconds: float
    planned_seconds: float


def check(prepared: dict[str, search_methods.SearchMethod], *, baseline: str) -> None:
    """Refuses searches of which equal time cannot be promised.

    Args:
      prepared: {name: method}.
      baseline: the name of the one whose time the others get.

    Raises:
      InputError: they have other restarts or steps, a schedule, or may stop early.
    """
    stages = prepared[baseline].settings.stages
    for name, method in prepared.items():
        settings = method.settings
        if settings.restart_schedule or settings.stages != stages:
            raise InputError(
                f"method {name}: must have the --restarts and --iterations of "
                f"{baseline} and no --restart_schedule; its steps are set by its time."
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
    """Finds the steps that each method gets.

    The seconds of a step are the median over rounds in which each method has its turn,
    so that what slows the machine down slows all of them.

    Args:
      prepared: {name: method}, see `check`.
      inputs: at most `at_once` images to search for.
      baseline: the name of the one whose steps are as its flags say.
      at_once: how many are searched for as one program.
      equal: what all methods get as much of as the baseline, "time" or "steps".

    Returns:
      {name: plan}.
    """
    runs = {}
    for name, method in prepared.items():
        problems = [method.guidance.problem(case)[0] for case in inputs]
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
    step = {  # the first round compiles
        name: float(np.median(seconds[1:])) / (_STEPS * at_once)
        for name, seconds in times.items()
    }
    # Terms only add to a step: what seems to be faster than the baseline is noise.
    share = {
        name: min(1.0, step[baseline] / step[name]) if equal == "time" else 1.0
        for name in step
    }
    return {
        name: _plan(method.settings, step[name], share[name])
        for name, method in prepared.items()
    }


def _plan(settings: Settings, step: float, ratio: float) -> Plan:
    iterations = max(1, round(settings.iterations * ratio))
    return {
        "restarts": settings.restarts,
        "iterations": iterations,
        "step_seconds": step,
        "planned_seconds": iterations * step,
    }
