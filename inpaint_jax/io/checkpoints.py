"""Writes and reads the checkpoints of training runs with Orbax.

A checkpoint holds `state` (all that is needed to resume training), `model` (the
networks that a search needs) and `meta` (a JSON dict: architecture, settings), with
the hash of each, which is compared when it is read: Orbax itself would return other
weights for most flipped bits. One process at a time may write to a folder; its lock
ends with the process.
"""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_manager

from inpaint_jax.errors import InputError, OutputError, reason
from inpaint_jax.io import files, hashes, locks

_FOLDER = "checkpoints"
_REMOVED = ".removed"
_UNFINISHED = ".orbax-checkpoint-tmp"  # Orbax's own suffix
_ITEMS = ("state", "model", "meta")
_SEAL = "sha256"


class Store:
    """The checkpoints of one training run, open for writing; see `opened`."""

    def __init__(
        self, manager: ocp.CheckpointManager, directory: pathlib.Path, keep: int
    ) -> None:
        """Wraps an open manager; use `opened`."""
        self._manager = manager
        self._directory = directory
        self._keep = keep

    def save(self, step: int, *, state: Any, model: Any, meta: dict[str, Any]) -> None:
        """Writes a checkpoint and waits until it is complete.

        Args:
          step: number of training steps taken.
          state: tree of arrays: all that is needed to resume training.
          model: tree of arrays: the networks.
          meta: JSON values: architecture, settings.

        Raises:
          InputError: a newer one is there, or something is in its way.
          OutputError: it cannot be written.
        """
        newest = max(self._complete_steps(), default=-1)
        if step <= newest:
            raise InputError(
                f"{self._directory}: checkpoint {step} was refused because {newest} is "
                "there; give another --run_dir."
            )
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    model=ocp.args.StandardSave(model),
                    meta=ocp.args.JsonSave(_sealed(state, model, meta)),
                ),
                force=True,
            )
        except checkpoint_manager.StepAlreadyExistsError as error:
            raise InputError(
                f"{self._directory}/{step}: in the way of a checkpoint, and none "
                "itself; remove it."
            ) from error
        except (OSError, ValueError) as error:
            # TensorStore reports a full disk as a ValueError.
            raise OutputError(
                f"{self._directory}: checkpoint {step} cannot be written "
                f"({reason(error)}); earlier checkpoints are untouched."
            ) from error
        for old in sorted(self._complete_steps())[: -self._keep]:
            _remove(self._directory / str(old))
        self._manager.reload()

    def latest(self, template: Any) -> tuple[int, Any, dict[str, Any]] | None:
        """Reads the state from which training resumes.

        Args:
          template: tree of arrays or shapes that the state must match.

        Returns:
          (step, state, meta) of the newest complete checkpoint, or None.

        Raises:
          InputError: the newest checkpoint is damaged or of another architecture.
        """
        step = max(self._complete_steps(), default=None)
        if step is None:
            return None
        state, meta = _restore(self._manager, step, "state", template)
        return step, state, meta

    def meta(self) -> dict[str, Any] | None:
        """Returns the `meta` of the newest complete checkpoint, or None."""
        step = max(self._complete_steps(), default=None)
        if step is None:
            return None
        return _read_meta(self._manager, step)

    def _complete_steps(self) -> list[int]:
        return _complete_steps(self._manager, self._directory)


@contextlib.contextmanager
def opened(run_dir: str | os.PathLike[str], *, keep: int = 2) -> Iterator[Store]:
    """Opens a run's checkpoints for writing.

    Args:
      run_dir: folder of the run; created if need be.
      keep: number of the newest checkpoints to keep.

    Yields:
      The store. It is closed, with everything written, when the block ends.

    Raises:
      InputError: the folder cannot be written, or another process writes to it.
    """
    run = files.make_directory(pathlib.Path(run_dir).absolute())
    directory = files.make_directory(run / _FOLDER)
    busy = (
        f"--run_dir={run_dir}: another process is training there; wait for it or give "
        "another folder."
    )
    with locks.held(directory, busy=busy):
        for name in (_REMOVED, _UNFINISHED):
            for leftover in directory.glob(f"*{name}*"):
                shutil.rmtree(leftover, ignore_errors=True)
        # Orbax itself would remove unfinished checkpoints in a thread, which prints an
        # error if the process ends first.
        options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False)
        with ocp.CheckpointManager(directory, options=options) as manager:
            yield Store(manager, directory, keep)


def is_run(path: str | os.PathLike[str]) -> bool:
    """Returns whether a folder holds the checkpoints of a training run."""
    return os.path.isdir(os.path.join(path, _FOLDER))


