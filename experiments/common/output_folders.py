"""Protects files that are no results of an application from being overwritten."""

import contextlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from experiments.common import application
from inpaint_jax.errors import InputError, naming
from inpaint_jax.io import files, json_files, locks
from inpaint_jax.io import folders as whole_folders


@contextlib.contextmanager
def hold(path: str | os.PathLike[str], *, flag: str) -> Iterator[pathlib.Path]:
    """Creates a folder if need be, and keeps other processes out of it.

    Args:
      path: the folder.
      flag: name of the flag that names it.

    Yields:
      The folder.

    Raises:
      InputError: another process writes to it.
      OutputError: it cannot be created or written to.
    """
    with naming(f"--{flag}", path):
        folder = files.make_directory(path)
    busy = (
        f"--{flag}={path}: another process is writing there; wait for it or give "
        "another folder."
    )
    with locks.held(folder, busy=busy, holder=f"{_mark()}\n"):
        yield folder


@contextlib.contextmanager
def claim(
    path: str,
    *,
    flag: str = "output_dir",
    folders: Sequence[str] = (),
    shared: bool = False,
) -> Iterator[pathlib.Path]:
    """Creates the folder for the results, or takes it from an earlier run.

    It is nobody's again after an error before which nothing was written there: what
    holds pictures alone must not look like a folder of results.

    Args:
      path: the folder.
      flag: name of the flag that names it.
      folders: names of the folders in it that this application writes to.
      shared: whether processes of this application may write there at once; each then
        locks what it writes.

    Yields:
      The folder, from which other processes are kept out, or those of others if it is
      shared.

    Raises:
      InputError: it holds files, or one of these folders, that no run of this
        application has written (hidden ones and others are not looked at), or another
        process writes to it.
      OutputError: it cannot be created or written to.
    """
    # First, as the lock says from then on that the folder is this application's.
    with naming(f"--{flag}", path):
        folder = files.make_directory(path)
    with contextlib.ExitStack() as kept_out:
        if shared:  # the mark is never seen half-written
            kept_out.enter_context(whole_folders.alone(folder))
        taken, before = _check_ours(folder, flag, folders), {*folder.glob("*")}
        kept_out.enter_context(hold(path, flag=flag))
        if shared:
            kept_out.close()
        try:
            yield folder
        except BaseException:
            left = {*folder.glob("*")} - before - {folder / locks.NAME}
            if not taken and not left:
                locks.forget_holder(folder)
            raise


def _check_ours(folder: pathlib.Path, flag: str, folders: Sequence[str]) -> bool:
    """Returns whether a folder is one of this application's runs."""
    present = sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.name in folders
        or (not entry.name.startswith(".") and not os.path.isdir(entry))
    )
    # A run that is killed may leave results before it leaves its flag file.
    marks = (folder / application.FLAG_FILE, folder / locks.NAME)
    ours = any(map(is_ours, marks))
    if present and not ours:
        raise InputError(
            f"--{flag}={folder}: holds files that are no results of "
            f"{application.name()}, as {present[0]}; give a new or an empty folder."
        )
    return ours


def check_replaceable(path: str | None, *, keys: Iterable[str]) -> None:
    """Checks that a JSON file may be written.

    Args:
      path: value of --output; None for no file.
      keys: keys that each such file of this application has.

    Raises:
      InputError: another file is there.
    """
    if path is None or not os.path.lexists(path):
        return
    refused = InputError(
        f"--output={path}: is there, and no result of {application.name()}; give "
        "another name."
    )
    try:
        found = json_files.read(path, dict[str, Any], expected="a result", give="no")
    except InputError as error:
        raise refused from error
    if not set(keys) <= set(found):
        raise refused


def holds_results(folder: str | os.PathLike[str]) -> bool:
    """Returns whether an application of these experiments writes to a folder."""
    package = __name__.partition(".")[0]
    known = (f"# python -m {package}.", _mark())
    marks = (application.FLAG_FILE, locks.NAME)
    return any(_begins(pathlib.Path(folder, each), known) for each in marks)


def is_ours(path: pathlib.Path) -> bool:
    """Returns whether a file begins as those that this application marks as its own."""
    return _begins(path, (_mark(),))


def _mark() -> str:
    """How the first line begins in what this application leaves in its folders."""
    return f"# python -m {application.name()} "


def _begins(path: pathlib.Path, marks: tuple[str, ...]) -> bool:
    try:
        return os.path.isfile(path) and path.read_text(encoding="utf-8").startswith(
            marks
        )
    except (OSError, ValueError):
        return False
