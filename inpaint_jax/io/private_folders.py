"""Whose files are trusted: those of the user alone."""

import contextlib
import os
import pathlib
import stat

from inpaint_jax.errors import InputError
from inpaint_jax.io import files


def make_private(path: str | os.PathLike[str]) -> pathlib.Path:
    """Creates a folder if need be and checks that nobody else may write to it.

    Raises:
      InputError: it is another user's, or others may write to it.
      OutputError: as in `files.make_directory`.
    """
    with contextlib.suppress(OSError):
        os.makedirs(path, mode=0o700)
    path = files.make_directory(path)
    check(path)
    if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InputError(
            f"{path}: others may write to it, so that what it holds cannot be trusted; "
            f"chmod go-w {path}, or give another folder."
        )
    return path


def check(path: str | os.PathLike[str]) -> None:
    """Checks that a file or folder belongs to the user of this process.

    Raises:
      InputError: it is another user's, or is not there.
    """
    try:
        owner = os.stat(path).st_uid
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give another."
        ) from error
    if owner != os.geteuid():
        raise InputError(
            f"{path}: belongs to user {owner}, but you are {os.geteuid()}; it cannot "
            "be trusted: give one of your own."
        )
