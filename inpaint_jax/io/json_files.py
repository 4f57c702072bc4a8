"""Reads JSON files whose fields have the types that the reader says.

The files may be anyone's: what is too large, nested too deep or of another type is
refused by a sentence that names the file and the field.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from inpaint_jax.errors import InputError, reason
from inpaint_jax.io import files

_MAX_BYTES = 256 * 2**20


def read(path: str | os.PathLike[str], kind: Any, *, expected: str, give: str) -> Any:
    """Reads one JSON value.

    Args:
      path: the file, at most 256 MiB.
      kind: type of the value, as `list[int]`, see `msgspec`; fields that it lacks are
        left out.
      expected: what the file should be, for the error's sentence.
      give: what the user can do, the end of that sentence.

    Raises:
      InputError: the file cannot be read, is no JSON or nested too deep, or a field is
        missing or of another type.
    """
    return _parsed(path, msgspec.json.Decoder(kind).decode, expected, give)


def read_stored(
    path: str | os.PathLike[str], kind: Any, *, expected: str, give: str
) -> Any:
    """Reads one JSON value as `read` does, with NaN and infinities as Python has them.

    Texts stand for `bytes` in base64.
    """

    def parsed(content: bytes) -> Any:
        return msgspec.convert(json.loads(content), kind)

    return _parsed(path, parsed, expected, give)


def read_lines(
    path: str | os.PathLike[str], kind: Any, *, expected: str, give: str
) -> list[Any]:
    """Reads a file with one JSON value on each line, as `read` does."""
    return _parsed(path, msgspec.json.Decoder(kind).decode_lines, expected, give)


def parse(
    content: bytes,
    kind: Any,
    *,
    path: str | os.PathLike[str],
    expected: str,
    give: str,
) -> Any:
    """Parses the content of a file with one JSON value, as `read` does."""
    with _refused(path, expected, give):
        return msgspec.json.Decoder(kind).decode(content)


def check(
    value: Any,
    kind: Any,
    *,
    path: str | os.PathLike[str],
    expected: str,
    give: str,
) -> None:
    """Checks the types of a value that was read, of which no field is to be lost.

    Raises:
      InputError: as `read`.
    """
    with _refused(path, expected, give):
        msgspec.convert(value, kind)


def _parsed(
    path: str | os.PathLike[str],
    parse: Callable[[bytes], Any],
    expected: str,
    give: str,
) -> Any:
    with _refused(path, expected, give):
        if why := files.why_no_file(path):
            raise ValueError(why)
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES >> 20} MiB")
        return parse(content)


@contextlib.contextmanager
def _refused(path: str | os.PathLike[str], expected: str, give: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not {expected} ({reason(error)}); {give}."
        ) from error
