"""The loop that every training here runs in: step, log, save, go on after a kill."""

import dataclasses
import functools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import UInt8

from experiments.common import progress, reporting
from experiments.training import keeping, run_log, stepping
from inpaint_jax import runtime
from inpaint_jax.io import checkpoints, data, files

_SECONDS_A_CALL = 5.0
_REPEATED_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When a training ends and what it does on the way.

    Attributes:
      steps: in all, those before a resumption included.
      log_every: steps between lines of metrics.
      save_every: steps between checkpoints.
      show_every: steps between calls of `show`.
      seconds: after which it ends, compilation and the time before a resumption
        included, if it has not taken all steps by then.
      save_seconds: between checkpoints, with a call of `show` at each, in place of
        numbers of steps.
    """

    steps: int
    log_every: int
    save_every: int
    show_every: int
    seconds: float | None = None
    save_seconds: float | None = None

    def progress(self, steps: int, seconds: float) -> float:
        """Returns how much of the training is over, from 0 to 1."""
        share = steps / self.steps
        if self.seconds is not None:
            share = max(share, seconds / self.seconds)
        return min(share, 1.0)

    def saves(self, step: int, since: float, *, last: bool) -> bool:
        """Tells whether a checkpoint is due, `since` seconds after the one before."""
        return self._due(self.save_every, step, since) or last

    def shows(self, step: int, since: float, *, last: bool) -> bool:
        """Tells the same of a call of `show`."""
        return self._due(self.show_every, step, since) or last

    def _due(self, every: int, step: int, since: float) -> bool:
        if self.save_seconds is not None:
            return since >= self.save_seconds
        return step % every == 0


@dataclasses.dataclass(frozen=True)
class Run:
    """Where a training leaves what it makes, and when.

    Attributes:
      store: open checkpoints of the run.
      run_dir: folder for logs and sheets.
      schedule: of the run.
      began: when the time of this run began, by `time.monotonic`; None: with the loop.
      accepted: called once, before the first step; a run that is refused is as it was.
    """

    store: checkpoints.Store
    run_dir: str | os.PathLike[str]
    schedule: Schedule
    began: float | None = None
    accepted: Callable[[], None] | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """What is trained, whatever it is.

    Attributes:
      meta: stored with every checkpoint, see `keeping.resume`.
      advance: one step, not compiled.
      networks: state -> {name: variables}, what is stored to be used.
      show: called with (step, state) now and then.
      judge: scores the networks at each checkpoint. The best of them is kept beside
        the run, in `best`, as a run of its own.
      name: of what is trained, as the lines call it that are printed.
      rates: flags to lower if it diverges.
    """

    meta: dict[str, Any]
    advance: stepping.Advance
    networks: Callable[[Any], keeping.Networks]
    show: Callable[[int, Any], None] | None = None
    judge: keeping.Judge | None = None
    name: str = "training"
    rates: str = "--generator_rate or --discriminator_rate"


def load(
    source: str,
    *,
    crop: int,
    size: int,
    data_dir: str | None = None,
    cache: str | None = None,
) -> data.Faces:
    """Reads the faces of sources, and says which pictures had to be left out.

    Args:
      source: see `data.load`.
      crop: see `framing.frame`.
      size: see `framing.frame`.
      data_dir: see `sources.open_source`.
      cache: see `data.load`.
    """
    progress.say(f"reading {source}")
    faces = data.load(
        source,
        crop=crop,
        size=size,
        data_dir=data_dir,
        cache=cache,
        watch=functools.partial(progress.over, what="reading", unit="pictures"),
    )
    for sentence in faces.skipped:
        progress.say(f"skipped {sentence}")
    if faces.skipped:
        progress.say(f"{len(faces.skipped)} pictures skipped, {len(faces.images)} used")
    if faces.repeated:
        first = ", ".join(faces.repeated[:_REPEATED_SHOWN])
        more = ", ..." if len(faces.repeated) > _REPEATED_SHOWN else ""
        count = len(faces.repeated)
        progress.say(f"{count} pictures repeat others, used once: {first}{more}")
    return faces


def run(key: jax.Array, this: Run, task: Task, state: Any, rows: stepping.Rows) -> Any:
    """Trains from where the store stands to the last step, or as long as time allows.

    Args:
      key: step n uses `fold_in(key, n)`, however often the run was interrupted.
      this: where it leaves what it makes, and when.
      task: what is trained.
      state: as a new run starts.
      rows: what to learn from.

    Returns:
      The last state.

    Raises:
      InputError: the run was started with other flags, or has gone further; or a
        metric or a weight ran away, see `divergence.check`.
    """
    schedule = this.schedule
    start = keeping.resume(this.store, state, meta=task.meta, steps=schedule.steps)
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
    log.begin()
    program = stepping.Program(key, task.advance, rows, longest=schedule.log_every)
    calls = _calls(program, rows, schedule, start, began=began)
    return _followed(calls, this, task, log, start, began=began)


class _Call(NamedTuple):
    """Some steps that were taken at once.

    Attributes:
      step: how many were taken in all.
      state: after them; the next call uses its memory again.
      told: metrics of these.
      waited: seconds without data.
      done: how much of the training is over.
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
    """Takes steps until the training is over, at least one."""
    batches = data.prefetch(rows.batches(start.first), depth=schedule.log_every)
    step, state, done, rate = start.first, start.state, 0.0, 0.0
    while done < 1.0:
        asked = time.monotonic()
        count = _steps_of_a_call(step, schedule, rate)
        taken = [next(batches) for _ in range(count)]
        gathered = time.monotonic()
        over = [schedule.progress(step + i, gathered - began) for i in range(count)]
        state, told = program.run(state, step, taken, over)
        now = time.monotonic()
        step, rate = step + count, count / (now - asked)
        done = schedule.progress(step, now - began)
        yield _Call(step, state, told, gathered - asked, done)


