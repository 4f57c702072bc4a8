"""Measures how soon one search reaches the loss that another one ended with.

python -m experiments.starts --baseline=outputs/random --other=outputs/encoder
"""

import dataclasses
import math
import os

import msgspec
import numpy as np

from experiments.common import application, options, output_folders
from experiments.common.options import option
from experiments.search import finished_runs
from inpaint_jax.errors import InputError, naming
from inpaint_jax.io import files, json_files


@dataclasses.dataclass(frozen=True)
class Runs:
    """The searches that are compared."""

    baseline: str | None = option(
        None, "Run whose loss is the goal: an --output_dir of experiments.inpaint."
    )
    other: str | None = option(
        None, "Run over the same pictures that has to reach this loss."
    )
    output: str | None = option(None, "JSON file to write; by default none.")


options.define(Runs, heading="Runs")


def main() -> int:
    """Prints for how many pictures the other search reaches the loss, and when."""
    runs = options.read(Runs)
    output_folders.check_replaceable(
        runs.output, keys=("baseline_steps", "other_steps")
    )
    names = ("baseline", "other")
    folders = {f"--{name}": options.given(runs, name) for name in names}
    output = options.output_file(runs, "output") if runs.output else None
    baseline, other = (traces(name, flag=flag) for flag, name in folders.items())
    if baseline.keys() != other.keys():
        raise InputError(
            f"--other={runs.other}: {len(baseline.keys() ^ other.keys())} pictures "
            "are in one of the runs only; run both over the same --images."
        )
    reports = [finished_runs.read(name, flag=flag) for flag, name in folders.items()]
    finished_runs.check_same_inputs(*reports)
    finished_runs.check_same_loss(*reports)
    steps = [reached(other[name], baseline[name][-1][1]) for name in sorted(baseline)]
    there = [step for step in steps if step is not None]
    found = {
        "pictures": len(steps),
        "reached": len(there),
        "median_step": float(np.median(there)) if there else None,
        "baseline_steps": max(trace[-1][0] for trace in baseline.values()),
        "other_steps": max(trace[-1][0] for trace in other.values()),
    }
    print(
        f"{found['reached']} of {found['pictures']} reach the loss of "
        f"{found['baseline_steps']} steps within {found['other_steps']}"
        + (f", half of these by step {found['median_step']:g}" if there else "")
    )
    if output:
        files.write_json(output, found)
    return 0


class _Line(msgspec.Struct):
    """A line of a trace; `None` stands for a loss that was not finite."""

    image: str
    step: int
    best_loss: list[float | None]


def traces(folder: str, *, flag: str) -> dict[str, list[tuple[int, float]]]:
    """Reads the traces of a run.

    Args:
      folder: the --output_dir of experiments.inpaint.
      flag: the flag that names it.

    Returns:
      {picture: [(step, lowest loss of all restarts so far)]}, ascending.

    Raises:
      InputError: there is no trace, or it cannot be read.
    """
    path = os.path.join(folder, "trace.jsonl")
    found: dict[str, list[tuple[int, float]]] = {}
    with naming(flag, folder):
        lines = json_files.read_lines(
            path,
            _Line,
            expected="the trace of a run",
            give="give an --output_dir of experiments.inpaint",
        )
        if not lines:
            raise InputError(f"{path}: holds no search; run experiments.inpaint again.")
    for line in lines:
        losses = [loss for loss in line.best_loss if loss is not None]
        point = line.step, min(losses, default=math.inf)
        found.setdefault(line.image, []).append(point)
    return found


def reached(trace: list[tuple[int, float]], loss: float) -> int | None:
    """Returns the first step at which a trace is at or below a loss, or None."""
    return next((step for step, best in trace if best <= loss), None)


if __name__ == "__main__":
    application.run(main)
