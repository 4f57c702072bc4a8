"""Locks that end with the process that holds them, on regular files alone.

Neither a link nor a named pipe in the place of a file is opened: writing through a link
would damage another file, and a pipe would keep the process waiting.
"""

import contextlib
import fcntl
import os
import pathlib
import re
import stat
import time
from collections.abc import Iterator

from inpaint_jax.errors import InputError, OutputError

NAME = ".lock"
"""The hidden file of a folder that is locked."""

_SECONDS_BETWEEN_TRIES = 0.05


def open_regular(path: str | os.PathLike[str], flags: int) -> int:
    """Opens a regular file, which is created if `flags` say so.

    Args:
      path: the file.
      flags: as for `os.open`.

    Returns:
      Its descriptor.

    Raises:
      OSError: there is no such file, or it cannot be opened.
      InputError: something else is there: a link, a named pipe, a folder, a device.
    """
    safe = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with contextlib.suppress(FileNotFoundError):
        _check_regular(path, os.lstat(path))
    descriptor = os.open(path, flags | safe, 0o666)
    try:
        _check_regular(path, os.fstat(descriptor))
    except InputError:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(path: str | os.PathLike[str], status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is no regular file; remove it.")


def take(descriptor: int) -> bool:
    """Locks an open file until it is closed; returns whether nobody else has.

    Raises:
      OSError: the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def held(
    folder: str | os.PathLike[str],
    *,
    busy: str,
    seconds: float = 0.0,
    holder: str = "",
) -> Iterator[None]:
    """Holds the lock of a folder, its hidden file `.lock`.

    Args:
      folder: an existing folder.
      busy: what to say if another process holds the lock: what it does, and what to do.
      seconds: how long to wait for it.
      holder: who holds it; this stays in `.lock`, also if the process is killed.

    Raises:
      InputError: another process holds the lock, or `.lock` is no regular file.
      OutputError: there can be no lock.
    """
    path = pathlib.Path(folder) / NAME
    with contextlib.ExitStack() as closing:
        try:
            descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
            closing.callback(os.close, descriptor)
            taken = take_in_time(descriptor, seconds)
            if taken:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, holder.encode())
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be locked ({error.strerror}); give another folder."
            ) from error
        if not taken:
            raise InputError(busy)
        yield


def forget_holder(folder: str | os.PathLike[str]) -> None:
    """Removes what `held` has left in the hidden file of a folder, if it can."""
    with contextlib.suppress(OSError, InputError):
        path = pathlib.Path(folder) / NAME
        os.close(open_regular(path, os.O_WRONLY | os.O_TRUNC))


def take_in_time(descriptor: int, seconds: float) -> bool:
    """Locks an open file or folder as soon as it is free, see `take`.

    Args:
      descriptor: the file or folder.
      seconds: how long to wait for it.

    Returns:
      Whether it was free in time.

    Raises:
      OSError: the file system has no locks.
    """
    until = time.monotonic() + seconds
    while not take(descriptor):
        if time.monotonic() >= until:
            return False
        time.sleep(_SECONDS_BETWEEN_TRIES)
    return True


def remove_abandoned(folder: str | os.PathLike[str], name: re.Pattern[str]) -> None:
    """Removes the files that dead processes have left unlocked; others stay.

    Args:
      folder: whose files; those in folders in it stay.
      name: pattern of the whole names of files that a living process keeps locked.
    """
    with os.scandir(folder) as entries:
        found = [entry.path for entry in entries if name.fullmatch(entry.name)]
    for path in found:
        with contextlib.suppress(OSError, InputError):
            descriptor = open_regular(path, os.O_RDWR)
            try:
                if take(descriptor):
                    os.unlink(path)
            finally:
                os.close(descriptor)
