"""Searches for pictures in groups, one program each."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from experiments.common import cases, input_paths, skipping
from experiments.search import landmark_guidance, searches, targets
from inpaint_jax import runtime
from inpaint_jax.errors import InputError
from inpaint_jax.search import driver, program
from inpaint_jax.search.problem import Problem

Read = Callable[[input_paths.Input], list[cases.Case]]
"""Input -> the picture's faces with their masks, see `photo_cases.read`."""

Best = Float[jax.Array, " z_dim"]


class Task(NamedTuple):
    """A picture to complete.

    Attributes:
      case: the input.
      problem: the damaged image with its target landmarks.
      described: the report's entry about its landmarks.
    """

    case: cases.Case
    problem: Problem
    described: targets.Entry


class Found(NamedTuple):
    """The result of the search for a picture.

    Attributes:
      task: the picture.
      last: the last progress of its search.
      best: z of the best restart after each chunk.
      seconds: time of the search, see `searches.Report`.
      trace: JSON values after each chunk: step, losses, seconds.
    """

    task: Task
    last: driver.Progress
    best: list[Best]
    seconds: float
    trace: list[dict[str, Any]]


def tasks(
    inputs: Iterable[input_paths.Input],
    read: Read,
    guidance: landmark_guidance.LandmarkGuidance,
    skipped: skipping.Skipped,
) -> Iterator[Task]:
    """Reads pictures one by one, as they are needed.

    Args:
      inputs: the pictures.
      read: reads the faces of a picture.
      guidance: landmark guidance of the search.
      skipped: records pictures that cannot be read or have no landmarks.

    Yields:
      The other pictures.
    """
    for picture in inputs:
        try:
            found = [Task(case, *guidance.problem(case)) for case in read(picture)]
        except InputError as error:
            skipped.add(picture.path, error)
        else:
            yield from found


def search(
    tasks: Iterator[Task],
    compiled: program.Search,
    *,
    most: int,
    memory: float | None,
) -> Iterator[Found]:
    """Searches for pictures, as many at once as the memory allows.

    Args:
      tasks: the pictures.
      compiled: the search.
      most: largest number of pictures that are searched for at once.
      memory: memory in GB for the program; None for 80 % of the free memory.

    Yields:
      The result of each picture, in their order.

    Raises:
      InputError: the memory is too small for one picture.
    """
    at_once = None
    while group := list(itertools.islice(tasks, most)):
        if at_once is None:
            at_once = _that_fit(most, group[0], compiled, memory)
        for first in range(0, len(group), at_once):
            part = group[first : first + at_once]
            yield from _together(part, compiled, at_once=at_once)


def _that_fit(
    most: int, task: Task, compiled: program.Search, memory: float | None
) -> int:
    """Returns how many pictures like this one fit into the memory, at most `most`."""
    if most == 1 and memory is None:
        return 1
    gigabytes = memory or 0.8 * runtime.free_memory() / 1e9
    one = compiled.memory(task.case.key, task.problem) / 1e9
    if one > gigabytes:
        raise InputError(
            f"--max_memory={gigabytes:.3g}: one picture takes {one:.2g} GB; allow more "
            "or give fewer --restarts."
        )
    return min(most, int(gigabytes / one))


def _together(
    part: list[Task], compiled: program.Search, *, at_once: int
) -> list[Found]:
    """Searches for some pictures with one program, see `searches.together`."""
    found: list[Found | None] = [None] * len(part)
    names = [task.case.name for task in part]
    name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    keys, problems = zip(*((task.case.key, task.problem) for task in part), strict=True)
    for reports in searches.together(
        keys, problems, compiled, at_once=at_once, name=name
    ):
        for i, (task, report) in enumerate(zip(part, reports, strict=True)):
            if report.progress is not None:
                now, seconds = report.progress, report.seconds
                found[i] = _continued(found[i], task, now, seconds)
    return [each for each in found if each is not None]


def _continued(
    before: Found | None, task: Task, now: driver.Progress, seconds: float
) -> Found:
    best, trace = ([], []) if before is None else (before.best, before.trace)
    if np.isfinite(now.best_loss).any():
        best = [*best, now.best_z]
    line = {
        "image": task.case.name,
        "step": now.iteration,
        "loss": now.loss.tolist(),
        "best_loss": now.best_loss.tolist(),
        "seconds": round(seconds, 3),
    }
    return Found(task, now, best, seconds, [*trace, line])