def _followed(
    calls: Iterator[_Call],
    this: Run,
    task: Task,
    log: run_log.RunLog,
    start: keeping.Resumed,
    *,
    began: float,
) -> Any:
    """Logs, shows and saves what the calls make; returns the last state."""
    schedule = this.schedule
    step, state, waited, saved = start.first, start.state, 0.0, time.monotonic()
    for call in calls:
        log.note(call.told, step)
        step, state, waited = call.step, call.state, waited + call.waited
        now, last = time.monotonic(), call.done >= 1.0
        saves = schedule.saves(step, now - saved, last=last)
        # Also at a checkpoint: who goes on from there knows only what comes then.
        if saves or step % schedule.log_every == 0:
            share = waited / max(now - began - start.spent, 1e-9)
            log.write(step, call.done, seconds=now - began, data_wait_fraction=share)
        if task.show is not None and schedule.shows(step, now - saved, last=last):
            task.show(step, state)
        if saves:
            saved = time.monotonic()
            _save(this, task, log, step, state, seconds=saved - began)
    log.end(step)
    return state


def _save(
    this: Run, task: Task, log: run_log.RunLog, step: int, state: Any, *, seconds: float
) -> None:
    networks = task.networks(state)
    keeping.check_weights(networks, step, rates=task.rates)
    meta = {**task.meta, "seconds": seconds}
    this.store.save(step, state=state, model=networks, meta=meta)
    if task.judge is not None:
        score = task.judge(networks)
        log.score(step, score)
        scored = {**meta, "score": score}
        keeping.keep_if_best(this.run_dir, step, state, networks, meta=scored)


def _steps_of_a_call(step: int, schedule: Schedule, rate: float) -> int:
    """As many as fit into a few seconds, and no further than what is to be done next.

    The result does not depend on it; but who is given minutes must look at the clock.
    """
    every = [schedule.log_every]
    if schedule.save_seconds is None:
        every += [schedule.save_every, schedule.show_every]
    nearest = min([schedule.steps - step, *(n - step % n for n in every)])
    return max(1, min(nearest, int(_SECONDS_A_CALL * rate)))


def write_samples(
    run_dir: str | os.PathLike[str],
    step: int,
    rows: list[list[UInt8[np.ndarray, "height width 3"]]],
) -> None:
    """Writes a sheet of pictures that shows where training stands after a step."""
    folder = files.make_directory(os.path.join(run_dir, "samples"))
    files.write_picture(folder / f"step_{step:07d}.png", reporting.sheet(rows))
