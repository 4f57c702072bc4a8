"""Searches for pictures in groups, one program each."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from experiments.common import cases, input_paths, progress, skipping, stopping
from experiments.search import guidance, searches, targets
from inpaint_jax import runtime
from inpaint_jax.errors import InputError
from inpaint_jax.io import hashes
from inpaint_jax.search import driver, program
from inpaint_jax.search.problem import Problem

Read = Callable[[input_paths.Input], list[cases.Case]]
"""Input -> the picture's faces with their masks, see `photo_cases.read`."""

Best = Float[jax.Array, " z_dim"]


class Task(NamedTuple):
    """A picture to complete.

    Attributes:
      case: the input.
      problem: the damaged image with its targets.
      described: the report's entry about its targets.
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


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photograph of a run.

    Attributes:
      picture: where it is, and the name of its result.
      depends: what its results depend on, see `resuming.of_picture`.
      companies: `Result.company` of each of its faces, if an earlier run has finished
        it; otherwise empty.
    """

    picture: input_paths.Input
    depends: dict[str, Any]
    companies: tuple[str, ...] = ()

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of what its results depend on."""
        return hashes.of_json(self.depends)


class Result(NamedTuple):
    """What the search for a face has found, or that an earlier run has finished it.

    Attributes:
      photo: its photograph.
      number: of the face, from 0.
      company: hash of the faces that share its program. Where some of them stop early
        the others go on in a smaller one, with another rounding.
      together: number of images in the program.
      found: the result of the search; None if the photograph is finished.
    """

    photo: Photo
    number: int
    company: str
    together: int
    found: Found | None


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads photographs as tasks.

    Attributes:
      read: reads the faces of a picture.
      guides: what guides the searches.
      skipped: records pictures that cannot be read or have no landmarks.
    """

    read: Read
    guides: guidance.Guidance
    skipped: skipping.Skipped

    def tasks(self, photo: Photo) -> list[Task]:
        """Returns the faces of a photograph.

        Raises:
          InputError: it cannot be read, or has no landmarks.
        """
        found = self.read(photo.picture)
        return [Task(case, *self.guides.problem(case)) for case in found]

    def members(self, photos: Iterable[Photo]) -> Iterator["_Member"]:
        """Yields the faces of photographs; those that are not finished are read."""
        for photo in photos:
            stopping.check()
            tasks: Sequence[Task | None] = [None] * len(photo.companies)
            try:
                tasks = tasks or self.tasks(photo)
            except InputError as error:
                self.skipped.add(photo.picture.path, error)
            for number, task in enumerate(tasks):
                yield _Member(photo, number, number + 1 == len(tasks), task)


class _Member(NamedTuple):
    """A face of a photograph; without a task if it is finished."""

    photo: Photo
    number: int
    is_last: bool
    task: Task | None


def search(
    photos: Iterable[Photo],
    reader: Reader,
    prepare: Callable[[], program.Search],
    *,
    most: int,
    memory: float | None,
    together: int | None = None,
) -> Iterator[Result]:
    """Searches for the faces of photographs, as many at once as the memory allows.

    Groups are the same whether photographs are finished or not. One of which all are
    finished, in the same company, is passed over.

    Args:
      photos: the photographs.
      reader: reads them.
      prepare: returns the search; called when there is something to search for.
      most: largest number of images that are searched for at once.
      memory: memory in GB for the program; None for 80 % of the free memory.
      together: number of images that are searched for at once; None for as many as the
        memory allows.

    Yields:
      The result of each face, in their order.

    Raises:
      InputError: the memory is too small for one image.
    """

    def fitting(first: _Member) -> int:
        if together is not None:
            return together
        assert first.task is not None
        return _that_fit(most, first.task, prepare, memory)

    for block in _blocks(_groups(reader.members(photos), most, fitting)):
        groups = [(group, _company(group), size) for group, size in block]
        if not all(_is_finished(group, company) for group, company, _ in groups):
            groups = [(_read(g, reader), company, size) for g, company, size in groups]
        for group, company, size in groups:
            tasks = [member.task for member in group if member.task is not None]
            found: Sequence[Found | None] = [None] * len(group)
            if tasks:
                found = _together(tasks, prepare(), at_once=size)
            for member, each in zip(group, found, strict=True):
                yield Result(member.photo, member.number, company, size, each)


def _groups(
    members: Iterator[_Member], most: int, fitting: Callable[[_Member], int]
) -> Iterator[tuple[list[_Member], int]]:
    """Yields the faces that share a program, and the number of images that it holds."""
    size = None
    while several := list(itertools.islice(members, most)):
        size = size or fitting(several[0])
        for first in range(0, len(several), size):
            yield several[first : first + size], size


def _blocks(
    groups: Iterable[tuple[list[_Member], int]],
) -> Iterator[list[tuple[list[_Member], int]]]:
    """Yields as few groups as hold whole photographs."""
    block = []
    for group, size in groups:
        block.append((group, size))
        if group[-1].is_last:
            yield block
            block = []


def _company(group: Sequence[_Member]) -> str:
    return hashes.of_json([[each.photo.sha256, each.number] for each in group])


def _is_finished(group: Sequence[_Member], company: str) -> bool:
    return all(
        each.task is None and each.photo.companies[each.number] == company
        for each in group
    )


def _read(group: Sequence[_Member], reader: Reader) -> list[_Member]:
    """Reads the photographs that are finished, as others of their program are not."""
    again = {each.photo.picture.name: each.photo for each in group if each.task is None}
    tasks = {name: reader.tasks(photo) for name, photo in again.items()}
    if again:
        progress.say(
            f"{', '.join(again)}: searched for again with the others of the program, "
            "which are not finished"
        )
    return [
        each
        if each.task is not None
        else each._replace(task=tasks[each.photo.picture.name][each.number])
        for each in group
    ]


def _that_fit(
    most: int,
    task: Task,
    prepare: Callable[[], program.Search],
    memory: float | None,
) -> int:
    """Returns how many pictures like this one fit into the memory, at most `most`."""
    if most == 1 and memory is None:
        return 1
    gigabytes = memory or 0.8 * runtime.free_memory() / 1e9
    compiled = prepare()
    one = compiled.memory(task.case.key, task.problem) / 1e9
    if one > gigabytes:
        raise InputError(
            f"--max_memory={gigabytes:.3g}: one picture takes {one:.2g} GB with "
            f"--{compiled.asked_restarts}; allow more or give fewer restarts."
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
