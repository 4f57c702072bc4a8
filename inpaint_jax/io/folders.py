"""Replaces several files of a folder as one: a reader finds all new ones or none.

New files are first written into a folder of their own inside. One rename makes them
count: from then on `read` takes a file from there if it is there. Then they are moved
to their places one by one. A process that is killed before the rename has changed
nothing; one that is killed after it has left a whole set of new files, which the next
writer moves. Other files in the folder are never touched.

A reader of several files may begin with an old one and go on with a new one, so one of
them should hold the hashes of the others.
"""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

from inpaint_jax.errors import InputError, OutputError
from inpaint_jax.io import files, locks

_WRITTEN = ".partial"
_COUNTING = ".complete"
_LONGEST_WAIT = 120.0  # seconds; writing takes a few


@contextlib.contextmanager
def replacing(folder: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields an empty folder, whose files replace those of `folder` on success.

    Args:
      folder: the folder to write to; created if need be.

    Yields:
      The folder to write files to. An empty file stands for the removal of the file of
      that name. If the block raises, `folder` is as it was.

    Raises:
      InputError: a folder is in the way of a file.
      OutputError: the folder cannot be written to.
    """
    folder = files.make_directory(folder)
    try:
        with alone(folder):
            _move(folder)
            written = folder / _WRITTEN
            shutil.rmtree(written, ignore_errors=True)
            written.mkdir()
            try:
                yield written
                _check_places(written, folder)
                written.rename(folder / _COUNTING)
            finally:
                shutil.rmtree(written, ignore_errors=True)
            _move(folder)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written ({error.strerror or error}); free some space "
            "or give another folder."
        ) from error


@contextlib.contextmanager
def alone(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Waits until no other process is in such a block for the same folder.

    The folder itself is locked, so that no file is left in it.

    Raises:
      InputError: another process is in such a block for two minutes.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not locks.take_in_time(descriptor, _LONGEST_WAIT):
            raise InputError(
                f"{folder}: another process has been writing there for "
                f"{_LONGEST_WAIT:g} s; end it and give the same command again."
            )
        yield
    finally:
        os.close(descriptor)


def read(folder: str | os.PathLike[str], name: str) -> bytes:
    """Returns the content of a file of a folder that `replacing` writes.

    Raises:
      OSError: it cannot be read.
    """
    folder = pathlib.Path(folder)
    try:
        return files.read_bytes(folder / _COUNTING / name)
    except (FileNotFoundError, NotADirectoryError):
        return files.read_bytes(folder / name)


def _check_places(written: pathlib.Path, folder: pathlib.Path) -> None:
    for file in written.iterdir():
        if os.path.isdir(folder / file.name):
            raise InputError(
                f"{folder / file.name}: a folder, where a file is to be written; "
                "remove it or give another folder."
            )


def _move(folder: pathlib.Path) -> None:
    counting = folder / _COUNTING
    if not os.path.isdir(counting):
        return
    for file in counting.iterdir():
        if file.stat().st_size == 0:
            (folder / file.name).unlink(missing_ok=True)
            file.unlink()
        else:
            file.replace(folder / file.name)
    counting.rmdir()
