r"""Completes the same faces under the same masks by every system, and scores them.

python -m experiments.evaluate --images=faces[9000:9500] --bank=folder:faces[:8500] \
    --methods=si,landmark,thesis,ce,gfc,tv,lr,pm,nn,mean \
    --masks=centre,left,right,random --output_dir=outputs/evaluation

Started again with the same --output_dir it goes on where it was; other methods, masks
and images can be added in the same way.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tqdm

from experiments.common import (
    application,
    cases,
    options,
    protocols,
    records,
    reporting,
)
from experiments.common.options import option
from experiments.evaluation import (
    evaluation_figures,
    evaluation_tables,
    scoring,
    systems,
)
from experiments.search import methods, searches
from inpaint_jax.errors import InputError
from inpaint_jax.images import masks
from inpaint_jax.io import files, sources
from inpaint_jax.pretrained import weights

_STEPS_SHOWN = 3
KEYS = ("method", "mask", "image")
COLUMNS = (*KEYS, *scoring.COLUMNS, "seconds", "failed")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Which systems are evaluated, on which faces, under which masks."""

    images: str | None = option(
        None,
        "Undamaged faces: a folder, array:FILE or tfds:NAME, also with a [start:stop].",
    )
    methods: tuple[str, ...] = option(
        ("si", "landmark", "thesis", "ce", "gfc", "tv", "lr", "pm", "nn"),
        f"Of {', '.join((*systems.LEARNED, *systems.LOCAL))}, and flag files of "
        "experiments.inpaint.",
    )
    masks: tuple[str, ...] = option(
        ("centre", "left", "right", "random"), "Names, see --mask of inpaint."
    )
    limit: int | None = option(None, "How many of the images, at most.", least=1)
    seed: int = option(0, "Of masks and starting points.", least=0, most=2**32 - 1)
    images_at_once: int = option(16, "Images of one program.", least=1)
    output_dir: str | None = option(None, "Folder to write to, and to resume.")


options.define(Evaluation, heading="Evaluation")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be evaluated."""

    inputs: tuple[pathlib.Path, ...]
    holes: tuple[cases.Hole, ...]
    seed: int
    at_once: int
    crop: int
    size: int
    output: pathlib.Path


class Block(NamedTuple):
    """Some images under one mask, and what is known of them without it."""

    mask: str
    cases: list[cases.Case]
    truth: scoring.Truth


def main() -> int:
    """Evaluates what is missing; returns the exit code."""
    wanted, learned = options.read(Evaluation), options.read(systems.Learned)
    model = weights.load(options.read(searches.Checkpoint).checkpoint)
    plan = _plan(wanted, model)
    used = [
        systems.named(name, model, learned, at_once=plan.at_once)
        for name in dict.fromkeys(wanted.methods)
    ]
    _agree(plan, used)
    application.write_effective_flags(
        plan.output, Evaluation, systems.Learned, *methods.OPTIONS
    )
    table = records.Table(plan.output / "scores.csv", columns=COLUMNS, keys=KEYS)
    for block in tqdm.tqdm(_blocks(plan, used, table), unit="block", disable=None):
        for system in used:
            _evaluate(system, block, table, plan)
    gallery = report(table, plan)
    _draw_steps(gallery, used, plan)
    return 0


def report(table: records.Table, plan: Plan) -> evaluation_figures.Gallery:
    """Writes summary, tables and figures of all that has been scored."""
    order = {name: i for i, name in enumerate((*systems.LEARNED, *systems.LOCAL))}
    rows = sorted(table.rows(), key=lambda row: order.get(row["method"], len(order)))
    summary = evaluation_tables.summarise(rows)
    files.write_json(plan.output / "summary.json", summary)
    text = evaluation_tables.page(rows, summary)
    files.write_text(plan.output / "table.md", text)
    print(text)
    gallery = evaluation_figures.Gallery(plan.output, rows)
    files.make_directory(plan.output / "figures")
    evaluation_figures.write(gallery, crop=plan.crop)
    return gallery


def _plan(wanted: Evaluation, model: weights.Model) -> Plan:
    output = files.make_directory(options.given(wanted, "output_dir"))
    inputs = _inputs(options.given(wanted, "images"), output, wanted.limit)
    holes = [cases.read_hole(name, hole_is_white=True) for name in wanted.masks]
    if any(hole.make is None for hole in holes):
        raise InputError(
            f"--masks={','.join(wanted.masks)}: must be names; give some of "
            f"{', '.join(masks.MASKS)} or random1 to random99."
        )
    return Plan(
        inputs=tuple(inputs),
        holes=tuple({hole.name: hole for hole in holes}.values()),
        seed=wanted.seed,
        at_once=wanted.images_at_once,
        crop=model.crop,
        size=model.architecture.image_size,
        output=output,
    )


def _inputs(images: str, output: pathlib.Path, limit: int | None) -> list[pathlib.Path]:
    """Lists pictures; those that are not in a folder are first put into one."""
    if not images.startswith(("array:", "tfds:")):
        return cases.list_inputs(images, mask="", output=output)[:limit]
    names, read = sources.open_source(images)
    folder = files.make_directory(output / "inputs")
    paths = [folder / f"{name}.png" for name in names[:limit]]
    for i, path in enumerate(paths):
        if not path.exists():
            files.write_picture(path, read(i))
    return paths


def _agree(plan: Plan, used: Sequence[systems.System]) -> None:
    """Checks that the folder's results were made in the same way, and says how."""
    pictures = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in plan.inputs
    }
    protocol: dict[str, Any] = {
        "frame": {"seed": plan.seed, "crop": plan.crop, "size": plan.size},
        "methods": {system.name: system.described for system in used},
        "masks": {
            hole.name: "a function of seed and image name" for hole in plan.holes
        },
        "images": pictures,
    }
    protocols.extend(plan.output / "protocol.json", protocol)
    files.write_json(plan.output / "environment.json", reporting.environment())


