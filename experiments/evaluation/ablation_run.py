"""An ablation: variants of a search over the same faces, masks and seeds.

The unit is a variant, a mask and a seed: its rows are written whole or not at all, and
those that are there are not searched for again.
"""

import csv
import dataclasses
import hashlib
import io
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.common import cases, protocols, reporting
from experiments.evaluation import ablation_table, forest, scoring
from experiments.search import budgets, methods
from inpaint_jax.errors import InputError
from inpaint_jax.io import files
from inpaint_jax.pretrained import weights

COLUMNS = (*scoring.COLUMNS, "loss", "iterations", "seconds")
"""What is known of a completion."""

Prepared = dict[str, methods.Method]
Plans = dict[str, dict[str, Any]]
"""{variant: what `budgets.measure` says of it}"""


@dataclasses.dataclass(frozen=True)
class Run:
    """An ablation.

    Attributes:
      variants: {name: flags of its search}.
      paths: of the faces.
      holes: the named masks.
      seeds: how many.
      at_once: faces that are searched for as one program.
      output: folder of the results.
      model: the networks.
      equal: what all variants get as much of, see `budgets.measure`.
    """

    variants: dict[str, list[str]]
    paths: list[pathlib.Path]
    holes: list[cases.Hole]
    seeds: int
    at_once: int
    output: pathlib.Path
    model: weights.Model
    equal: str

    def method(self, name: str, *more: str) -> methods.Method:
        """Prepares a variant; `more` are further flags."""
        arguments = [*self.variants[name], *more]
        return methods.read(name, arguments, self.model, images=self.at_once)

    def read(self, hole: cases.Hole, *, seed: int) -> list[cases.Case]:
        """Reads the faces, each with its mask and starting points."""
        size, crop = self.model.architecture.image_size, self.model.crop
        return [
            cases.read(p, hole, crop=crop, size=size, seed=seed, original_known=True)
            for p in self.paths
        ]

    def part(self, name: str, hole: cases.Hole, seed: int) -> pathlib.Path:
        """Returns the file of the rows of one variant, mask and seed."""
        return self.output / "parts" / f"{name}-{hole.name}-{seed}.csv"

    def units(self, name: str) -> list[tuple[cases.Hole, int]]:
        """Returns the masks and seeds of a variant that are not searched for yet."""
        return [
            (hole, seed)
            for hole in self.holes
            for seed in range(self.seeds)
            if not self.part(name, hole, seed).exists()
        ]


def parse(texts: Sequence[str], *, only: Sequence[str] = ()) -> dict[str, list[str]]:
    """Reads variants.

    Args:
      texts: a name and the flags of its search, as "soft: --landmark_term=soft".
      only: names of those that are wanted; if none are given, all.

    Returns:
      {name: flags}.

    Raises:
      InputError: one is written otherwise or is there twice, or none can be compared.
    """
    found = {}
    for text in texts:
        name, colon, arguments = text.partition(":")
        if not colon or not re.fullmatch(r"\w+", name):
            raise InputError(
                f"--variant={text}: must be a name and flags, as "
                "'soft: --landmark_term=soft'."
            )
        if name in found:
            raise InputError(f"--variant={text}: {name} is there twice; rename one.")
        found[name] = arguments.split()
    for name in only:
        if name not in found:
            raise InputError(
                f"--only={name}: no such variant; give some of {', '.join(found)}."
            )
    found = {name: found[name] for name in only or found}
    baseline = ablation_table.BASELINE
    if baseline not in found or len(found) < 2:
        raise InputError(
            f"--variant: needs one called {baseline} and others to compare with it; "
            "see experiments/flags/ablation.flags."
        )
    return found


def prepare(run: Run) -> Prepared:
    """Prepares all variants, with as many steps as the flags say.

    Raises:
      InputError: a flag is wrong, or their time could not be made equal.
    """
    prepared = {name: run.method(name) for name in run.variants}
    if prepared[ablation_table.BASELINE].guide.loss() is not None:
        raise InputError(
            f"--variant={ablation_table.BASELINE}: must have --landmark_term=none; "
            "the others are compared with it."
        )
    budgets.check(prepared, baseline=ablation_table.BASELINE)
    return prepared


