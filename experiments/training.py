"""The loop that every training here runs in: step, log, save, go on after a kill."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from jaxtyping import UInt8

from experiments import reporting
from inpaint_jax import checkpoints, data, files, runtime
from inpaint_jax.errors import InputError

_REPEATED_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When a training ends and what it does on the way.

    Attributes:
      steps: in all, those before a resumption included.
      log_every: steps between lines of metrics.
      save_every: steps between checkpoints.
      show_every: steps between calls of `show`.
    """

    steps: int
    log_every: int
    save_every: int
    show_every: int


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
      crop: see `data.frame`.
      size: see `data.frame`.
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


def batches(
    *arrays: np.ndarray, batch_size: int, seed: int, first: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """Returns the batches after `first` steps, see `data.batches`.

    Args:
      *arrays: with a row for each picture.
      batch_size: rows of a batch.
      seed: of the order.
      first: steps taken.

    Raises:
      InputError: a batch cannot be shared out evenly over the devices.
    """
    devices = jax.local_device_count()
    if batch_size % devices:
        raise InputError(
            f"--batch_size={batch_size}: is shared out over {devices} devices; give a "
            "multiple of that."
        )
    order = data.batches(
        len(arrays[0]), batch_size=batch_size, seed=seed, first_step=first
    )
    return data.prefetch(tuple(array[chosen] for array in arrays) for chosen in order)


def resume(
    store: checkpoints.Store, state: Any, *, meta: dict[str, Any], steps: int
) -> tuple[int, Any]:
    """Takes a run up where its last checkpoint stands.

    Args:
      store: open checkpoints of the run.
      state: as a new run would start.
      meta: {group: {name: value}}, the settings of this run, each of which the
        checkpoint must share.
      steps: where the run is to end.

    Returns:
      Steps taken, and the state after them.

    Raises:
      InputError: the run was started with other flags, or has gone further.
    """
    resumed = store.latest(state)
    if resumed is None:
        return 0, state
    first, state, found = resumed
    _check_same(found, meta)
    if first > steps:
        raise InputError(
            f"--steps={steps}: the run in --run_dir has taken {first}; give at least "
            "as many."
        )
    print(f"resuming after step {first}")
    return first, jax.tree.map(jnp.asarray, state)


def run(
    key: jax.Array,
    state: Any,
    batches: Iterator[Any],
    *,
    first: int,
    schedule: Schedule,
    store: checkpoints.Store,
    run_dir: str | os.PathLike[str],
    meta: dict[str, Any],
    advance: Callable[..., tuple[Any, Any]],
    networks: Callable[[Any], dict[str, Any]],
    show: Callable[[int, Any], None] | None = None,
    judge: Callable[[dict[str, Any]], float] | None = None,
) -> Any:
    """Trains to the last step.

    Args:
      key: step n uses `fold_in(key, n)`, however often the run was interrupted.
      state: after `first` steps.
      batches: arguments of the next steps, each a tuple.
      first: steps taken.
      schedule: of the run.
      store: open checkpoints of the run.
      run_dir: folder for `metrics.jsonl`.
      meta: stored with every checkpoint.
      advance: (key, state, *batch) -> (state, info: NamedTuple of arrays).
      networks: state -> {name: variables}, what is stored to be used.
      show: called with (step, state) now and then.
      judge: networks -> score, the lower the better; called at each checkpoint. The
        best of them is kept beside the run, in `best`, as a run of its own.

    Returns:
      The last state.

    Raises:
      InputError: a metric or a weight is no longer finite.
    """
    log = reporting.JsonLines(
        os.path.join(run_dir, "metrics.jsonl"), resume_after=first
    )
    everywhere, shared_out = runtime.data_parallel()
    state = jax.device_put(state, everywhere)
    started, waited = time.monotonic(), 0.0
    bar = tqdm.tqdm(
        range(first + 1, schedule.steps + 1),
        initial=first,
        total=schedule.steps,
        unit="step",
        disable=None,
    )
    for step in bar:
        asked = time.monotonic()
        batch = next(batches)
        waited += time.monotonic() - asked
        batch = jax.device_put(batch, shared_out)
        state, info = advance(jax.random.fold_in(key, step), state, *batch)
        last = step == schedule.steps
        if step % schedule.log_every == 0 or last:
            values = {name: float(jnp.mean(v)) for name, v in info._asdict().items()}
            check_finite(values, step)
            elapsed = time.monotonic() - started
            # What of that time the device stood still because no data was there.
            values["data_share"] = waited / elapsed
            log.append(step=step, seconds=round(elapsed, 1), **values)
            bar.set_postfix({name: f"{v:.2f}" for name, v in values.items()})
        if show is not None and (step % schedule.show_every == 0 or last):
            show(step, state)
        if step % schedule.save_every == 0 or last:
            model = networks(state)
            _check_weights(model, step)
            store.save(step, state=state, model=model, meta=meta)
            if judge is not None:
                score = judge(model)
                log.append(step=step, score=score)
                _keep_if_best(run_dir, step, state, model, {**meta, "score": score})
    return state


def write_samples(
    run_dir: str | os.PathLike[str],
    step: int,
    rows: list[list[UInt8[np.ndarray, "height width 3"]]],
) -> None:
    """Writes a sheet of pictures that shows where training stands after a step."""
    folder = files.make_directory(os.path.join(run_dir, "samples"))
    files.write_picture(folder / f"step_{step:07d}.png", reporting.sheet(rows))


def check_finite(values: dict[str, float], step: int) -> None:
    """Stops a run that diverged.

    Raises:
      InputError: one of the values is NaN or infinite.
    """
    for name, value in values.items():
        if not np.isfinite(value):
            raise InputError(
                f"{name} is {value} at step {step}: training diverged; lower its "
                "learning rate. The last checkpoint is intact."
            )


def _keep_if_best(run_dir, step, state, model, meta):
    folder = os.path.join(run_dir, "best")
    with checkpoints.opened(folder, keep=1) as store:
        before = store.meta()
        if before is None or meta["score"] < before["score"]:
            store.save(step, state=state, model=model, meta=meta)


def _check_weights(networks, step):
    for name, variables in networks.items():
        finite = all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(variables))
        largest = 0.0 if finite else float("nan")
        check_finite({f"a weight of the {name}": largest}, step)


def _check_same(found, meta):
    for group, settings in meta.items():
        if not isinstance(settings, dict):
            continue
        for name, value in settings.items():
            before = found.get(group, {}).get(name)
            if before != value:
                raise InputError(
                    f"--{name}={value}: the run in --run_dir has {before}; give the "
                    "same value or another folder."
                )
