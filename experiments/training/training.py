"""The loop that every training here runs in: step, log, save, go on after a kill."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from experiments.common import progress, reporting
from experiments.training import divergence, stepping
from inpaint_jax import runtime
from inpaint_jax.errors import InputError
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


class Resumed(NamedTuple):
    """Where a run stands.

    Attributes:
      first: number of steps taken.
      state: after them.
      spent: seconds that they took.
    """

    first: int
    state: Any
    spent: float


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
    faces = data.load(source, crop=crop, size=size, data_dir=data_dir, cache=cache)
    for sentence in faces.skipped:
        print(f"skipped {sentence}")
    if faces.skipped:
        print(f"{len(faces.skipped)} pictures skipped, {len(faces.images)} used")
    if faces.repeated:
        first = ", ".join(faces.repeated[:_REPEATED_SHOWN])
        more = ", ..." if len(faces.repeated) > _REPEATED_SHOWN else ""
        print(f"{len(faces.repeated)} pictures repeat others, used once: {first}{more}")
    return faces


def resume(
    store: checkpoints.Store, state: Any, *, meta: dict[str, Any], steps: int
) -> Resumed:
    """Takes a run up where its last checkpoint stands.

    Args:
      store: open checkpoints of the run.
      state: as a new run would start.
      meta: {group: {name: value}}, the settings of this run, each of which the
        checkpoint must share; and "pictures", the digest of what it learns from, with
        which these may have moved to another place.
      steps: where the run is to end.

    Raises:
      InputError: the run was started with other flags, or has gone further.
    """
    resumed = store.latest(state)
    if resumed is None:
        return Resumed(0, state, 0.0)
    first, state, found = resumed
    _check_same(found, meta)
    if first > steps:
        raise InputError(
            f"--steps={steps}: the run in --run_dir has taken {first}; give at least "
            "as many."
        )
    print(f"resuming after step {first}")
    spent = float(found.get("seconds", 0.0))
    return Resumed(first, jax.tree.map(jnp.asarray, state), spent)


def run(
    key: jax.Array,
    this: Run,
    state: Any,
    rows: stepping.Rows,
    *,
    meta: dict[str, Any],
    advance: stepping.Advance,
    networks: Callable[[Any], dict[str, Any]],
    show: Callable[[int, Any], None] | None = None,
    judge: Callable[[dict[str, Any]], float] | None = None,
    name: str = "training",
    rates: str = "--generator_rate or --discriminator_rate",
) -> Any:
    """Trains from where the store stands to the last step, or as long as time allows.

    Args:
      key: step n uses `fold_in(key, n)`, however often the run was interrupted.
      this: where it leaves what it makes, and when.
      state: as a new run starts.
      rows: what to learn from.
      meta: stored with every checkpoint, see `resume`.
      advance: one step, not compiled.
      networks: state -> {name: variables}, what is stored to be used.
      show: called with (step, state) now and then.
      judge: networks -> score, the lower the better; called at each checkpoint. The
        best of them is kept beside the run, in `best`, as a run of its own.
      name: of what is trained, as the lines call it that are printed.
      rates: flags to lower if it diverges.

    Returns:
      The last state.

    Raises:
      InputError: the run was started with other flags, or has gone further; or a
        metric or a weight ran away, see `divergence.check`.
    """
    store, run_dir, schedule = this.store, this.run_dir, this.schedule
    start = resume(store, state, meta=meta, steps=schedule.steps)
    began = (time.monotonic() if this.began is None else this.began) - start.spent
    if this.accepted is not None:
        this.accepted()
    log = reporting.JsonLines(
        os.path.join(run_dir, "metrics.jsonl"), resume_after=start.first
    )
    tells = progress.Progress(name)
    everywhere, _ = runtime.data_parallel()
    state = jax.device_put(start.state, everywhere)
    program = stepping.Program(key, advance, rows, longest=schedule.log_every)
    batches = data.prefetch(rows.batches(start.first), depth=schedule.log_every)
    step, waited, saved, rate = start.first, 0.0, time.monotonic(), 0.0
    since: list[dict[str, np.ndarray]] = []
    lines: list[dict[str, float]] = []
    last = schedule.progress(step, start.spent) >= 1.0
    if not last:
        tells.say("compiling")
    while not last:
        asked = time.monotonic()
        count = _steps_of_a_call(step, schedule, rate)
        taken = [next(batches) for _ in range(count)]
        gathered = time.monotonic()
        waited += gathered - asked
        seconds = gathered - began
        over = [schedule.progress(step + i, seconds) for i in range(count)]
        state, told = program.run(state, step, taken, over)
        since.append(told)
        rate = count / (time.monotonic() - asked)
        for i in range(count):
            values = {n: float(v[i]) for n, v in told.items()}
            divergence.check(values, step + i + 1, earlier=lines, rates=rates)
        step += count
        now = time.monotonic()
        done = schedule.progress(step, now - began)
        last = done >= 1.0
        by_time = schedule.save_seconds
        due = last or (by_time is not None and now - saved >= by_time)
        saves = due or (by_time is None and step % schedule.save_every == 0)
        shows = due or (by_time is None and step % schedule.show_every == 0)
        # Also at a checkpoint: who goes on from there knows only what comes then.
        if saves or step % schedule.log_every == 0:
            values = {n: float(np.mean(v)) for n, v in _joined(since).items()}
            since = []
            lines.append(values)
            # What of that time the device stood still because no data was there.
            share = waited / max(now - began - start.spent, 1e-9)
            spent = round(now - began, 1)
            log.append(step=step, seconds=spent, **values, data_share=share)
            tells.update(step, done, values, last=last)
        if show is not None and shows:
            show(step, state)
        if saves:
            saved = time.monotonic()
            model = networks(state)
            _check_weights(model, step, rates)
            kept = {**meta, "seconds": saved - began}
            store.save(step, state=state, model=model, meta=kept)
            if judge is not None:
                score = judge(model)
                log.append(step=step, score=score)
                _keep_if_best(run_dir, step, state, model, {**kept, "score": score})
    _tell_the_end(tells, run_dir, step)
    return state


def _steps_of_a_call(step, schedule, rate):
    """As many as fit into a few seconds, and no further than what is to be done next.

    The result does not depend on it; but who is given minutes must look at the clock.
    """
    every = [schedule.log_every]
    if schedule.save_seconds is None:
        every += [schedule.save_every, schedule.show_every]
    nearest = min([schedule.steps - step, *(n - step % n for n in every)])
    return max(1, min(nearest, int(_SECONDS_A_CALL * rate)))


def _joined(told):
    return {name: np.concatenate([each[name] for each in told]) for name in told[0]}


def _tell_the_end(tells, run_dir, step):
    tells.say(f"done after step {step:,}; its checkpoints are in {run_dir}")
    best = pathlib.Path(run_dir) / "best"
    if checkpoints.is_run(best):
        at, meta = checkpoints.read_meta(best)
        tells.say(f"the best is step {at:,} with {meta['score']:.4g}, in {best}")
    sheets = sorted((pathlib.Path(run_dir) / "samples").glob("step_*.png"))
    if sheets:
        tells.say(f"its last sheet of pictures is {sheets[-1]}")


def write_samples(
    run_dir: str | os.PathLike[str],
    step: int,
    rows: list[list[UInt8[np.ndarray, "height width 3"]]],
) -> None:
    """Writes a sheet of pictures that shows where training stands after a step."""
    folder = files.make_directory(os.path.join(run_dir, "samples"))
    files.write_picture(folder / f"step_{step:07d}.png", reporting.sheet(rows))


def _keep_if_best(run_dir, step, state, model, meta):
    folder = os.path.join(run_dir, "best")
    with checkpoints.opened(folder, keep=1) as store:
        before = store.meta()
        if before is None or meta["score"] < before["score"]:
            store.save(step, state=state, model=model, meta=meta)


def _check_weights(networks, step, rates):
    for name, variables in networks.items():
        largest = [float(jnp.abs(x).max()) for x in jax.tree.leaves(variables)]
        value = float(np.max(largest, initial=0.0))
        divergence.check({f"a weight of the {name}": value}, step, rates=rates)


def _check_same(found, meta):
    same = "pictures" in meta and found.get("pictures") == meta["pictures"]
    if "pictures" in meta and not same:
        raise InputError(
            f"--data={meta['settings']['data']}: holds other pictures than those that "
            "the run in --run_dir learns from; give the same or another folder."
        )
    for group, settings in meta.items():
        if not isinstance(settings, dict):
            continue
        for name, value in settings.items():
            before = found.get(group, {}).get(name)
            moved = name == "data" and same
            if before != value and not moved:
                raise InputError(
                    f"--{name}={value}: the run in --run_dir has {before}; give the "
                    "same value or another folder."
                )
