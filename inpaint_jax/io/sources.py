"""Sources of pictures: folders, zip archives, array files, tensorflow-datasets.

A source is written `folder:DIR`, `zip:FILE`, `array:FILE` or `tfds:NAME`, optionally
with a slice of its sorted entries: `folder:faces[:8500]`. Where several may be given,
commas join them: `folder:faces[:8500],zip:more.zip`. A picture is read only when it is
used.
"""

import contextlib
import hashlib
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from inpaint_jax import runtime
from inpaint_jax.errors import InputError, printable, reason
from inpaint_jax.images import framing
from inpaint_jax.io import archives, files, picture_files

ReadPicture = Callable[[int], UInt8[np.ndarray, "height width 3"]]
"""Entry number -> RGB bytes; raises InputError if the entry cannot be read."""

Opened = tuple[Sequence[str], ReadPicture]
"""(names of the entries, function that reads one entry)."""

_KINDS = ("folder", "zip", "array", "tfds")


def open_source(source: str, *, data_dir: str | None = None) -> Opened:
    """Returns a source's entry names and a function that reads one entry.

    Args:
      source: one `folder:DIR`, `zip:FILE`, `array:FILE` or `tfds:NAME`, with an
        optional slice.
      data_dir: folder of tensorflow-datasets' data sets; None for its own default.

    Raises:
      InputError: the kind is unknown, or the source holds no picture.
    """
    kind, colon, rest = source.partition(":")
    openers = {
        "folder": _open_folder,
        "zip": archives.open_archive,
        "array": _open_array,
        "tfds": lambda name: _open_tfds(name, data_dir),
    }
    if not colon or kind not in openers:
        raise InputError(
            f"{source}: unknown kind of source; give folder:DIR, zip:FILE, "
            "array:FILE or tfds:NAME."
        )
    path, part = split_slice(rest)
    names, read = openers[kind](path)
    chosen = range(len(names))[part]
    if not chosen:
        raise InputError(f"{source}: this slice of {len(names)} pictures is empty.")
    return [names[i] for i in chosen], lambda index: read(chosen[index])


def split_sources(text: str) -> list[str]:
    """Splits a list of sources at its commas.

    A comma belongs to a path unless a kind and its colon follow: `folder:a,b` is one
    source, `folder:a,zip:b` are two.
    """
    return re.split(rf",(?=(?:{'|'.join(_KINDS)}):)", text)


def path_of(source: str) -> str:
    """Returns the path of a source, without its kind and slice."""
    return split_slice(source.partition(":")[2])[0]


def reads(source: str, path: str | os.PathLike[str]) -> bool:
    """Returns whether a file or folder is one of some sources.

    Args:
      source: one or more sources, joined by commas.
      path: the file or folder.
    """
    there = filter(os.path.exists, map(path_of, split_sources(source)))
    return any(os.path.samefile(each, path) for each in there)


def stamp(source: str) -> str | None:
    """Returns what changes with the files of some sources: names, sizes, times.

    Args:
      source: one or more sources, joined by commas.

    Returns:
      A hash; None if a source is not on disk, as one of `tfds:`.
    """
    found = hashlib.sha256()
    for path in map(path_of, split_sources(source)):
        if not os.path.exists(path):
            return None
        for file in list_pictures(path) if os.path.isdir(path) else [path]:
            with contextlib.suppress(OSError):  # a link that leads nowhere
                status = os.stat(file)
                entry = os.fsencode(file), status.st_size, status.st_mtime_ns
                found.update(repr(entry).encode())
    return found.hexdigest()


def split_slice(text: str) -> tuple[str, slice]:
    """Splits `PATH[START:STOP]` into path and slice; without brackets, all entries."""
    match = re.fullmatch(r"(.*)\[(-?\d{1,18})?:(-?\d{1,18})?\]", text, re.DOTALL)
    if match is None:
        return text, slice(None)
    path, start, stop = match.groups()
    return path, slice(int(start) if start else None, int(stop) if stop else None)


class Survey(NamedTuple):
    """The files of a folder and its subfolders, sorted; hidden ones are not among them.

    Attributes:
      pictures: files that are named as pictures, and what may hide pictures: links that
        lead nowhere, links to folders, which are not followed, and subfolders that
        cannot be listed. Whoever reads them says that they are not used.
      others: all other files.
    """

    pictures: list[pathlib.Path]
    others: list[pathlib.Path]


