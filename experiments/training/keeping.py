"""Resumes runs from checkpoints, checks their settings, keeps the best checkpoint."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import options, progress
from experiments.training import divergence, materials
from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.io import checkpoints, data

_SEEN, _MATERIALS = "validation", "materials"

Networks = dict[str, types.Variables]
"""{name: variables} of the networks that a checkpoint stores."""


class Judge(NamedTuple):
    """What scores the checkpoints of a run.

    Attributes:
      score: networks -> score; lower is better. A training says what it is given.
      sees: hash of what it scores them by: the faces, and all else that was read.
    """

    score: Callable[..., float]
    sees: str


class Resumed(NamedTuple):
    """The state from which a run continues.

    Attributes:
      first: number of steps taken.
      state: the training state after them.
      spent: seconds that they took.
    """

    first: int
    state: Any
    spent: float


def meta(
    architecture: Any,
    settings: Any,
    faces: data.Faces,
    *,
    crop: int,
    steps: int | None = None,
    read: materials.Materials | None = None,
    **others: str,
) -> dict[str, Any]:
    """Returns the JSON values stored with every checkpoint, see `resume`.

    Args:
      architecture: architecture of the networks, a dataclass.
      settings: hyperparameters of the training, a dataclass.
      faces: training faces.
      crop: side of their crop in CelebA pixels.
      steps: total steps, if a resumed run must not change them; None if it may.
      read: what else the training reads.
      **others: further values that describe the networks.
    """
    stored = options.stored(settings)
    return {
        "architecture": dataclasses.asdict(architecture),
        "crop": crop,
        **others,
        "settings": stored if steps is None else {**stored, "steps": steps},
        "pictures": faces.digest,
        _MATERIALS: materials.stored(read or {}),
    }


def resume(
    store: checkpoints.Store, state: Any, *, meta: dict[str, Any], steps: int
) -> Resumed:
    """Returns the state of a run's newest checkpoint, or the initial state.

    Args:
      store: open checkpoints of the run.
      state: initial state of a new run.
      meta: {group: {name: value}}, the settings of this run, which must equal those of
        the checkpoint; "pictures", the digest of the training faces; and "materials",
        see `materials`. What has the same digest may be in another place.
      steps: total number of steps of the run.

    Raises:
      InputError: the run was started with other flags, or has taken more steps.
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
    progress.say(f"resuming after step {first}")
    spent = float(found.get("seconds", 0.0))
    return Resumed(first, jax.tree.map(jnp.asarray, state), spent)


def check_weights(networks: Networks, step: int, *, rates: str) -> None:
    """Checks that no weight has diverged, see `divergence.check`."""
    for name, variables in networks.items():
        largest = [float(jnp.abs(x).max()) for x in jax.tree.leaves(variables)]
        value = float(np.max(largest, initial=0.0))
        divergence.check({f"a weight of the {name}": value}, step, rates=rates)


def check_judge(run_dir: str | os.PathLike[str], judge: Judge) -> None:
    """Checks that a run is judged by what its best checkpoint was chosen by.

    Raises:
      InputError: it was chosen by other faces, with whose scores none can be compared.
    """
    folder = _best(run_dir)
    if not checkpoints.is_run(folder):
        return
    _, found = checkpoints.read_meta(folder)
    if found.get(_SEEN) != judge.sees:
        raise InputError(
            f"--validation: {folder} was chosen by other held-out faces, so their "
            "scores cannot be compared; give the same faces, or move that folder away "
            "to choose anew."
        )


def keep_if_best(
    run_dir: str | os.PathLike[str],
    step: int,
    state: Any,
    networks: Networks,
    *,
    meta: dict[str, Any],
    judge: Judge,
) -> float:
    """Scores a checkpoint, and saves it in the run's folder `best` if it is the best.

    Returns:
      The score.
    """
    score = judge.score(networks)
    meta = {**meta, "score": score, _SEEN: judge.sees}
    with checkpoints.opened(_best(run_dir), keep=1) as store:
        before = store.meta()
        if before is None or meta["score"] < before["score"]:
            store.save(step, state=state, model=networks, meta=meta)
    return score


def _best(run_dir: str | os.PathLike[str]) -> str:
    return os.path.join(run_dir, "best")


def _check_same(found: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    same = "pictures" in meta and found.get("pictures") == meta["pictures"]
    if "pictures" in meta and not same:
        raise InputError(
            f"--data={meta['settings']['data']}: holds other pictures than those that "
            "the run in --run_dir learns from; give the same or another folder."
        )
    read = meta.get(_MATERIALS, {})
    given = {flag: materials.Material(**each) for flag, each in read.items()}
    materials.check(found.get(_MATERIALS, {}), given)
    for group, settings in meta.items():
        if not isinstance(settings, dict) or group == _MATERIALS:
            continue
        stored = options.renamed(found.get(group, {}))
        for name, value in settings.items():
            before = stored.get(name)
            moved = (name == "data" and same) or name in read
            if before != value and not moved:
                raise InputError(
                    f"--{name}={value}: the run in --run_dir has {before}; give the "
                    "same value or another folder."
                )
