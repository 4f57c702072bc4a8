r"""Completes damaged faces.

python -m experiments.inpaint
python -m experiments.inpaint --flagfile=experiments/flags/landmark.flags \
    --images=faces --mask=left --output_dir=outputs/left
"""

import dataclasses
import pathlib
import time
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import tqdm

from experiments.common import application, cases, options, reporting
from experiments.common.options import option
from experiments.search import (
    guides,
    guiding,
    landmark_figure,
    landmark_scores,
    methods,
    searches,
)
from inpaint_jax import runtime, types
from inpaint_jax.errors import InputError
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import masks, pixels
from inpaint_jax.io import files
from inpaint_jax.pretrained import weights
from inpaint_jax.search import completion, driver, problem, program

_PORTRAIT = files.ASSETS / "portrait.png"
_SHOWN_RESTARTS = 4


@dataclasses.dataclass(frozen=True)
class Pictures:
    """What is completed, and where it is written."""

    images: str | None = option(
        None,
        "A picture, or a folder of pictures with an optional [start:stop]; by default "
        "the portrait that comes with the package.",
    )
    mask: str = option(
        "centre", f"{', '.join(masks.MASKS)}, or a picture that marks the hole."
    )
    mask_hole: Literal["white", "black"] = option(
        "white", "Which colour marks the hole in a file."
    )
    original_known: bool | None = option(
        None,
        "Whether the pictures are undamaged, so that the result can be scored; by "
        "default yes for a named mask, no for a mask file.",
    )
    output_dir: str = option("outputs", "Folder to write to.")
    seed: int = option(0, "Of masks and starting points.", least=0, most=2**32 - 1)
    landmark_figure: bool = option(False, "Draw the landmarks through each search.")
    images_at_once: int = option(
        1, "Searched for as one program, if memory allows.", least=1
    )
    max_memory: float | None = option(
        None, "GB for that program; by default most of what is free.", least=0.0
    )


options.define(Pictures, heading="Pictures")


class Task(NamedTuple):
    """A picture to complete.

    Attributes:
      case: the input.
      scene: what its search knows.
      described: of its landmarks, for the report.
    """

    case: cases.Case
    scene: problem.Problem
    described: dict[str, Any]


class Found(NamedTuple):
    """What the search for a picture found.

    Attributes:
      task: the picture.
      last: the end of its search.
      best: z of the best restart after each chunk.
      seconds: of the search, shared with those that ran beside it.
    """

    task: Task
    last: driver.Progress
    best: list[types.Latent]
    seconds: float


def main() -> int:
    """Completes every input; returns 1 if some had to be skipped."""
    wanted, asked = options.read(Pictures), options.read(searches.Search)
    landmarks = options.read(guides.Landmarks)
    output = files.make_directory(wanted.output_dir)
    inputs = cases.list_inputs(
        wanted.images or str(_PORTRAIT), mask=wanted.mask, output=output
    )
    hole = cases.read_hole(wanted.mask, hole_is_white=wanted.mask_hole == "white")
    model = weights.load(options.read(searches.Checkpoint).checkpoint)
    size = model.architecture.image_size
    guide, scorer = guides.load(landmarks, size=size, crop=model.crop)
    figure = landmark_figure.of(guide) if wanted.landmark_figure else None
    most = min(wanted.images_at_once, len(inputs))
    compiled = searches.prepare(model, asked, guide.loss(), images=most)
    application.write_effective_flags(output, Pictures, *methods.OPTIONS)
    for earlier in ("report.json", "grid.png"):
        (output / earlier).unlink(missing_ok=True)
    trace = reporting.JsonLines(output / "trace.jsonl")
    entries, rows, skipped = [], [], []
    groups = _groups(inputs, hole, model, guide, wanted, skipped)
    memory = wanted.max_memory
    for found in _searched(groups, compiled, trace, most=most, memory=memory):
        try:
            entry, row = finish(
                found, compiled, scorer, figure, output, blend=asked.blend
            )
        except InputError as error:
            _skip(error, inputs, skipped)
            continue
        entries.append(entry)
        rows.append(row)
        _print_entry(entry, output)
    if not entries:
        raise InputError(f"--images={wanted.images}: none of the pictures can be used.")
    files.write_picture(output / "grid.png", reporting.sheet(rows, enlarge=2))
    report = {
        "mask": hole.name,
        "seed": wanted.seed,
        **_described(asked, guide, model),
        "mean": _mean(entries),
        "images": entries,
        "skipped": skipped,
    }
    files.write_json(output / "report.json", report)
    return 1 if skipped else 0


