"""Runs an evaluation: completes and scores images by all methods under all masks.

Only missing completions are computed. Images are processed in blocks, each block under
one mask after the other.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common import (
    aligned_pictures,
    cases,
    identity,
    mask_specs,
    progress,
    protocols,
    records,
    reporting,
    stopping,
)
from experiments.evaluation import completion_methods, kept_completions, scoring
from inpaint_jax.errors import InputError
from inpaint_jax.io import files, picture_files

FOLDERS = ("inputs", "originals", "damaged", "completions", "figures")
"""Folders of pictures in the folder of the results."""

_SCORES = "scores.csv"
_KEYS = ("method", "mask", "image")
_GROUPS = {"method": "methods", "mask": "masks", "image": "pictures"}
COLUMNS = (*_KEYS, *scoring.COLUMNS, "seconds", "failed")
"""Columns of `scores.csv`."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The inputs of an evaluation.

    Attributes:
      inputs: paths of undamaged pictures.
      holes: named masks.
      seed: seed of masks and starting points.
      at_once: number of images that one program completes.
      crop: side of the frame in CelebA pixels.
      size: height and width of the images in pixels.
      output: folder of the results.
    """

    inputs: tuple[pathlib.Path, ...]
    holes: tuple[mask_specs.MaskSpec, ...]
    seed: int
    at_once: int
    crop: int
    size: int
    output: pathlib.Path


class Block(NamedTuple):
    """Some images under one mask, with their originals' landmarks and embeddings."""

    mask: str
    cases: list[cases.Case]
    truth: scoring.Truth


def agree(plan: Plan, used: Sequence[completion_methods.CompletionMethod]) -> None:
    """Checks that earlier results have the same protocol, and writes the protocol.

    Args:
      plan: the inputs.
      used: the methods.

    Raises:
      InputError: the folder holds results of another protocol.
    """
    environment = reporting.environment()
    protocol: dict[str, Any] = {
        "frame": {
            "seed": plan.seed,
            "crop": plan.crop,
            "size": plan.size,
            "version": identity.of_code(),
            "device": environment["device"],
            "packages": environment["versions"],
            # Sums are rounded differently in programs of other sizes.
            "images_at_once": plan.at_once,
        },
        "methods": {method.name: method.described for method in used},
        "masks": {
            hole.name: "a function of seed and image name" for hole in plan.holes
        },
        # Results are named by the stem, and random masks depend on the whole name.
        "pictures": {
            cases.name_of(path): {
                "file": ascii(path.name),  # names that look alike differ in it
                "sha256": identity.of_file(path),
            }
            for path in plan.inputs
        },
    }
    path = plan.output / "protocol.json"
    known = protocols.extend(path, protocol, results=plan.output / _SCORES)
    _check_known(_table(plan), known, plan)
    files.write_json(plan.output / "environment.json", environment)


def run(
    plan: Plan, used: Sequence[completion_methods.CompletionMethod]
) -> list[records.Row]:
    """Completes and scores what is missing, and writes the pictures.

    Args:
      plan: the inputs.
      used: the methods.

    Returns:
      All rows of `scores.csv`, also those of earlier starts.

    Raises:
      InputError: that file has other columns, or a picture cannot be used.
    """
    table = _table(plan)
    _drop_without_pictures(table, plan)
    missing = sum(
        not table.has(method.name, hole.name, cases.name_of(path))
        for method in used
        for hole in plan.holes
        for path in plan.inputs
    )
    job, done = progress.Progress("evaluation", unit="completions"), 0
    progress.say(f"{missing} completions are missing")
    for block in _blocks(plan, used, table):
        for method in used:
            stopping.check()
            done += _evaluate(method, block, table, plan)
            if done:
                job.update(done, done / missing)
    job.close()
    return table.rows()


def _check_known(
    table: records.Table, known: dict[str, dict[str, Any]], plan: Plan
) -> None:
    """Checks that the protocol of earlier starts has entries for all their rows."""
    for row in table.rows():
        for key in _KEYS:
            if row[key] not in known[_GROUPS[key]]:
                raise InputError(
                    f"{plan.output / _SCORES}: holds scores of {row[key]}, which are "
                    "not in protocol.json; give another --output_dir."
                )


