"""Reads pictures one by one out of a zip archive, without unpacking it to disk.

An untrusted archive is safe to open: names are never used as paths, and a member is
decompressed only up to the size that it declares, which has a limit.
"""

import contextlib
import copy
import pathlib
import threading
import zipfile
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import UInt8

from inpaint_jax.errors import InputError, printable, reason
from inpaint_jax.io import files, picture_files

MAX_BYTES = 64 * 2**20
"""The largest size of one member."""

_ENCRYPTED = 0x1
# For other methods, Python's readers decompress without a limit.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAC_ATTRIBUTES = "__MACOSX"


def open_archive(
    path: str,
) -> tuple[Sequence[str], Callable[[int], UInt8[np.ndarray, "height width 3"]]]:
    """Opens a zip archive of pictures.

    Args:
      path: the archive.

    Returns:
      (names of its pictures, sorted by path; function that reads picture number i as
      `picture_files.read` does). Any thread may call the function. It raises
      InputError if the member is damaged, encrypted, no picture, above `MAX_BYTES` or
      longer than it declares.

    Raises:
      InputError: there is no such file, it is no zip, or it holds no picture.
    """
    files.check_file(path, give="give a .zip of pictures")
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:
        # A damaged directory fails with BadZipFile, struct.error and others.
        raise InputError(
            f"{path}: not a whole zip archive ({reason(error)}); give a .zip of "
            "pictures, or fetch it again if it was cut short."
        ) from error
    # If two members have one name, the last counts, as when a zip is unpacked.
    members = {info.filename: info for info in archive.infolist() if _is_picture(info)}
    chosen = sorted(members.values(), key=lambda info: _place(info).parts)
    if not chosen:
        raise InputError(
            f"{path}: no picture in this archive; expected "
            f"{', '.join(picture_files.SUFFIXES)} members."
        )
    names = [printable(info.filename) for info in chosen]
    lock = threading.Lock()

    def read(index: int) -> UInt8[np.ndarray, "height width 3"]:
        name = f"{path}/{names[index]}"
        content = _content(archive, lock, chosen[index], name)
        return picture_files.decode(content, name=name)

    return names, read


def _is_picture(info: zipfile.ZipInfo) -> bool:
    place = _place(info)
    known = place.suffix.lower() in picture_files.SUFFIXES
    return known and not info.is_dir() and place.parts[0] != _MAC_ATTRIBUTES


def _place(info: zipfile.ZipInfo) -> pathlib.PurePosixPath:
    return pathlib.PurePosixPath(info.filename)


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
    # zipfile would silently cut off content beyond the declared size. One byte beyond
    # it is enough to detect that, and no more is decompressed.
    unbounded = copy.copy(info)
    unbounded.file_size = 2 * MAX_BYTES
    try:
        with lock, archive.open(unbounded) as member:
            content = member.read(declared + 1)
    except Exception as error:
        # Damage shows as BadZipFile, zlib.error, EOFError and others.
        raise InputError(
            f"{name}: damaged ({reason(error)}); replace it by an intact one."
        ) from error
    if len(content) != declared:
        compared = "more" if len(content) > declared else "fewer"
        raise InputError(
            f"{name}: damaged ({compared} than the {declared} bytes it declares); "
            "replace it by an intact one."
        )
    return content