def _described(
    asked: searches.Search, guide: guiding.Guide, model: weights.Model
) -> dict[str, Any]:
    """What the report says of a search."""
    return {
        "ranking": _ranking(asked.settings, guide),
        "settings": dataclasses.asdict(asked.settings),
        "blend": asked.blend,
        "model": {
            **model.source,
            "architecture": dataclasses.asdict(model.architecture),
            "crop": model.crop,
        },
        "landmarks": guide.describe(),
        **reporting.environment(),
    }


def _groups(
    inputs: list[pathlib.Path],
    hole: cases.Hole,
    model: weights.Model,
    guide: guiding.Guide,
    wanted: Pictures,
    skipped: list[str],
) -> Iterator[list[Task]]:
    """Reads the pictures, as many at once as are searched for together."""
    waiting = []
    for path in inputs:
        try:
            case = cases.read(
                path,
                hole,
                crop=model.crop,
                size=model.architecture.image_size,
                seed=wanted.seed,
                original_known=wanted.original_known,
            )
            scene, described = guide.scene(case)
        except InputError as error:
            _skip(error, inputs, skipped)
            continue
        waiting.append(Task(case, scene, described))
        if len(waiting) == wanted.images_at_once:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _searched(
    groups: Iterator[list[Task]],
    compiled: program.Search,
    trace: reporting.JsonLines,
    *,
    most: int,
    memory: float | None,
) -> Iterator[Found]:
    """Searches for groups of pictures, as many at once as the memory allows."""
    at_once = None
    for tasks in groups:
        if at_once is None:
            at_once = _that_fit(most, tasks[0], compiled, memory)
        for first in range(0, len(tasks), at_once):
            part = tasks[first : first + at_once]
            yield from search(part, compiled, trace, at_once=at_once)


def _skip(error: InputError, inputs: list[pathlib.Path], skipped: list[str]) -> None:
    if len(inputs) == 1:
        raise error
    print(f"skipped {error}")
    skipped.append(str(error))


def _that_fit(
    at_once: int, task: Task, compiled: program.Search, most: float | None
) -> int:
    """How many pictures like this one the memory allows to search for at once."""
    if at_once == 1 and most is None:
        return 1
    gigabytes = most or 0.8 * runtime.free_memory() / 1e9
    one = compiled.memory(task.case.key, task.scene) / 1e9
    if one > gigabytes:
        raise InputError(
            f"--max_memory={gigabytes:.3g}: one picture takes {one:.2g} GB; allow more "
            "or give fewer --restarts."
        )
    return min(at_once, int(gigabytes / one))


def search(
    tasks: list[Task],
    compiled: program.Search,
    trace: reporting.JsonLines,
    *,
    at_once: int,
) -> list[Found]:
    """Searches for some pictures.

    Args:
      tasks: the pictures.
      compiled: the search.
      trace: where the progress goes.
      at_once: how many pictures the program holds, see `searches.together`.
    """
    started = time.monotonic()
    found: list[Found | None] = [None] * len(tasks)
    bar = tqdm.tqdm(
        total=compiled.settings.all_iterations,
        desc=", ".join(task.case.name for task in tasks),
        unit="step",
        disable=None,
    )
    keys, scenes = zip(*((task.case.key, task.scene) for task in tasks), strict=True)
    with bar:
        for reports in searches.together(keys, scenes, compiled, at_once=at_once):
            seconds = round(time.monotonic() - started, 3)
            for i, (task, now) in enumerate(zip(tasks, reports, strict=True)):
                if now is None:
                    continue
                trace.append(
                    image=task.case.name,
                    step=now.iteration,
                    loss=now.loss.tolist(),
                    best_loss=now.best_loss.tolist(),
                    seconds=seconds,
                )
                bar.update(now.iteration - bar.n)
                bar.set_postfix(best=f"{now.best_loss.min():.4f}")
                before = found[i]
                best = [] if before is None else before.best
                if np.isfinite(now.best_loss).any():
                    best = [*best, now.best_z]
                found[i] = Found(task, now, best, seconds)
    return [each for each in found if each is not None]


