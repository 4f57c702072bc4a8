r"""Completes the same faces under the same masks by every method, and scores them.

python -m experiments.evaluate --images=faces[9000:9500] --bank=folder:faces[:8500] \
    --methods=si,landmark,thesis,ce,gfc,tv,lr,pm,nn,mean \
    --masks=centre,left,right,random --output_dir=outputs/evaluation

The same command resumes an interrupted evaluation; with the same --output_dir other
methods, masks and images can be added to it.
"""

import dataclasses
import os
import pathlib

from experiments.common import application, cases, options, progress
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
from inpaint_jax.io import files, sources
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
        ("si", "landmark", "thesis", "ce", "gfc", "tv", "lr", "pm", "nn"),
        f"Methods to evaluate: {', '.join(completion_methods.NAMES)}, or flag files "
        "of experiments.inpaint.",
    )
    masks: tuple[str, ...] = option(
        ("centre", "left", "right", "random"),
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


def main() -> int:
    """Completes and scores what is missing; returns the exit code."""
    wanted, learned = options.read(Evaluation), options.read(completion_methods.Learned)
    scoring.check_available()
    model = searches.load()
    plan = _plan(wanted, model)
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
    return 0


def _plan(wanted: Evaluation, model: weights.Model) -> evaluation_run.Plan:
    for name in ("methods", "masks"):
        if not all(getattr(wanted, name)) or not getattr(wanted, name):
            raise InputError(f"--{name}: holds no name, or an empty one; give names.")
    output = options.folder(wanted, "output_dir")
    inputs = _inputs(options.given(wanted, "images"), output, wanted.limit)
    holes = [cases.read_mask(name, flag="--masks") for name in wanted.masks]
    if any(hole.make is None for hole in holes):
        raise InputError(
            f"--masks={','.join(wanted.masks)}: must be names; give some of "
            f"{', '.join(masks.MASKS)} or random1 to random99."
        )
    return evaluation_run.Plan(
        inputs=tuple(inputs),
        holes=tuple({hole.name: hole for hole in holes}.values()),
        seed=wanted.seed,
        at_once=min(wanted.images_at_once, len(inputs)),
        crop=model.crop,
        size=model.architecture.image_size,
        output=output,
    )


def _inputs(images: str, output: pathlib.Path, limit: int | None) -> list[pathlib.Path]:
    """Lists the pictures; those of an array or data set are first written to files."""
    if not images.startswith(("array:", "tfds:")):
        return cases.list_inputs(images, mask="", output=output)[:limit]
    with naming("--images", images):
        names, read = sources.open_source(images)
    folder = files.make_directory(output / "inputs")
    paths = [folder / f"{name}.png" for name in names[:limit]]
    for i, path in enumerate(paths):
        if not os.path.exists(path):
            files.write_picture(path, read(i))
    return paths


if __name__ == "__main__":
    application.run(main)