def _drop_without_pictures(table: records.Table, plan: Plan) -> None:
    """Drops the rows whose pictures are gone or damaged, and says so.

    A figure needs them, and who deletes a picture wants it to be made again.
    """

    @functools.cache
    def is_whole(path: pathlib.Path) -> bool:
        return kept_completions.is_whole(path, size=plan.size)

    rows = table.rows()
    for row in progress.over(rows, len(rows), what="checking", unit="completions"):
        key = tuple(row[name] for name in _KEYS)
        lost = [path for path in _files(plan.output, *key) if not is_whole(path)]
        if lost:
            table.drop(*key)
            progress.say(f"{lost[0]} is gone or damaged; {' '.join(key)} is missing")


def originals(output: pathlib.Path) -> pathlib.Path:
    """Returns the folder of the undamaged pictures, see `kept_completions`."""
    return output / "originals"


def completions(output: pathlib.Path, method: str, mask: str) -> pathlib.Path:
    """Returns the folder of the completions of a method, see `kept_completions`."""
    return output / "completions" / mask / method


def _files(
    output: pathlib.Path, method: str, mask: str, image: str
) -> list[pathlib.Path]:
    """Returns the files that a row is about: a completion and what it is of."""
    return [
        output / "damaged" / mask / f"{image}.png",
        *kept_completions.files_of(originals(output), image),
        *kept_completions.files_of(completions(output, method, mask), image),
    ]


def _table(plan: Plan) -> records.Table:
    return records.Table(plan.output / _SCORES, columns=COLUMNS, keys=_KEYS)


def read(
    plan: Plan, paths: Sequence[pathlib.Path], hole: mask_specs.MaskSpec
) -> list[cases.Case]:
    """Reads some of the pictures with one mask."""
    faces = aligned_pictures.AlignedPictures(paths, plan.crop, plan.size)
    return faces.read(hole, seed=plan.seed)


def _blocks(
    plan: Plan,
    used: Sequence[completion_methods.CompletionMethod],
    table: records.Table,
) -> Iterator[Block]:
    """Yields blocks of images, each under one mask after the other.

    The pictures of a complete block are not read.
    """
    for first in range(0, len(plan.inputs), 4 * plan.at_once):
        paths = plan.inputs[first : first + 4 * plan.at_once]
        truth = None
        for hole in plan.holes:
            if all(
                table.has(method.name, hole.name, cases.name_of(path))
                for method in used
                for path in paths
            ):
                continue
            block = read(plan, paths, hole)
            if truth is None:
                pictures = np.stack([case.picture for case in block])
                truth = scoring.truth(pictures, crop=plan.crop)
                _keep(originals(plan.output), block, pictures, truth.embeddings)
            damaged = [
                np.where(case.mask[0] > 0, case.picture, np.uint8(128))
                for case in block
            ]
            _write(plan.output / "damaged" / hole.name, block, damaged)
            yield Block(hole.name, block, truth)


def _evaluate(
    method: completion_methods.CompletionMethod,
    block: Block,
    table: records.Table,
    plan: Plan,
) -> int:
    """Completes and scores what is missing of a block; returns the number of images."""
    missing = [
        i
        for i, case in enumerate(block.cases)
        if not table.has(method.name, block.mask, case.name)
    ]
    if not missing:
        return 0
    chosen = [block.cases[i] for i in missing]
    found = method.complete(chosen)
    mask = np.concatenate([np.asarray(case.mask) for case in chosen])
    scores = scoring.score(found.images, block.truth.take(missing), mask)
    folder = completions(plan.output, method.name, block.mask)
    _keep(folder, chosen, found.images, scores.embeddings)
    for i, case in enumerate(chosen):
        # A failed completion gets no scores: those of a plain hole would mislead.
        failed = bool(found.failed[i])
        values = {
            name: np.nan if failed else float(column[i])
            for name, column in scores.columns.items()
        }
        values |= {"seconds": float(found.seconds[i]), "failed": float(failed)}
        table.append(method=method.name, mask=block.mask, image=case.name, **values)
    return len(chosen)


def _keep(
    folder: pathlib.Path,
    chosen: Sequence[cases.Case],
    images: scoring.Pictures,
    embeddings: kept_completions.Embeddings,
) -> None:
    names = [case.name for case in chosen]
    kept_completions.write(folder, names, images, embeddings)


def _write(
    folder: pathlib.Path,
    chosen: Sequence[cases.Case],
    images: Iterable[cases.Picture],
) -> None:
    files.make_directory(folder)
    for case, image in zip(chosen, images, strict=True):
        picture_files.write(folder / f"{case.name}.png", image)