def read_meta(run_dir: str | os.PathLike[str]) -> tuple[int, dict[str, Any]]:
    """Returns (step, meta) of a run's newest complete checkpoint.

    Raises:
      InputError: there is no complete checkpoint.
    """
    if is_run(run_dir):
        with _reading(run_dir) as (manager, directory):
            step = max(_complete_steps(manager, directory), default=None)
            if step is not None:
                return step, _read_meta(manager, step)
    raise InputError(
        f"{run_dir}: no complete checkpoint; train longer or give another."
    )


def read_model(run_dir: str | os.PathLike[str], step: int, template: Any) -> Any:
    """Returns the `model` item of one checkpoint.

    Args:
      run_dir: folder of the run.
      step: which checkpoint, as from `read_meta`.
      template: tree of arrays or shapes that the model must match.

    Raises:
      InputError: the checkpoint is damaged or of another architecture.
    """
    with _reading(run_dir) as (manager, _):
        return _restore(manager, step, "model", template)[0]


@contextlib.contextmanager
def _reading(
    run_dir: str | os.PathLike[str],
) -> Iterator[tuple[ocp.CheckpointManager, pathlib.Path]]:
    directory = pathlib.Path(run_dir).absolute() / _FOLDER
    options = ocp.CheckpointManagerOptions(create=False, read_only=True)
    with ocp.CheckpointManager(directory, options=options) as manager:
        yield manager, directory


def _restore(
    manager: ocp.CheckpointManager, step: int, item: str, template: Any
) -> tuple[Any, dict[str, Any]]:
    # Orbax returns whatever shape was stored, and casts types, without an error.
    found, wanted = _stored_shapes(manager, step, item), _shapes(template)
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise InputError(
                f"{manager.directory}/{step}: {name} is {found.get(name, 'missing')}, "
                f"but this architecture has {wanted.get(name, 'nothing')}; give the "
                "flags it was trained with or another folder."
            )
    # NumPy targets restore on any devices, whatever devices the run was saved on.
    target = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), template)
    asked = {item: ocp.args.StandardRestore(target), "meta": ocp.args.JsonRestore()}
    with _damage_reported(manager, step):
        restored = manager.restore(step, args=ocp.args.Composite(**asked))
        meta, seal = _unsealed(restored["meta"])
        _check(item, hashes.of_arrays(restored[item]), seal)
    return restored[item], meta


def _read_meta(manager: ocp.CheckpointManager, step: int) -> dict[str, Any]:
    asked = ocp.args.Composite(meta=ocp.args.JsonRestore())
    with _damage_reported(manager, step):
        return _unsealed(manager.restore(step, args=asked)["meta"])[0]


def _sealed(state: Any, model: Any, meta: dict[str, Any]) -> dict[str, Any]:
    """Returns what is stored as `meta`: the value, and the hashes of all items."""
    seal = {"state": hashes.of_arrays(state), "model": hashes.of_arrays(model)}
    return {"meta": meta, _SEAL: {**seal, "meta": hashes.of_json(meta)}}


def _unsealed(
    stored: dict[str, Any],
) -> tuple[dict[str, Any], Mapping[str, str] | None]:
    """Returns the checked meta and the hashes; None of checkpoints from before them."""
    if stored.keys().isdisjoint(("meta", _SEAL)):
        return stored, None
    meta, seal = stored["meta"], stored[_SEAL]
    _check("meta", hashes.of_json(meta), seal)
    return meta, seal


def _check(item: str, found: str, seal: Mapping[str, str] | None) -> None:
    if seal is not None and found != seal[item]:
        raise ValueError(f"its {item} is not what was saved")


def _stored_shapes(
    manager: ocp.CheckpointManager, step: int, item: str
) -> dict[str, str]:
    with _damage_reported(manager, step):
        folder = manager.directory / str(step) / item
        return _shapes(ocp.StandardCheckpointHandler().metadata(folder).tree)


@contextlib.contextmanager
def _damage_reported(manager: ocp.CheckpointManager, step: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The type of the error depends on where the file is damaged.
        raise InputError(
            f"{manager.directory}/{step}: damaged ({reason(error)}); remove this "
            "checkpoint, so that the one before it is used, or give another folder."
        ) from error


def _shapes(tree: Any) -> dict[str, str]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): (
            f"{leaf.dtype} {list(leaf.shape)}"
        )
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
        if hasattr(leaf, "shape")
    }


def _remove(directory: pathlib.Path) -> None:
    # Rename it first: a process that is killed while it deletes must not leave a folder
    # that looks like a checkpoint.
    doomed = directory.with_name(directory.name + _REMOVED)
    directory.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _complete_steps(
    manager: ocp.CheckpointManager, directory: pathlib.Path
) -> list[int]:
    return [step for step in manager.all_steps() if _is_complete(directory / str(step))]


def _is_complete(step_directory: pathlib.Path) -> bool:
    return all(os.path.isdir(step_directory / item) for item in _ITEMS)
