r"""Completes the same faces under the same masks by every method, and scores them.

python -m experiments.evaluate --images=faces[9000:9500] --bank=folder:faces[:8500] \
    --methods=si,landmark,thesis,ce,gfc,tv,lr,pm,nn,mean \
    --masks=centre,left,right,random --output_dir=outputs/evaluation

The same command resumes an interrupted evaluation; with the same --output_dir other
methods, masks and images can be added to it.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from experiments.common import (
    aligned_pictures,
    application,
    input_listing,
    mask_specs,
    options,
    output_folders,
    progress,
    skipping,
)
from experiments.common.options import option
from experiments.evaluation import (
    completion_methods,
    evaluation_report,
    evaluation_run,
    scoring,
)
from experiments.search import search_methods, searches
from inpaint_jax.errors import InputError, naming
from inpaint_jax.images import masks
from inpaint_jax.io import files, picture_files, sources
from inpaint_jax.pretrained import weights


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The methods that are evaluated, their faces and masks."""

    images: str | None = option(
        None,
        "Undamaged faces: a folder, array:FILE or tfds:NAME, each with an optional "
        "[start:stop].",
    )
    methods: tuple[str, ...] = option(
        ("si", "landmark", "thesis", "encoder", "ce", "gfc", "tv", "lr", "pm", "nn"),
        f"Methods to evaluate: {', '.join(completion_methods.NAMES)}, or flag files "
        "of experiments.inpaint.",
    )
    masks: tuple[str, ...] = option(
        ("centre", "left", "right", "random80"),
        "Names of masks, see --mask of experiments.inpaint.",
    )
    limit: int | None = option(
        None, "Number of images to use, from the first; by default all.", least=1
    )
    seed: int = option(0, "Seed of masks and starting points.", least=0, most=2**32 - 1)
    images_at_once: int = option(
        16, "Number of images that one program completes.", least=1
    )
    output_dir: str | None = option(
        None, "Folder to write to; an evaluation in it is resumed."
    )


options.define(Evaluation, heading="Evaluation")


def _calls_back() -> bool:
    """Returns whether one of the methods calls dlib from its compiled program."""
    return any(map(completion_methods.calls_back, options.read(Evaluation).methods))


def main() -> int:
    """Completes and scores what is missing; returns the exit code."""
    wanted = options.read(Evaluation)
    scoring.check_available()
    for name in ("methods", "masks"):
        if not all(getattr(wanted, name)) or not getattr(wanted, name):
            raise InputError(f"--{name}: holds no name, or an empty one; give names.")
    path = options.given(wanted, "output_dir")
    with output_folders.claim(path, folders=evaluation_run.FOLDERS) as output:
        return _evaluate(wanted, output)


def _evaluate(wanted: Evaluation, output: pathlib.Path) -> int:
    learned = options.read(completion_methods.Learned)
    model = searches.load()
    _check_names(wanted.methods)
    plan, skipped = _plan(wanted, model, output)
    progress.say(
        f"{len(plan.inputs)} faces, {len(plan.holes)} masks; preparing "
        f"{', '.join(wanted.methods)}"
    )
    used = [
        completion_methods.named(name, model, learned, at_once=plan.at_once)
        for name in dict.fromkeys(wanted.methods)
    ]
    evaluation_run.agree(plan, used)
    application.write_effective_flags(
        plan.output, Evaluation, completion_methods.Learned, *search_methods.OPTIONS
    )
    rows = evaluation_run.run(plan, used)
    gallery = evaluation_report.write(rows, plan)
    evaluation_report.write_steps(gallery, used, plan)
    progress.say(f"look at {plan.output / 'table.md'} and {plan.output / 'figures'}")
    return skipped.exit_code


def _check_names(methods: Sequence[str]) -> None:
    """Checks that no two methods, as two flag files, have the same name."""
    names = [completion_methods.name_of(method) for method in dict.fromkeys(methods)]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"--methods: two are called {name}, so their results could not be told "
                "apart; rename a flag file."
            )


def _plan(
    wanted: Evaluation, model: weights.Model, output: pathlib.Path
) -> tuple[evaluation_run.Plan, skipping.Skipped]:
    holes = [mask_specs.read_mask(name, flag="--masks") for name in wanted.masks]
    if any(hole.make is None for hole in holes):
        raise InputError(
            f"--masks={','.join(wanted.masks)}: must be names; give some of "
            f"{', '.join(masks.MASKS)} or random1 to random99."
        )
    images = options.given(wanted, "images")
    skipped = skipping.Skipped(alone=False)
    inputs = _inputs(images, output, wanted.limit, skipped)
    crop, size = model.crop, model.architecture.image_size
    plan = evaluation_run.Plan(
        inputs=tuple(
            aligned_pictures.AlignedPictures(inputs, crop, size)
            .usable(images, skipped)
            .paths
        ),
        holes=tuple({hole.name: hole for hole in holes}.values()),
        seed=wanted.seed,
        at_once=min(wanted.images_at_once, len(inputs)),
        crop=crop,
        size=size,
        output=output,
    )
    return plan, skipped


def _inputs(
    images: str, output: pathlib.Path, limit: int | None, skipped: skipping.Skipped
) -> list[pathlib.Path]:
    """Lists the pictures; those of an array or data set are first written to files."""
    if not images.startswith(("array:", "tfds:")):
        listed = input_listing.list_inputs(images, mask="", output=output)
        skipped.pass_over(listed.passed_over)
        return input_listing.paths_by_stem(listed.inputs)[:limit]
    with naming("--images", images):
        names, read = sources.open_source(images)
    folder = files.make_directory(output / "inputs")
    found = []
    for i, name in enumerate(names[:limit]):
        path = folder / f"{name}.png"
        try:
            picture = read(i)
        except InputError as error:
            skipped.add(path, error)
            continue
        before = _picture(path)
        if before is None:
            picture_files.write(path, picture)
        elif not np.array_equal(before, picture):
            raise InputError(
                f"--images={images}: {name} is another picture than that of an earlier "
                f"start, {path}; give another --output_dir."
            )
        found.append(path)
    return found


def _picture(path: pathlib.Path) -> np.ndarray | None:
    """Returns a picture that was written; None if it is gone or damaged."""
    try:
        return picture_files.read(path)
    except InputError:
        return None


if __name__ == "__main__":
    application.run(main, callbacks=_calls_back)