def finish(
    found: Found,
    compiled: program.Search,
    scorer: landmark_scores.Scorer | None,
    figure: landmark_figure.Figure | None,
    output: pathlib.Path,
    *,
    blend: str,
) -> tuple[dict[str, Any], list[cases.Picture]]:
    """Completes one picture and writes it.

    Args:
      found: by its search.
      compiled: the search.
      scorer: of its landmarks, if they are to be scored.
      figure: of its landmarks, if one is to be drawn.
      output: folder for the picture.
      blend: how the hole is put in, see `completion.finish`.
      figure: whether the landmarks through the search are drawn.

    Returns:
      The report's entry and the row of the grid: the damaged image, G(z) under the same
      mask, the best restarts, the completed image, the original where known.

    Raises:
      InputError: the search diverged.
    """
    started = time.monotonic()
    case, scene, described = found.task
    driver.check(found.last)
    result = completion.finish(found.last, scene, compiled=compiled, blend=blend)
    completed = pixels.to_bytes(result.completed)
    files.write_picture(output / f"{case.name}.png", np.asarray(completed[0]))
    entry = {
        "image": case.name,
        "hole_share": float(masks.hole_share(case.mask)[0]),
        **described,
        "iterations": result.iterations,
        "score": float(result.score[0]),
        "terms": {name: float(value[0]) for name, value in result.terms.items()},
        "scores_of_restarts": np.asarray(result.score).tolist(),
        "seconds": round(found.seconds + time.monotonic() - started, 3),
    }
    if figure is not None:
        drawn = figure.draw(scene, [compiled.generate(z[None]) for z in found.best])
        files.write_picture(output / f"{case.name}_landmarks.png", drawn)
    if case.original is not None:
        entry |= _scores(completed, case.original, case, scorer)
    return entry, _row(case, scene, result)


def _row(
    case: cases.Case, scene: problem.Problem, result: completion.Completion
) -> list[cases.Picture]:
    images = [
        scene.image[0],
        case.mask[0] * result.generated[0],
        *result.generated[:_SHOWN_RESTARTS],
        result.completed[0],
    ]
    row = [np.asarray(pixels.to_bytes(image)) for image in images]
    return row if case.original is None else [*row, case.original]


def _scores(
    completed: types.ImageBytes,
    original: cases.Picture,
    case: cases.Case,
    scorer: landmark_scores.Scorer | None,
) -> dict[str, float]:
    scored, truth = pixels.from_bytes(completed), pixels.from_bytes(original)[None]
    found = {
        "psnr": float(metrics.psnr(scored, truth)[0]),
        "psnr_hole": float(metrics.psnr(scored, truth, 1.0 - case.mask)[0]),
        "ssim": float(metrics.ssim(scored, truth)[0]),
    }
    if scorer is not None:
        found["nme"] = scorer.error(original, scored, crop=case.crop)
    return found


def _ranking(settings: problem.Settings, guide: guiding.Guide) -> str:
    terms = f"{settings.lambda_context:g} context + {settings.lambda_prior:g} prior"
    if guide.loss() is not None:
        terms += f" + {settings.lambda_landmark:g} landmark"
    return f"lowest {terms} (eq. 20)"


def _mean(entries: list[dict[str, Any]]) -> dict[str, float]:
    scores = [n for n in ("psnr", "psnr_hole", "ssim", "nme") if n in entries[0]]
    return {name: float(np.mean([e[name] for e in entries])) for name in scores}


def _print_entry(entry: dict[str, Any], output: pathlib.Path) -> None:
    line = (
        f"{output / entry['image']}.png: hole {entry['hole_share']:.0%}, "
        f"{entry['iterations']} iterations, {entry['seconds']:.1f} s"
    )
    if "psnr" in entry:
        line += (
            f", PSNR {entry['psnr']:.1f} dB, in the hole {entry['psnr_hole']:.1f} dB"
        )
    print(line)


if __name__ == "__main__":
    application.run(main)
