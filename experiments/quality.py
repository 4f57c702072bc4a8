"""Measures how loss and PSNR of the hole improve with the seconds of a search.

python -m experiments.quality --images='faces[8500:8508]' --output_dir=outputs/quality
"""

import dataclasses
import pathlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from experiments.common import (
    aligned_pictures,
    application,
    cases,
    input_listing,
    mask_specs,
    options,
    output_folders,
    plots,
    progress,
    reporting,
    skipping,
    stopping,
)
from experiments.common.options import option
from experiments.search import (
    guidance,
    quality_curves,
    search_methods,
    searches,
)
from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import blending, masks, pixels
from inpaint_jax.io import files, picture_files
from inpaint_jax.search import driver, program
from inpaint_jax.search.problem import Problem

_CHUNK, _FOR_EVER = 5, 100_000
_BUDGETS = (1.0, 2.0, 5.0, 10.0, 30.0)
_ADAM = {"optimizer": "adam", "learning_rate": 0.05}
_LBFGS = {"optimizer": "lbfgs", "learning_rate": 1.0}
_STEADY: dict[str, Any] = {"iterations": _FOR_EVER, "decay": False}
METHODS: dict[str, dict[str, Any]] = {
    "default": {},
    "Adam, random points": {**_STEADY, **_ADAM, "init": "random"},
    "Adam, encoder": {**_STEADY, **_ADAM, "init": "encoder"},
    "L-BFGS, encoder": {**_STEADY, **_LBFGS, "init": "encoder"},
    "L-BFGS, halving": {
        **_STEADY,
        **_LBFGS,
        "init": "encoder",
        "restart_schedule": ((32, 5), (16, 10), (8, 20), (4, _FOR_EVER)),
    },
}
"""{method: settings that differ from the default search}"""


class Face(NamedTuple):
    """A face to search for.

    Attributes:
      key: random key of the starting points.
      problem: the damaged image.
      original: the undamaged image, `[1, H, W, 3]`.
    """

    key: types.PRNGKey
    problem: Problem
    original: types.Image


@dataclasses.dataclass(frozen=True)
class Quality:
    """The faces that are searched for, and the time."""

    images: str | None = option(
        None, "Undamaged faces: a picture, or a folder with an optional [start:stop]."
    )
    mask: str = option("centre", f"Name of a mask: {', '.join(masks.MASKS)}.")
    output_dir: str = option("outputs/quality", "Folder to write to.")
    seconds: float = option(30.0, "Longest search of a face, in seconds.", least=1.0)


options.define(Quality, heading="Measurement")


def main() -> int:
    """Runs the searches, prints a table and plots it."""
    plots.check_available()
    wanted = options.read(Quality)
    with output_folders.claim(wanted.output_dir) as output:
        return _measure(wanted, output)


def _measure(wanted: Quality, output: pathlib.Path) -> int:
    asked = options.read(search_methods.Asked)
    images = options.given(wanted, "images")
    listed = input_listing.list_inputs(images, mask=wanted.mask, output=output)
    paths = input_listing.paths_by_stem(listed.inputs)
    model = searches.load()
    guides, _ = search_methods.guiding(asked, model)
    hole = mask_specs.read_mask(wanted.mask)
    skipped = skipping.Skipped(alone=False)
    skipped.pass_over(listed.passed_over)
    originals = aligned_pictures.AlignedPictures(
        paths, model.crop, model.architecture.image_size
    )
    originals = originals.usable(images, skipped)
    faces = [_face(case, guides) for case in originals.read(hole, seed=0)]
    found: dict[str, list[list[quality_curves.Point]]] = {}
    for name, changes in METHODS.items():
        settings = dataclasses.replace(
            asked.search.settings, **changes, chunk=_CHUNK, patience=0
        )
        changed = dataclasses.replace(asked.search, settings=settings)
        compiled = searches.prepare(model, changed, guides.terms(), images=1)
        progress.say(f"{name}: compiling, then at most {wanted.seconds:g} s a face")
        compiled.check_memory(faces[0].key, faces[0].problem)
        _warm_up(faces[0], compiled)
        found[name] = [list(_follow(f, compiled, wanted.seconds)) for f in faces]
        _print(name, found[name], wanted.seconds)
    table = {
        name: {
            f"{t:g}": quality_curves.mean_at(runs, t)
            for t in _BUDGETS
            if t <= wanted.seconds
        }
        for name, runs in found.items()
    }
    report = {"images": len(faces), "mask": hole.name, "table": table, "runs": found}
    files.write_json(output / "quality.json", {**report, **reporting.environment()})
    picture_files.write(
        output / "quality.png", quality_curves.draw(found, longest=wanted.seconds)
    )
    application.write_effective_flags(output, Quality, *search_methods.OPTIONS)
    progress.say(f"look at {output / 'quality.png'}")
    return skipped.exit_code


def _face(case: cases.Case, guides: guidance.Guidance) -> Face:
    if case.original is None:
        raise InputError(
            f"{case.name}: must be undamaged, so that results can be scored."
        )
    problem, _ = guides.problem(case)
    return Face(case.key, problem, pixels.from_bytes(case.original)[None])


def _warm_up(face: Face, compiled: program.Search) -> None:
    """Compiles every program that a search runs."""
    *before, _ = compiled.settings.stages
    last = sum(iterations for _, iterations in before)
    for now in driver.search(face.key, face.problem, compiled=compiled):
        stopping.check()
        _psnr(face, _best(now, compiled))
        if now.iteration > last:
            return


def _follow(
    face: Face, compiled: program.Search, longest: float
) -> Iterator[quality_curves.Point]:
    started, scoring = time.monotonic(), 0.0
    for now in driver.search(face.key, face.problem, compiled=compiled):
        stopping.check()
        seconds = time.monotonic() - started - scoring
        psnr = _psnr(face, _best(now, compiled))
        yield quality_curves.Point(seconds, float(np.nanmin(now.best_loss)), psnr)
        scoring = time.monotonic() - started - seconds
        if seconds > longest:
            return


def _best(now: driver.Progress, compiled: program.Search) -> types.Image:
    return compiled.generate(now.best_z[None])


def _psnr(face: Face, generated: types.Image) -> float:
    return float(_score(generated, face.original, face.problem.mask))


@jax.jit
def _score(
    generated: types.Image, original: types.Image, mask: types.Mask
) -> Float[jax.Array, ""]:
    completed = blending.poisson(generated, original, mask)
    return metrics.psnr(completed, original, 1.0 - mask)[0]


def _print(name: str, runs: list[list[quality_curves.Point]], longest: float) -> None:
    for seconds in _BUDGETS:
        mean = quality_curves.mean_at(runs, seconds)
        if mean is not None and seconds <= longest:
            print(
                f"{name}, {seconds:g} s: loss {mean['loss']:.4f}, "
                f"hole {mean['psnr_hole']:.2f} dB"
            )


if __name__ == "__main__":
    application.run(main, callbacks=search_methods.calls_back)
