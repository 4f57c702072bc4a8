"""Search methods defined by lists of flags, so that one process can run several."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from experiments.common import cases, options
from experiments.search import (
    guidance,
    landmark_options,
    landmark_scores,
    searches,
    structure_options,
)
from inpaint_jax.errors import InputError
from inpaint_jax.images import blending, pixels
from inpaint_jax.pretrained import weights
from inpaint_jax.search import completion, driver, program
from inpaint_jax.search.problem import Problem
from inpaint_jax.search.settings import Settings

OPTIONS = {
    searches.Checkpoint: "Networks",
    searches.Search: "Search",
    landmark_options.LandmarkOptions: "Landmarks",
    structure_options.StructureOptions: "Structural prior",
}
"""{dataclass: heading} of all flags of applications that search."""

for _options, _heading in OPTIONS.items():
    options.define(_options, heading=_heading)


@dataclasses.dataclass(frozen=True)
class Asked:
    """The options of a search method: search and what guides it."""

    search: searches.Search = searches.Search()
    landmarks: landmark_options.LandmarkOptions = landmark_options.LandmarkOptions()
    structure: structure_options.StructureOptions = structure_options.StructureOptions()


@dataclasses.dataclass(frozen=True)
class SearchMethod:
    """A search with its models, ready for any image.

    Attributes:
      name: name in tables.
      settings: hyperparameters of the search.
      guides: what guides it.
      blend: "poisson" or "paste", see `completion.complete`.
      compiled: the compiled search.
      precision: type of its products, never "auto": that depends on the device.
    """

    name: str
    settings: Settings
    guides: guidance.Guidance
    blend: str
    compiled: program.Search
    precision: str = "float32"

    def describe(self) -> dict[str, Any]:
        """Returns JSON values that decide its results, but for the networks."""
        return {
            "settings": dataclasses.asdict(self.settings),
            "blend": self.blend,
            "precision": self.precision,
            **self.guides.describe(),
        }


class Completed(NamedTuple):
    """The completions of some images by a method.

    Attributes:
      images: completed images in bytes. If a search diverged, its hole has the mean
        colour of the known pixels.
      seconds: time of search and blending, without compilation and finding the target;
        see `searches.Report` for images that were searched for together.
      iterations: steps taken.
      loss: loss of the best restart (eq. 20); NaN if the search diverged.
      failed: whether the search diverged.
    """

    images: UInt8[np.ndarray, "images height width 3"]
    seconds: Float[np.ndarray, " images"]
    iterations: Int[np.ndarray, " images"]
    loss: Float[np.ndarray, " images"]
    failed: Bool[np.ndarray, " images"]


class Ended(NamedTuple):
    """The last progress of a search, and its seconds, see `searches.Report`."""

    last: driver.Progress
    seconds: float


def prepare(
    name: str, asked: Asked, model: weights.Model, *, images: int
) -> SearchMethod:
    """Prepares a search method.

    Args:
      name: name of the method.
      asked: its options, see `parse`.
      model: the networks.
      images: expected number of images in one program.

    Raises:
      InputError: a model is missing, or does not fit.
    """
    try:
        guides, _ = guiding(asked, model)
        compiled = searches.prepare(model, asked.search, guides.terms(), images=images)
    except InputError as error:
        raise InputError(f"method {name}: {error}") from error
    search, precision = asked.search, asked.search.compute_dtype.name
    return SearchMethod(
        name, search.settings, guides, search.blend, compiled, precision
    )


def guiding(
    asked: Asked, model: weights.Model
) -> tuple[guidance.Guidance, landmark_scores.Scorer | None]:
    """Loads what guides a search, and what measures its landmark errors.

    Args:
      asked: its options.
      model: the networks.

    Raises:
      InputError: options contradict each other, or a model is missing or does not fit.
    """
    settings, size = asked.search.settings, model.architecture.image_size
    landmarks, read, scorer = landmark_options.load(
        asked.landmarks, size=size, crop=model.crop, weight=settings.lambda_landmark
    )
    structure = structure_options.load(
        asked.structure, model, weight=settings.lambda_structure
    )
    return guidance.Guidance(landmarks, structure, read), scorer


def calls_back(asked: Asked | None = None) -> bool:
    """Returns whether a search calls dlib from its compiled program.

    Args:
      asked: its options; None for those of the process.

    Raises:
      InputError: one of them is wrong.
    """
    landmarks = (asked or options.read(Asked)).landmarks
    return landmarks.used is not None and landmarks.settings.detector == "dlib"


def parse(name: str, arguments: Sequence[str], *, base: Asked | None = None) -> Asked:
    """Returns the options of a search method from a list of flags.

    The flags of the process are ignored.

    Args:
      name: name of the method.
      arguments: flags of searches and landmarks, and flag files.
      base: values of flags that are not given; None for the default search.

    Raises:
      InputError: a flag is unknown, has a wrong value, or is no flag of a search.
    """
    try:
        return options.parse(Asked, arguments, base=base)
    except InputError as error:
        raise InputError(f"method {name}: {error}") from error


def warm_up(
    method: SearchMethod, inputs: Sequence[cases.Case], *, at_once: int
) -> None:
    """Compiles every program of `complete`, so that compilation is not measured.

    Args:
      method: from `prepare`.
      inputs: some images; a short search for the first of them compiles the programs.
      at_once: number of images that one program searches for.
    """
    group = inputs[:at_once]
    problems = [method.guides.problem(case)[0] for case in group]
    first, *_ = search(_shortened(method), group, problems, at_once=at_once)
    _finish(method, first.last, problems[0])


def complete(
    method: SearchMethod, inputs: Sequence[cases.Case], *, at_once: int
) -> Completed:
    """Completes images by a method.

    Args:
      method: from `prepare`, see `warm_up`.
      inputs: the images.
      at_once: number of images that one program searches for.

    Returns:
      The completions in the same order.
    """
    found = []
    for first in range(0, len(inputs), at_once):
        group = inputs[first : first + at_once]
        problems = [method.guides.problem(case)[0] for case in group]
        found += _complete(method, group, problems, at_once)
    images, *columns = zip(*found, strict=True)
    seconds, iterations, loss = map(np.asarray, columns)
    return Completed(np.stack(images), seconds, iterations, loss, np.isnan(loss))


def search(
    method: SearchMethod,
    inputs: Sequence[cases.Case],
    problems: Sequence[Problem],
    *,
    at_once: int,
) -> list[Ended]:
    """Searches for some images with one program and returns the end of each search.

    Args:
      method: from `prepare`.
      inputs: at most `at_once` images.
      problems: their problems, as from `method.guides`.
      at_once: number of images that the program holds.
    """
    last: list[searches.Report | None] = [None] * len(inputs)
    keys = [case.key for case in inputs]
    for reports in searches.together(
        keys, problems, method.compiled, at_once=at_once, name=method.name
    ):
        last = [
            report if report.progress else before
            for report, before in zip(reports, last, strict=True)
        ]
    return [
        Ended(each.progress, each.seconds) for each in last if each and each.progress
    ]


def with_stages(
    method: SearchMethod, stages: tuple[tuple[int, int], ...]
) -> SearchMethod:
    """Returns a method with other stages; programs and learning rates are the same.

    Args:
      method: from `prepare`.
      stages: (restarts, steps) of each stage, see `Settings.stages`.
    """
    settings = dataclasses.replace(method.settings, restart_schedule=stages)
    compiled = method.compiled._replace(settings=settings)
    return dataclasses.replace(method, compiled=compiled)


def _complete(
    method: SearchMethod,
    group: Sequence[cases.Case],
    problems: Sequence[Problem],
    at_once: int,
) -> Iterator[tuple[cases.Picture, float, int, float]]:
    """Yields (picture, seconds, iterations, loss) for the images of one program."""
    found = search(method, group, problems, at_once=at_once)
    for problem, (last, seconds) in zip(problems, found, strict=True):
        started = time.perf_counter()
        image, loss = _finish(method, last, problem)
        own = time.perf_counter() - started
        yield image, seconds + own, last.iteration, loss


def _shortened(method: SearchMethod) -> SearchMethod:
    """Returns the method with short stages that still run each of its programs."""
    chunk = method.settings.chunk
    stages = method.settings.stages
    return with_stages(
        method, tuple((size, min(n, chunk + n % chunk)) for size, n in stages)
    )


def _finish(
    method: SearchMethod, last: driver.Progress, problem: Problem
) -> tuple[cases.Picture, float]:
    if np.isfinite(last.best_loss).any():
        result = completion.finish(
            last, problem, compiled=method.compiled, blend=method.blend
        )
        completed, loss = result.completed, float(result.score[0])
    else:
        mean = blending.mean_colour(problem.image, problem.mask)
        completed, loss = blending.paste(mean, problem.image, problem.mask), np.nan
    return np.asarray(pixels.to_bytes(completed[0])), loss