def agree(run: Run, prepared: Prepared) -> Plans:
    """Finds the steps of each variant, or takes those of an earlier start.

    Raises:
      InputError: the folder holds a run of another protocol.
    """
    return protocols.agree(
        run.output / "protocol.json",
        _protocol(run, prepared),
        environment=reporting.environment(),
        measure=lambda: budgets.measure(
            prepared,
            run.read(run.holes[0], seed=0)[: run.at_once],
            baseline=ablation_table.BASELINE,
            at_once=run.at_once,
            equal=run.equal,
        ),
    )


def search(run: Run, plans: Plans) -> None:
    """Searches for all that is missing, and writes a file for each unit."""
    originals = [case.picture for case in run.read(run.holes[0], seed=0)]  # all whole
    truth = scoring.truth(np.stack(originals), crop=run.model.crop)
    files.make_directory(run.output / "parts")
    for name in run.variants:
        method = None
        for hole, seed in run.units(name):
            steps = plans[name]["iterations"]
            method = method or run.method(name, f"--iterations={steps}")
            table = _searched(run, method, hole, seed, truth)
            files.write_text(run.part(name, hole, seed), _csv(table))


def write(run: Run, prepared: Prepared, plans: Plans) -> None:
    """Writes all rows as one table, the comparisons, and the plot."""
    rows, scores = [], {}
    for name in run.variants:
        for hole in run.holes:
            seeds = [_rows(run.part(name, hole, s)) for s in range(run.seeds)]
            rows += [row for seed in seeds for row in seed]
            values = np.array([[row[4:] for row in seed] for seed in seeds], float)
            columns = np.moveaxis(values, -1, 0)
            scores[name, hole.name] = dict(zip(COLUMNS, columns, strict=True))
    files.write_text(run.output / "ablation.csv", _csv(rows))
    labels = {name: _label(method) for name, method in prepared.items()}
    plans = {
        name: plan | {"label": labels[name], "flags": " ".join(run.variants[name])}
        for name, plan in plans.items()
    }
    comparisons = ablation_table.compare(scores)
    text = ablation_table.markdown(scores, comparisons, plans, equal=run.equal)
    files.write_text(run.output / "ablation.md", text)
    files.write_picture(run.output / "forest.png", _plot(comparisons, labels))


def _protocol(run, prepared) -> dict[str, Any]:
    """All that decides the results, apart from the steps, which are measured."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in run.paths))
    environment = reporting.environment()
    return {
        "images": [path.name for path in run.paths],
        "images_sha256": digest.hexdigest(),
        "masks": [hole.name for hole in run.holes],
        "seeds": run.seeds,
        "equal": run.equal,
        "images_at_once": run.at_once,
        "model": run.model.source,
        "variants": {
            name: {
                "flags": " ".join(run.variants[name]),
                "settings": dataclasses.asdict(method.settings),
                "blend": method.blend,
                "landmarks": method.guide.describe(),
            }
            for name, method in prepared.items()
        },
        # Of these the time depends, and so the steps.
        "device": environment["device"],
        "cores": environment["cores"],
    }


def _searched(run, method, hole, seed, truth):
    """The rows of one unit."""
    inputs = run.read(hole, seed=seed)
    done = methods.complete(method, inputs, at_once=run.at_once)
    mask = np.concatenate([case.mask for case in inputs])
    columns = scoring.score(done.images, truth, mask)
    columns |= {c: getattr(done, c) for c in ("loss", "iterations", "seconds")}
    print(
        f"{method.name}, {hole.name}, seed {seed}: {done.seconds.mean():.2f} s a face, "
        f"hole {columns['psnr_hole'].mean():.2f} dB",
        flush=True,
    )
    rows = zip(*(columns[c].tolist() for c in COLUMNS), strict=True)
    return [
        [method.name, hole.name, seed, case.name, *row]
        for case, row in zip(inputs, rows, strict=True)
    ]


def _csv(rows):
    text = io.StringIO()
    head = ["variant", "mask", "seed", "image", *COLUMNS]
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue()


def _rows(path):
    return list(csv.reader(path.read_text(encoding="utf-8").splitlines()))[1:]


def _label(method):
    return method.name + (" (upper bound)" if method.guide.sees_original else "")


def _plot(comparisons, labels):
    marks = {metric: {} for metric in ablation_table.METRICS}
    for (name, mask, metric), found in comparisons.items():
        mark = forest.Mark(found.difference, found.low, found.high, found.real)
        marks[metric].setdefault(labels[name], {})[mask] = mark
    notes = {
        metric: f"{'less' if sign < 0 else 'more'} is better"
        for metric, sign in ablation_table.METRICS.items()
    }
    return forest.draw(marks, notes=notes)
