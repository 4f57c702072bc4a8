"""Reads and writes files; each is written whole or not at all."""

import codecs
import contextlib
import errno
import importlib.resources
import io
import json
import os
import pathlib
import re
import stat
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from inpaint_jax.errors import InputError, OutputError, reason
from inpaint_jax.io import locks

ASSETS = pathlib.Path(str(importlib.resources.files("inpaint_jax") / "assets"))
"""The folder of the files that come with the package: networks and a portrait."""

# Half-written files, as `tempfile` names them. A living process has its own locked.
_PARTIAL = re.compile(r"\.[a-z0-9_]{8}\.partial")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields a temporary file beside `path` and renames it to `path` on success.

    Args:
      path: the file to write; its folder must exist.

    Yields:
      The temporary path to write to. If the block raises, that file is deleted and
      `path` is untouched.

    Raises:
      OutputError: the folder cannot be written to.
    """
    path = pathlib.Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
    except OSError as error:
        raise OutputError(
            f"{path.parent}: cannot write here ({error.strerror}); give a folder that "
            "exists and is writable."
        ) from error
    temporary = pathlib.Path(name)
    with contextlib.suppress(OSError):  # no locks here: such files are never removed
        locks.take(handle)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); free some space "
            "or give another folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def make_directory(path: str | os.PathLike[str]) -> pathlib.Path:
    """Creates a folder if need be and checks that it is writable.

    What processes that were killed left half-written there is removed.

    Raises:
      OutputError: the path is a file, or the folder cannot be created or written to.
    """
    if not str(path):
        raise OutputError("the name of an output folder is empty; give a folder.")
    path = pathlib.Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
        locks.remove_abandoned(path, _PARTIAL)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{path}: cannot write to this output folder ({reason(error)}); give a "
            "folder that you may create or write to."
        ) from error
    return path


def check_directory(path: str | os.PathLike[str]) -> None:
    """Checks that `make_directory` will succeed, and leaves nothing behind.

    Raises:
      OutputError: as there.
    """
    above = (pathlib.Path(path), *pathlib.Path(path).parents)
    new = [folder for folder in above if not os.path.lexists(folder)]
    try:
        make_directory(path)
    finally:
        for folder in new:
            with contextlib.suppress(OSError, ValueError):
                folder.rmdir()


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[io.BufferedReader]:
    """Opens a regular file to read its bytes; a named pipe is not waited for.

    Raises:
      OSError: it is no regular file, or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "no regular file", os.fspath(path))
        with open(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Returns the content of a regular file, see `reading`.

    Raises:
      OSError: it is no regular file, or cannot be read.
    """
    with reading(path) as file:
        return file.read()


def read_text(path: str | os.PathLike[str]) -> str:
    """Returns the text of a file that a person wrote: UTF-8, or UTF-16 with its mark.

    PowerShell writes UTF-16, and editors on Windows a byte-order mark.

    Raises:
      OSError: it is no regular file, or cannot be read.
      UnicodeDecodeError: it is in another encoding.
    """
    content = read_bytes(path)
    marks = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
    return content.decode("utf-16" if content.startswith(marks) else "utf-8-sig")


def remove(path: str | os.PathLike[str]) -> None:
    """Deletes a file if it exists.

    Raises:
      OutputError: the file cannot be deleted.
    """
    try:
        pathlib.Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be deleted ({error.strerror}); delete it or give another "
            "folder."
        ) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file whole or not at all."""
    with replacing(path) as temporary:
        # Names of files that are no UTF-8 are written as they are.
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def append_text(path: str | os.PathLike[str], text: str) -> None:
    """Adds text to the end of a regular file.

    Raises:
      InputError: the file is a link or a pipe.
      OutputError: the file cannot be written.
    """
    try:
        descriptor = locks.open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        with open(descriptor, "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({reason(error)}); free some space."
        ) from error


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes readable JSON; NaN and infinities become null, as JSON has neither."""
    write_text(path, json.dumps(finite(value), indent=2, allow_nan=False) + "\n")


def check_file(path: str | os.PathLike[str], *, give: str) -> None:
    """Checks that there is a file, whatever the path: a loop of links, or no path.

    Args:
      path: the file.
      give: what the user can do, the last part of the error's sentence.

    Raises:
      InputError: there is no such file, or it is no regular one.
    """
    why = why_no_file(path)
    if why is not None:
        raise InputError(f"{path}: {why}; {give}.")


def why_no_file(path: str | os.PathLike[str]) -> str | None:
    """Returns what is there in place of a regular file; None if one is there."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        link = os.path.islink(path)
        return "a link that leads nowhere" if link else "no such file"
    except (OSError, ValueError) as error:
        return f"cannot be read ({reason(error)})"
    if stat.S_ISREG(mode):
        return None
    return "no such file, but a folder" if stat.S_ISDIR(mode) else "not a file"


def finite(value: Any) -> Any:
    r"""Replaces what JSON has not: NaN and infinities by None, through dicts and lists.

    A byte of a file's name that is no UTF-8 becomes an escape, as `\udce9`.
    """
    if isinstance(value, dict):
        return {finite(key): finite(item) for key, item in value.items()}
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