def _blocks(
    plan: Plan, used: Sequence[systems.System], table: records.Table
) -> Iterator[Block]:
    """Yields the images block by block, under one mask after the other.

    Blocks of which nothing is missing are passed over without a look at their pictures.
    """
    for first in range(0, len(plan.inputs), 4 * plan.at_once):
        paths = plan.inputs[first : first + 4 * plan.at_once]
        truth = None
        for hole in plan.holes:
            if all(
                table.has(system.name, hole.name, path.stem)
                for system in used
                for path in paths
            ):
                continue
            block = _read(plan, paths, hole)
            if truth is None:
                originals = np.stack([case.picture for case in block])
                truth = scoring.truth(originals, crop=plan.crop)
                _keep(plan.output / "originals", block, originals)
            damaged = [
                np.where(case.mask[0] > 0, case.picture, np.uint8(128))
                for case in block
            ]
            _keep(plan.output / "damaged" / hole.name, block, damaged)
            yield Block(hole.name, block, truth)


def _read(
    plan: Plan, paths: Sequence[pathlib.Path], hole: cases.Hole
) -> list[cases.Case]:
    faces = cases.Originals(paths, plan.crop, plan.size)
    return faces.read(hole, seed=plan.seed)


def _evaluate(
    system: systems.System, block: Block, table: records.Table, plan: Plan
) -> None:
    missing = [
        i
        for i, case in enumerate(block.cases)
        if not table.has(system.name, block.mask, case.name)
    ]
    if not missing:
        return
    chosen = [block.cases[i] for i in missing]
    found = system.complete(chosen)
    _keep(plan.output / "completions" / block.mask / system.name, chosen, found.images)
    mask = np.concatenate([np.asarray(case.mask) for case in chosen])
    scores = scoring.score(found.images, block.truth.take(missing), mask)
    for i, case in enumerate(chosen):
        # Who gave up has no scores, rather than those of a hole in one colour.
        failed = bool(found.failed[i])
        values = {
            name: np.nan if failed else float(column[i])
            for name, column in scores.items()
        }
        values |= {"seconds": float(found.seconds[i]), "failed": float(failed)}
        table.append(method=system.name, mask=block.mask, image=case.name, **values)


def _draw_steps(
    gallery: evaluation_figures.Gallery, used: Sequence[systems.System], plan: Plan
) -> None:
    """Follows the searches for a few faces once more, to be seen at their work."""
    shown = _read(plan, plan.inputs[:_STEPS_SHOWN], plan.holes[0])
    traces = {
        system.name: [system.follow(case) for case in shown]
        for system in used
        if system.follow is not None
    }
    if traces:
        evaluation_figures.write_steps(gallery, traces)


def _keep(
    folder: pathlib.Path,
    chosen: Sequence[cases.Case],
    images: Iterable[cases.Picture],
) -> None:
    files.make_directory(folder)
    for case, image in zip(chosen, images, strict=True):
        files.write_picture(folder / f"{case.name}.png", image)


if __name__ == "__main__":
    application.run(main)
