r"""Measures what each term of a search gains over the terms of Yeh et al. 2017.

python -m experiments.ablation --flagfile=experiments/flags/ablation.flags \
    --images='faces[9000:9100]' --output_dir=outputs/ablation

All methods complete the same faces, and differences are paired. After an interruption
the same command resumes the run.
"""

import dataclasses
import pathlib
from typing import Literal

from experiments.common import (
    aligned_pictures,
    application,
    input_listing,
    mask_specs,
    options,
    output_folders,
    plots,
    progress,
    skipping,
)
from experiments.common.options import option
from experiments.evaluation import (
    ablation_methods,
    ablation_pairs,
    ablation_report,
    ablation_run,
    ablation_units,
    completion_methods,
    scoring,
)
from experiments.search import search_methods, searches
from inpaint_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Ablation:
    """The methods that are compared, their faces and masks."""

    images: str | None = option(
        None, "Undamaged faces: a picture, or a folder with an optional [start:stop]."
    )
    limit: int | None = option(
        None, "Number of faces to use, from the first; by default all.", least=1
    )
    masks: tuple[str, ...] = option(("centre", "left"), "Names of masks.")
    seeds: int = option(
        3, "Number of seeds of starting points and random masks.", least=1
    )
    method: tuple[str, ...] = option(
        (),
        "Name of a method and the flags of its search, as 'soft: "
        "--landmark_term=soft'. All others are compared with the method "
        f"{ablation_pairs.BASELINE}.",
        repeated=True,
    )
    images_at_once: int = option(
        8, "Number of images that one program searches for.", least=1
    )
    only: tuple[str, ...] = option((), "Names of methods to run; by default all.")
    beside: tuple[str, ...] = option(
        (),
        "Methods of experiments.evaluate that complete a face in one pass, judged "
        "beside the searches: encoder, ce, gfc and others.",
    )
    equal: Literal["time", "steps"] = option(
        "time", "Budget that all methods share; they always have equal restarts."
    )
    output_dir: str = option("outputs/ablation", "Folder to write to.")


options.define(Ablation, heading="Comparison")
options.change_default("patience", 0)  # to the last step, as time is given


def _calls_back() -> bool:
    """Returns whether one of the methods calls dlib from its compiled program."""
    wanted, usual = options.read(Ablation), options.read(search_methods.Asked)
    given = ablation_methods.parse(wanted.method, only=wanted.only)
    return any(
        search_methods.calls_back(search_methods.parse(name, flags, base=usual))
        for name, flags in given.items()
    )


def main() -> int:
    """Runs the searches that are missing, and writes tables and the plot."""
    plots.check_available()
    scoring.check_available()
    wanted = options.read(Ablation)
    folders = (ablation_units.ORIGINALS, ablation_units.COMPLETIONS)
    with output_folders.claim(wanted.output_dir, folders=folders) as output:
        return _ablate(wanted, output)


def _ablate(wanted: Ablation, output: pathlib.Path) -> int:
    usual = options.read(search_methods.Asked)
    given = ablation_methods.parse(wanted.method, only=wanted.only)
    holes = _holes(wanted.masks)
    images = options.given(wanted, "images")
    listed = input_listing.list_inputs(images, mask=wanted.masks[0], output=output)
    paths = input_listing.paths_by_stem(listed.inputs)[: wanted.limit]
    model = searches.load()
    skipped = skipping.Skipped(alone=False)
    skipped.pass_over(listed.passed_over)
    faces = aligned_pictures.AlignedPictures(
        paths, model.crop, model.architecture.image_size
    )
    faces = faces.usable(images, skipped)
    at_once = min(wanted.images_at_once, len(paths))
    units = ablation_units.Units(output, holes, wanted.seeds)
    methods = ablation_methods.prepare(given, model, usual, at_once=at_once)
    learned = options.read(completion_methods.Learned)
    methods |= ablation_methods.beside(
        wanted.beside, methods, model, learned, at_once=at_once
    )
    plans = ablation_run.agree(
        output,
        methods,
        faces,
        units,
        source=model.source,
        at_once=at_once,
        equal=wanted.equal,
    )
    kinds = (Ablation, completion_methods.Learned, *search_methods.OPTIONS)
    application.write_effective_flags(output, *kinds)
    ablation_run.run(methods, plans, faces, units)
    ablation_report.write(
        output, methods, plans, units, faces.names, equal=wanted.equal
    )
    names = ["ablation.md", "forest.png", *(f"faces_{hole.name}.png" for hole in holes)]
    progress.say(f"look at {', '.join(str(output / name) for name in names)}")
    return skipped.exit_code


def _holes(names: tuple[str, ...]) -> list[mask_specs.MaskSpec]:
    holes = [mask_specs.read_mask(name, flag="--masks") for name in names]
    if not holes or len({*names}) < len(names) or not all(hole.make for hole in holes):
        raise InputError(
            f"--masks={','.join(names)}: must be names of masks, each once and no "
            "files, as centre,left."
        )
    return holes


if __name__ == "__main__":
    application.run(main, callbacks=_calls_back)
