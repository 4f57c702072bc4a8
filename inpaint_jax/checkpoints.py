"""Checkpoints of training runs: Orbax behind three functions.

A checkpoint holds `state` (all that training needs to go on), `model` (only what a
search needs) and `meta` (a JSON dict: architecture, settings). One process at a time
may write to a folder; the lock goes away with the process, however that ends.
"""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from inpaint_jax import files
from inpaint_jax.errors import InputError

_FOLDER = "checkpoints"
_ITEMS = ("state", "model", "meta")


class Store:
    """The checkpoints of one training run, open for writing; see `opened`."""

    def __init__(self, manager: ocp.CheckpointManager, directory: pathlib.Path):
        """Wraps an open manager; use `opened`."""
        self._manager = manager
        self._directory = directory

    def save(self, step: int, *, state: Any, model: Any, meta: dict[str, Any]) -> None:
        """Writes a checkpoint and waits until it is complete.

        Args:
          step: number of training steps taken.
          state: tree of arrays.
          model: tree of arrays.
          meta: JSON values.

        Raises:
          InputError: it could not be written.
        """
        try:
            saved = self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    model=ocp.args.StandardSave(model),
                    meta=ocp.args.JsonSave(meta),
                ),
                force=True,
            )
        except OSError as error:
            raise InputError(
                f"{self._directory}: checkpoint {step} cannot be written "
                f"({error.strerror or error}); earlier checkpoints are untouched."
            ) from error
        if not saved:
            raise InputError(
                f"{self._directory}: checkpoint {step} was refused because a later one "
                "is there; give another --run_dir."
            )

    def latest(self, template: Any) -> tuple[int, Any, dict[str, Any]] | None:
        """Reads the state to go on from.

        Args:
          template: tree of arrays or shapes that the state must match.

        Returns:
          (step, state, meta) of the newest complete checkpoint, or None.

        Raises:
          InputError: the newest checkpoint is damaged or of another architecture.
        """
        for step in sorted(self._manager.all_steps(), reverse=True):
            if _is_complete(self._directory / str(step)):
                state, meta = _restore(self._manager, step, "state", template)
                return step, state, meta
        return None


@contextlib.contextmanager
def opened(run_dir: str | os.PathLike[str], *, keep: int = 2) -> Iterator[Store]:
    """Opens a run's checkpoints for writing.

    Args:
      run_dir: folder of the run; created if need be.
      keep: how many of the newest checkpoints to keep.

    Yields:
      The store. It is closed, with everything written, when the block ends.

    Raises:
      InputError: the folder cannot be written, or another process writes to it.
    """
    directory = files.make_directory(pathlib.Path(run_dir).absolute() / _FOLDER)
    with open(directory / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"--run_dir={run_dir}: another process is training there; wait for it "
                "or give another folder."
            ) from error
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            cleanup_tmp_directories=True,
            enable_async_checkpointing=False,
        )
        with ocp.CheckpointManager(directory, options=options) as manager:
            yield Store(manager, directory)


def is_run(path: str | os.PathLike[str]) -> bool:
    """Tells whether a folder holds the checkpoints of a training run."""
    return (pathlib.Path(path) / _FOLDER).is_dir()


def read_meta(run_dir: str | os.PathLike[str]) -> tuple[int, dict[str, Any]]:
    """Reads the newest complete checkpoint's step and meta.

    Raises:
      InputError: there is none.
    """
    directory = pathlib.Path(run_dir).absolute() / _FOLDER
    with ocp.CheckpointManager(directory) as manager:
        for step in sorted(manager.all_steps(), reverse=True):
            if _is_complete(directory / str(step)):
                restored = manager.restore(
                    step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())
                )
                return step, restored["meta"]
    raise InputError(
        f"--checkpoint={run_dir}: no complete checkpoint; train longer or give another."
    )


def read_model(run_dir: str | os.PathLike[str], step: int, template: Any) -> Any:
    """Reads the `model` item of one checkpoint.

    Args:
      run_dir: folder of the run.
      step: as `read_meta` gives it.
      template: tree of arrays or shapes that it must match.

    Raises:
      InputError: it is damaged or of another architecture.
    """
    directory = pathlib.Path(run_dir).absolute() / _FOLDER
    with ocp.CheckpointManager(directory) as manager:
        return _restore(manager, step, "model", template)[0]


def _restore(manager, step, item, template):
    where = f"{manager.directory}/{step}"
    # NumPy targets restore on any devices, whatever devices the run was saved on.
    target = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), template)
    try:
        restored = manager.restore(
            step,
            args=ocp.args.Composite(
                **{item: ocp.args.StandardRestore(target)}, meta=ocp.args.JsonRestore()
            ),
        )
    except (ValueError, KeyError, TypeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{where}: does not fit this architecture, or is damaged ({reason}); give "
            "the flags it was trained with or another folder."
        ) from error
    return restored[item], restored["meta"]


def _is_complete(step_directory):
    return all((step_directory / item).is_dir() for item in _ITEMS)
