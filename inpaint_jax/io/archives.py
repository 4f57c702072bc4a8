"""Pictures inside a zip archive, read one by one; nothing is unpacked to disk.

Any archive may be opened: names are never used as paths, and of a member no more is
decompressed than it declares, which has a limit.
"""

import contextlib
import copy
import os
import pathlib
import threading
import zipfile
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import UInt8

from inpaint_jax.errors import InputError, reason
from inpaint_jax.io import files

MAX_BYTES = 64 * 2**20
"""The most that one member may hold."""

_ENCRYPTED = 0x1
# Python's readers of other methods decompress without a limit.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAC_ATTRIBUTES = "__MACOSX"


def open_archive(
    path: str,
) -> tuple[Sequence[str], Callable[[int], UInt8[np.ndarray, "height width 3"]]]:
    """Opens a zip archive of pictures.

    Args:
      path: of the archive.

    Returns:
      The names of its pictures, sorted as those of a folder are, and a function that
      reads one of them as `files.read_picture` does; any thread may call it. It raises
      InputError for a member that is damaged, encrypted, no picture, above `MAX_BYTES`
      or longer than it declares.

    Raises:
      InputError: there is no such file, it is no zip, or no picture is in it.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such file; give a .zip of pictures.")
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:
        # A damaged directory fails with BadZipFile, struct.error and others.
        raise InputError(
            f"{path}: not a whole zip archive ({reason(error)}); give a .zip of "
            "pictures, or fetch it again if it was cut short."
        ) from error
    # Of two members of one name the last counts, as if they were unpacked.
    members = {info.filename: info for info in archive.infolist() if _is_picture(info)}
    chosen = sorted(members.values(), key=lambda info: _place(info).parts)
    if not chosen:
        raise InputError(
            f"{path}: no picture in this archive; expected "
            f"{', '.join(files.PICTURE_SUFFIXES)} members."
        )
    names = [_printable(info.filename) for info in chosen]
    lock = threading.Lock()

    def read(index: int) -> UInt8[np.ndarray, "height width 3"]:
        name = f"{path}/{names[index]}"
        content = _content(archive, lock, chosen[index], name)
        return files.decode_picture(content, name=name)

    return names, read


def _is_picture(info: zipfile.ZipInfo) -> bool:
    place = _place(info)
    known = place.suffix.lower() in files.PICTURE_SUFFIXES
    return known and not info.is_dir() and place.parts[0] != _MAC_ATTRIBUTES


def _place(info: zipfile.ZipInfo) -> pathlib.PurePosixPath:
    return pathlib.PurePosixPath(info.filename)


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def _content(
    archive: zipfile.ZipFile,
    lock: contextlib.AbstractContextManager[bool],
    info: zipfile.ZipInfo,
    name: str,
) -> bytes:
    if info.flag_bits & _ENCRYPTED:
        raise InputError(f"{name}: encrypted; pack it without a password.")
    if info.compress_type not in _METHODS:
        raise InputError(
            f"{name}: compressed by method {info.compress_type}; pack it by deflate or "
            "uncompressed."
        )
    declared = info.file_size
    if declared > MAX_BYTES:
        raise InputError(
            f"{name}: {declared} bytes are too many; a picture in an archive may have "
            f"{MAX_BYTES}."
        )
    # zipfile would cut off what is beyond the declared size; one byte of it is enough
    # to know, and no more is made.
    unbounded = copy.copy(info)
    unbounded.file_size = 2 * MAX_BYTES
    try:
        with lock, archive.open(unbounded) as member:
            content = member.read(declared + 1)
    except Exception as error:
        # Damage shows as BadZipFile, zlib.error, EOFError and others.
        raise InputError(
            f"{name}: damaged ({_printable(reason(error))}); replace it by an intact "
            "one."
        ) from error
    if len(content) != declared:
        compared = "more" if len(content) > declared else "fewer"
        raise InputError(
            f"{name}: damaged ({compared} than the {declared} bytes it declares); "
            "replace it by an intact one."
        )
    return content