def survey(directory: str | os.PathLike[str]) -> Survey:
    """Lists the files of a folder, subfolders included.

    Raises:
      InputError: there is no such folder, or it cannot be listed.
    """
    unlisted: list[OSError] = []
    if not os.path.isdir(directory):
        raise InputError(f"{directory}: no such folder; give a folder of pictures.")
    pictures, others = [], []
    for folder, inside, names in os.walk(directory, onerror=unlisted.append):
        inside[:] = [name for name in inside if not name.startswith(".")]
        links = [name for name in inside if os.path.islink(os.path.join(folder, name))]
        pictures += [pathlib.Path(folder, name) for name in links]
        for name in names:
            if not name.startswith("."):
                known = name.lower().endswith(picture_files.SUFFIXES)
                (pictures if known else others).append(pathlib.Path(folder, name))
    failed = [pathlib.Path(error.filename) for error in unlisted]
    if failed == [pathlib.Path(directory)]:
        raise InputError(
            f"{directory}: cannot be listed ({reason(unlisted[0])}); give yourself "
            "leave to."
        )
    return Survey(sorted([*pictures, *failed]), sorted(others))


def list_pictures(directory: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Returns the paths of a folder's pictures, see `Survey`.

    Raises:
      InputError: as `survey`, or it holds no picture.
    """
    paths = survey(directory).pictures
    if not paths:
        raise InputError(
            f"{directory}: no picture in this folder; expected "
            f"{', '.join(picture_files.SUFFIXES)} files."
        )
    return paths


def _open_folder(path: str) -> Opened:
    paths = list_pictures(path)
    names = [printable(str(each.relative_to(path))) for each in paths]
    return names, lambda i: picture_files.read(paths[i])


def _open_array(path: str) -> Opened:
    files.check_file(path, give="give a .npy or .npz of RGB bytes")
    try:
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(array, np.lib.npyio.NpzFile):
            array = array[array.files[0]]
    except Exception as error:
        # The parsers of zip files and headers fail with BadZipFile and many others.
        raise InputError(
            f"{path}: not a readable .npy or .npz ({reason(error)})."
        ) from error
    known = array.dtype == np.uint8 and array.ndim == 4 and array.shape[-1] == 3
    if not known or 0 in array.shape[1:]:
        raise InputError(
            f"{path}: {array.dtype} {list(array.shape)}; expected uint8 "
            "[count, height, width, 3]."
        )
    framing.check_size(*array.shape[1:3], name=path)
    width = len(str(len(array)))
    names = [f"{i:0{width}d}" for i in range(len(array))]
    return names, lambda i: np.asarray(array[i])


def _open_tfds(path: str, data_dir: str | None) -> Opened:
    tfds = runtime.optional("tensorflow_datasets", extra="data")
    name, _, split = path.partition("/")
    where = "" if data_dir is None else f" in data_dir={data_dir}"
    options: Any = {} if data_dir is None else {"data_dir": data_dir}
    try:
        # Any: the declared type has string keys; the rows of a split are numbered.
        rows: Any = tfds.data_source(
            name, split=split or "train", download=False, **options
        )
    except tfds.core.DatasetNotFoundError as error:
        raise InputError(
            f"tfds:{path}: tensorflow-datasets knows no such set{where}; give celeb_a."
        ) from error
    except Exception as error:
        # A missing data set fails in six ways, a damaged one in more.
        raise InputError(
            f"tfds:{path}: no such set or split is prepared as array_record"
            f"{where} ({reason(error)}); prepare it with "
            f"{_preparation(name, data_dir)}, or download and unpack the aligned "
            "pictures by hand and give folder:DIR."
        ) from error
    width = len(str(len(rows)))
    names = [f"{i + 1:0{width}d}" for i in range(len(rows))]

    def read(index: int) -> UInt8[np.ndarray, "height width 3"]:
        try:
            picture = np.asarray(rows[index].get("image"))
        except Exception as error:
            # The type of the error depends on where the record is damaged.
            raise InputError(f"{names[index]}: damaged ({reason(error)}).") from error
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
            raise InputError(f"{names[index]}: a row without an RGB 'image'.")
        framing.check_size(*picture.shape[:2], name=names[index])
        return picture

    return names, read


def _preparation(name: str, data_dir: str | None) -> str:
    where = "" if data_dir is None else f", data_dir={data_dir!r}"
    return (
        f"tfds.builder({name!r}{where})"
        ".download_and_prepare(file_format='array_record')"
    )
