"""Compares completions of the same images by paired differences with 95 % intervals.

python -m experiments.compare --baseline=outputs/none --others=outputs/soft,outputs/net
"""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.common import (
    application,
    options,
    output_folders,
    progress,
    statistics,
)
from experiments.common.options import option
from experiments.search import finished_runs
from experiments.search.finished_runs import SCORES
from inpaint_jax.errors import InputError, naming
from inpaint_jax.io import files

Entries = dict[str, dict[str, Any]]
"""{image: its entry in the report}"""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The runs that are compared."""

    baseline: str | None = option(
        None, "Run to compare with: an --output_dir of experiments.inpaint."
    )
    others: tuple[str, ...] = option(
        (), "Runs over the same images and masks to compare with --baseline."
    )
    output: str | None = option(None, "JSON file to write; by default none.")
    seed: int = option(0, "Seed of the bootstrap.", least=0)


options.define(Comparison, heading="Comparison")


def main() -> int:
    """Prints a table; returns the exit code."""
    wanted = options.read(Comparison)
    path = options.given(wanted, "baseline")
    output = options.output_file(wanted, "output") if wanted.output else None
    output_folders.check_replaceable(output, keys=("baseline", "others"))
    run = finished_runs.read(path, flag="--baseline")
    options.given(wanted, "others")
    others = [finished_runs.read(name, flag="--others") for name in wanted.others]
    for other in others:
        finished_runs.check_same_inputs(run, other)
        _check_comparable(run, other)
    baseline = run.entries
    found: dict[str, Any] = {}
    progress.say(_line(path, _means(baseline), {}))
    for name, other, _ in others:
        differences = _differences(baseline, other, seed=wanted.seed)
        found[name] = {"mean": _means(other), "difference": differences}
        progress.say(_line(name, found[name]["mean"], differences))
    if len(baseline) == 1:
        progress.say("there is one image, so that no difference has an interval")
    if output:
        report = {"images": len(baseline), "baseline": path, "mean": _means(baseline)}
        with naming("--output", output):
            files.write_json(output, {**report, "others": found})
    return 0


def _check_comparable(
    run: finished_runs.FinishedRun, other: finished_runs.FinishedRun
) -> None:
    known = [
        [score for score in SCORES if _has(x.entries, score)] for x in (run, other)
    ]
    if not {*known[0]} & {*known[1]}:
        has = [", ".join(scores) or "none" for scores in known]
        raise InputError(
            f"--others={other.folder}: has no score in common with {run.folder} "
            f"({has[1]}, and {has[0]} there); compare runs over undamaged pictures, "
            "whose completions are scored."
        )


def _differences(
    baseline: Entries, other: Entries, *, seed: int
) -> dict[str, dict[str, float]]:
    """Returns {score: mean of the paired differences and its interval}."""
    rng = np.random.default_rng(seed)
    return {
        score: statistics.interval(
            _column(other, score) - _column(baseline, score), rng
        )
        for score in SCORES
        if _has(baseline, score) and _has(other, score)
    }


def _has(entries: Entries, score: str) -> bool:
    return all(score in entry for entry in entries.values())


def _column(entries: Entries, score: str) -> Float[np.ndarray, " images"]:
    return np.array([entries[name][score] for name in sorted(entries)])


def _means(entries: Entries) -> dict[str, float]:
    return {s: float(_column(entries, s).mean()) for s in SCORES if _has(entries, s)}


def _line(
    name: str, means: dict[str, float], differences: dict[str, dict[str, float]]
) -> str:
    parts = []
    for score, mean in means.items():
        digits = 4 if score in ("nme", "ssim") else 2
        part = f"{score} {mean:.{digits}f}"
        if d := differences.get(score):
            part += f" ({_signed(d, digits)})"
        parts.append(part)
    return f"{name}: " + ", ".join(parts)


def _signed(difference: dict[str, float], digits: int) -> str:
    """Returns a difference with its interval, if it has one."""
    mean, low, high = (f"{difference[n]:+.{digits}f}" for n in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]" if math.isfinite(difference["low"]) else mean


if __name__ == "__main__":
    application.run(main)
