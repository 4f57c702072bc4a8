"""Logs the metrics of a training run, to `metrics.jsonl` and to the screen."""

import os
import pathlib

import numpy as np
from jaxtyping import Float

from experiments.common import progress, reporting
from experiments.training import divergence
from inpaint_jax.io import checkpoints

Told = dict[str, Float[np.ndarray, " steps"]]
"""{name: metric of each step of one call, `[steps]`}."""


class RunLog:
    """The log of one run; each line has the mean metrics since the line before."""

    def __init__(
        self,
        name: str,
        run_dir: str | os.PathLike[str],
        *,
        resume_after: int,
        rates: str,
    ) -> None:
        """Opens `metrics.jsonl`.

        Args:
          name: name of the network, at the start of each printed sentence.
          run_dir: folder of the run.
          resume_after: see `reporting.JsonLines`.
          rates: flags of the learning rates to lower if training diverges.
        """
        self._run_dir = pathlib.Path(run_dir)
        self._file = reporting.JsonLines(
            self._run_dir / "metrics.jsonl", resume_after=resume_after
        )
        self._name = name
        self._progress = progress.Progress(name, unit="steps")
        self._rates = rates
        self._since: list[Told] = []
        self._lines: list[dict[str, float]] = []

    def begin(self) -> None:
        """Prints that the first step takes longer."""
        progress.say(f"{self._name}: compiling; the first step takes longer")

    def note(self, told: Told, first: int) -> None:
        """Adds the metrics of the steps after `first`, and checks them.

        Raises:
          InputError: training diverged, see `divergence.check`.
        """
        self._since.append(told)
        count = len(next(iter(told.values())))
        for i in range(count):
            values = {name: float(each[i]) for name, each in told.items()}
            step = first + i + 1
            divergence.check(values, step, earlier=self._lines, rates=self._rates)

    def write(
        self, step: int, done: float, *, seconds: float, data_wait_fraction: float
    ) -> None:
        """Writes a line of metrics and shows the progress.

        Args:
          step: number of steps taken.
          done: fraction of the training that is done.
          seconds: time since the training began.
          data_wait_fraction: fraction of that time in which the device waited
            for data.
        """
        values = {name: float(np.mean(each)) for name, each in self._joined().items()}
        self._since = []
        self._lines.append(values)
        seconds = round(seconds, 1)
        self._file.append(
            step=step, seconds=seconds, **values, data_wait_fraction=data_wait_fraction
        )
        self._progress.update(step, done, values)

    def score(self, step: int, score: float) -> None:
        """Writes the score of a checkpoint."""
        self._file.append(step=step, score=score)

    def end(self, step: int) -> None:
        """Prints where the checkpoints and the last samples are."""
        name, run_dir = self._name, self._run_dir
        self._progress.close()
        progress.say(f"{name}: done after step {step}; checkpoints are in {run_dir}")
        best = run_dir / "best"
        if checkpoints.is_run(best):
            at, meta = checkpoints.read_meta(best)
            score = meta["score"]
            progress.say(f"{name}: the best is step {at} ({score:.4g}), in {best}")
        sheets = sorted((run_dir / "samples").glob("step_*.png"))
        if sheets:
            progress.say(f"{name}: look at {sheets[-1]}")

    def _joined(self) -> Told:
        names = self._since[0]
        return {n: np.concatenate([told[n] for told in self._since]) for n in names}
