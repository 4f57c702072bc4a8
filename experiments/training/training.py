"""The training loop: takes steps, logs, saves checkpoints, resumes interrupted runs."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import UInt8

from experiments.common import progress, reporting, stopping
from experiments.training import keeping, run_log, stepping
from inpaint_jax import runtime
from inpaint_jax.io import checkpoints, files, picture_files, prefetching

FOLDERS = ("checkpoints", "best", "samples")
"""Names of the folders that a run writes in its own."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When a training logs, saves, shows samples and ends.

    Attributes:
      steps: total number of steps, those before a resumption included.
      log_every: steps between lines of metrics.
      save_every: steps between checkpoints.
      show_every: steps between calls of `show`.
      seconds: time limit; compilation and the time before a resumption count. None for
        no limit.
      save_seconds: seconds between checkpoints, with a call of `show` at each, in place
        of `save_every` and `show_every`; None to count steps.
      call_seconds: upper limit of the seconds that one call of the steps should take.
    """

    steps: int
    log_every: int
    save_every: int
    show_every: int
    seconds: float | None = None
    save_seconds: float | None = None
    call_seconds: float = 5.0

    def progress(self, steps: int, seconds: float) -> float:
        """Returns the fraction of the training that is done, in [0, 1]."""
        fraction = steps / self.steps
        if self.seconds is not None:
            fraction = max(fraction, seconds / self.seconds)
        return min(fraction, 1.0)

    def saves(self, step: int, since: float, *, last: bool) -> bool:
        """Returns whether to save, `since` seconds after the last checkpoint."""
        return self._due(self.save_every, step, since) or last

    def shows(self, step: int, since: float, *, last: bool) -> bool:
        """Returns whether to call `show`, `since` seconds after the last checkpoint."""
        return self._due(self.show_every, step, since) or last

    def _due(self, every: int, step: int, since: float) -> bool:
        if self.save_seconds is not None:
            return since >= self.save_seconds
        return step % every == 0


@dataclasses.dataclass(frozen=True)
class Run:
    """The folders and the schedule of a training run.

    Attributes:
      store: open checkpoints of the run.
      run_dir: folder for logs and sheets of samples.
      schedule: when to log, save and end.
      began: start of the time limit by `time.monotonic`; None for the loop's start.
      accepted: called once before the first step, after all checks.
    """

    store: checkpoints.Store
    run_dir: str | os.PathLike[str]
    schedule: Schedule
    began: float | None = None
    accepted: Callable[[], None] | None = None

    def and_then(self, write: Callable[[], None]) -> "Run":
        """Returns the run with something more to write once it is accepted."""

        def accepted() -> None:
            if self.accepted is not None:
                self.accepted()
            write()

        return dataclasses.replace(self, accepted=accepted)


@dataclasses.dataclass(frozen=True)
class Task:
    """What a training run trains.

    Attributes:
      meta: JSON values stored with every checkpoint, see `keeping.resume`.
      advance: one training step, not compiled.
      networks: state -> {name: variables} of the networks that a checkpoint stores.
      show: called with (step, state) as the schedule says; None for no samples.
      judge: scores the networks at each checkpoint; the best checkpoint is kept in the
        run's folder `best`, as a run of its own. None for no scores.
      name: name of the network in printed lines.
      rates: flags of the learning rates to lower if training diverges.
    """

    meta: dict[str, Any]
    advance: stepping.Advance
    networks: Callable[[Any], keeping.Networks]
    show: Callable[[int, Any], None] | None = None
    judge: keeping.Judge | None = None
    name: str = "training"
    rates: str = "--generator_rate or --discriminator_rate"


def run(key: jax.Array, this: Run, task: Task, state: Any, rows: stepping.Rows) -> Any:
    """Trains from the newest checkpoint to the last step or the time limit.

    Args:
      key: random key; step n uses `fold_in(key, n)`, also in a resumed run.
      this: folders and schedule of the run.
      task: what is trained.
      state: initial state of a new run.
      rows: training data.

    Returns:
      The last state.

    Raises:
      InputError: the run was started with other flags, is judged by other faces, or
        has taken more steps; or training diverged, see `divergence.check`.
    """
    schedule = this.schedule
    start = keeping.resume(this.store, state, meta=task.meta, steps=schedule.steps)
    if task.judge is not None:
        keeping.check_judge(this.run_dir, task.judge)
    began = (time.monotonic() if this.began is None else this.began) - start.spent
    if this.accepted is not None:
        this.accepted()
    log = run_log.RunLog(
        task.name, this.run_dir, resume_after=start.first, rates=task.rates
    )
    everywhere, _ = runtime.data_parallel()
    start = start._replace(state=jax.device_put(start.state, everywhere))
    if schedule.progress(start.first, start.spent) >= 1.0:
        log.end(start.first)
        return start.state
    stopping.check()  # now, and not after the compilation
    program = stepping.Program(key, task.advance, rows, longest=schedule.log_every)
    program.check_memory(start.state, rows)
    log.begin()
    calls = _calls(program, rows, schedule, start, began=began)
    return _followed(calls, this, task, log, start, began=began)


class _Call(NamedTuple):
    """The result of some steps in one call of the compiled program.

    Attributes:
      step: total number of steps taken.
      state: the state after them; the next call reuses its memory.
      told: metrics of these steps.
      waited: seconds in which the device waited for data.
      done: fraction of the training that is done.
    """

    step: int
    state: Any
    told: run_log.Told
    waited: float
    done: float


def _calls(
    program: stepping.Program,
    rows: stepping.Rows,
    schedule: Schedule,
    start: keeping.Resumed,
    *,
    began: float,
) -> Iterator[_Call]:
    """Takes steps until the training is done, at least one."""
    batches = prefetching.prefetch(rows.batches(start.first), depth=schedule.log_every)
    step, state, done, rate = start.first, start.state, 0.0, 0.0
    while done < 1.0:
        started = time.monotonic()
        count = _steps_of_a_call(step, schedule, rate)
        taken = [next(batches) for _ in range(count)]
        gathered = time.monotonic()
        dones = [schedule.progress(step + i, gathered - began) for i in range(count)]
        state, told = program.run(state, step, taken, dones)
        now = time.monotonic()
        step, rate = step + count, count / (now - started)
        done = schedule.progress(step, now - began)
        yield _Call(step, state, told, gathered - started, done)


def _followed(
    calls: Iterator[_Call],
    this: Run,
    task: Task,
    log: run_log.RunLog,
    start: keeping.Resumed,
    *,
    began: float,
) -> Any:
    """Logs, shows and saves the results of the calls; returns the last state."""
    schedule = this.schedule
    step, state, waited, saved = start.first, start.state, 0.0, time.monotonic()
    for call in calls:
        log.note(call.told, step)
        step, state, waited = call.step, call.state, waited + call.waited
        now, last = time.monotonic(), call.done >= 1.0
        stopped = bool(stopping.asked) and not last
        saves = schedule.saves(step, now - saved, last=last)
        # Also at a checkpoint: a run that resumes there has only the later metrics.
        if saves or stopped or step % schedule.log_every == 0:
            fraction = waited / max(now - began - start.spent, 1e-9)
            log.write(step, call.done, seconds=now - began, data_wait_fraction=fraction)
        if task.show is not None and schedule.shows(step, now - saved, last=last):
            task.show(step, state)
        if saves:
            saved = time.monotonic()
            _save(this, task, log, step, state, seconds=saved - began)
        if stopped:
            if not saves:  # nor judged: a run that is left alone has no such checkpoint
                unjudged = dataclasses.replace(task, judge=None)
                _save(this, unjudged, log, step, state, seconds=now - began)
            progress.say(f"{task.name}: stopped after step {step}, which is saved")
            stopping.check()
    log.end(step)
    return state


def _save(
    this: Run, task: Task, log: run_log.RunLog, step: int, state: Any, *, seconds: float
) -> None:
    networks = task.networks(state)
    keeping.check_weights(networks, step, rates=task.rates)
    meta = {**task.meta, "seconds": seconds}
    # First, or a run that ends in between would resume behind what was never judged.
    if task.judge is not None:
        score = keeping.keep_if_best(
            this.run_dir, step, state, networks, meta=meta, judge=task.judge
        )
        log.score(step, score)
    this.store.save(step, state=state, model=networks, meta=meta)


def _steps_of_a_call(step: int, schedule: Schedule, rate: float) -> int:
    """Returns the number of steps of the next call of the program.

    A call takes a few seconds, so that a time limit is kept, and ends at the latest
    where something is logged, saved or shown. The trained weights do not depend on it.
    """
    every = [schedule.log_every]
    if schedule.save_seconds is None:
        every += [schedule.save_every, schedule.show_every]
    nearest = min([schedule.steps - step, *(n - step % n for n in every)])
    return max(1, min(nearest, int(schedule.call_seconds * rate)))


def write_samples(
    run_dir: str | os.PathLike[str],
    step: int,
    rows: list[list[UInt8[np.ndarray, "height width 3"]]],
) -> None:
    """Writes a sheet of samples after a training step."""
    folder = files.make_directory(os.path.join(run_dir, "samples"))
    picture_files.write(folder / f"step_{step:07d}.png", reporting.sheet(rows))
