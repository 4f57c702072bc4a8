"""Faces from outside: where they come from, how they are framed, in which order.

A source is written `folder:DIR`, `array:FILE` or `tfds:NAME`, optionally with a slice
of its sorted entries: `folder:faces[:8500]`. Pictures with the proportions of aligned
CelebA pictures (178 x 218, at any scale) are cropped around the face, the side of the
crop given in CelebA pixels; any other picture is cropped to its central square.
"""

import concurrent.futures
import dataclasses
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from inpaint_jax import files
from inpaint_jax.errors import InputError

CELEBA_WIDTH, CELEBA_HEIGHT = 178, 218
_PROPORTION_TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Faces:
    """Framed pictures in memory.

    Attributes:
      images: uint8 `[count, size, size, 3]`.
      names: one name per picture, in the same order.
      skipped: one sentence for each entry that could not be read.
    """

    images: UInt8[np.ndarray, "count size size 3"]
    names: tuple[str, ...]
    skipped: tuple[str, ...]


def frame(
    picture: UInt8[np.ndarray, "height width 3"], *, crop: int, size: int
) -> UInt8[np.ndarray, "size size 3"]:
    """Cuts the face's square out of a picture and scales it.

    Args:
      picture: RGB bytes of any size.
      crop: side of the square in CelebA pixels (128: whole jaw; 108: as earlier DCGAN
        code); used for pictures with CelebA's proportions only.
      size: side of the result in pixels.

    Returns:
      uint8 `[size, size, 3]`. No resampling takes place if the square has that size.
    """
    height, width = picture.shape[:2]
    side = min(height, width)
    if is_aligned(height, width):
        side = min(side, round(crop * width / CELEBA_WIDTH))
    left, top = (width - side) // 2, (height - side) // 2
    square = picture[top : top + side, left : left + side]
    if side == size:
        return np.ascontiguousarray(square)
    scaled = Image.fromarray(square).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(scaled)


def is_aligned(height: int, width: int) -> bool:
    """Tells whether a picture has the proportions of the aligned CelebA set."""
    expected = CELEBA_WIDTH / CELEBA_HEIGHT
    return abs(width / height - expected) <= _PROPORTION_TOLERANCE * expected


def load(source: str, *, crop: int, size: int) -> Faces:
    """Reads and frames all pictures of a source.

    Args:
      source: `folder:DIR`, `array:FILE` or `tfds:NAME`, with an optional slice.
      crop: as in `frame`.
      size: as in `frame`.

    Returns:
      The faces, in the source's order. Pictures that cannot be read are left out and
      listed in `skipped`.

    Raises:
      InputError: the source cannot be understood or holds no readable picture.
    """
    names, read = open_source(source)

    def framed(index: int) -> UInt8[np.ndarray, "size size 3"] | str:
        try:
            return frame(read(index), crop=crop, size=size)
        except InputError as error:
            return str(error)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(framed, range(len(names))))
    good = [i for i, result in enumerate(results) if not isinstance(result, str)]
    if not good:
        raise InputError(f"{source}: none of its {len(names)} pictures can be read.")
    return Faces(
        images=np.stack([np.asarray(results[i]) for i in good]),
        names=tuple(names[i] for i in good),
        skipped=tuple(result for result in results if isinstance(result, str)),
    )


def batches(
    count: int, *, batch_size: int, seed: int, first_step: int
) -> Iterator[Int[np.ndarray, " batch"]]:
    """Yields which pictures make up each shuffled batch, for ever, from any step on.

    The order depends on the seed and the epoch alone, so that a run that is resumed at
    a step sees what an undisturbed one would have seen.

    Args:
      count: number of pictures.
      batch_size: at most `count`; the last incomplete batch of an epoch is dropped.
      seed: of the shuffles.
      first_step: step of the first batch that is yielded.

    Yields:
      Indices, ascending.

    Raises:
      InputError: there are fewer pictures than one batch takes.
    """
    per_epoch = count // batch_size
    if per_epoch == 0:
        raise InputError(
            f"--batch_size={batch_size}: only {count} pictures; give at most {count}."
        )
    step = first_step
    while True:
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((seed, epoch)).permutation(count)
        for start in range(place * batch_size, per_epoch * batch_size, batch_size):
            yield np.sort(order[start : start + batch_size])
            step += 1


def open_source(
    source: str,
) -> tuple[Sequence[str], Callable[[int], UInt8[np.ndarray, "height width 3"]]]:
    """Resolves a source into entry names and a function that reads one entry.

    Raises:
      InputError: the kind is unknown, or there is nothing there.
    """
    kind, colon, rest = source.partition(":")
    openers = {"folder": _open_folder, "array": _open_array, "tfds": _open_tfds}
    if not colon or kind not in openers:
        raise InputError(
            f"--data={source}: unknown kind of source; give folder:DIR, array:FILE or "
            "tfds:NAME."
        )
    path, part = split_slice(rest)
    names, read = openers[kind](path)
    chosen = range(len(names))[part]
    if not chosen:
        raise InputError(f"{source}: this slice of {len(names)} pictures is empty.")
    return [names[i] for i in chosen], lambda index: read(chosen[index])


def split_slice(text: str) -> tuple[str, slice]:
    """Splits `PATH[START:STOP]` into the path and the slice (all, if there is none)."""
    match = re.fullmatch(r"(.*)\[(-?\d*):(-?\d*)\]", text)
    if match is None:
        return text, slice(None)
    path, start, stop = match.groups()
    return path, slice(int(start) if start else None, int(stop) if stop else None)


def list_pictures(directory: str) -> list[pathlib.Path]:
    """Returns a folder's pictures, subfolders included, sorted by path.

    Raises:
      InputError: there is no such folder or no picture in it.
    """
    root = pathlib.Path(directory)
    if not root.is_dir():
        raise InputError(f"{directory}: no such folder; give a folder of pictures.")
    paths = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in files.PICTURE_SUFFIXES and path.is_file()
    )
    if not paths:
        raise InputError(
            f"{directory}: no picture in this folder; expected "
            f"{', '.join(files.PICTURE_SUFFIXES)} files."
        )
    return paths


def _open_folder(path):
    paths = list_pictures(path)
    return [str(p.relative_to(path)) for p in paths], lambda i: files.read_picture(
        paths[i]
    )


def _open_array(path):
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such file; give a .npy or .npz of RGB bytes.")
    try:
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(array, np.lib.npyio.NpzFile):
            array = array[array.files[0]]
    except Exception as error:
        # The parsers of zip files and headers fail with BadZipFile and many others.
        raise InputError(f"{path}: not a readable .npy or .npz ({error}).") from error
    known = array.dtype == np.uint8 and array.ndim == 4 and array.shape[-1] == 3
    if not known or 0 in array.shape[1:]:
        raise InputError(
            f"{path}: {array.dtype} {list(array.shape)}; expected uint8 "
            "[count, height, width, 3]."
        )
    width = len(str(len(array)))
    names = [f"{i:0{width}d}" for i in range(len(array))]
    return names, lambda i: np.asarray(array[i])


def _open_tfds(path):
    try:
        import tensorflow_datasets as tfds  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            f"--data=tfds:{path}: tensorflow-datasets is not installed; run "
            "pip install 'inpaint-jax[data]'."
        ) from error
    name, _, split = path.partition("/")
    try:
        rows = tfds.data_source(name, split=split or "train", download=False)
    except tfds.core.DatasetNotFoundError as error:
        raise InputError(
            f"--data=tfds:{path}: tensorflow-datasets knows no such set; give celeb_a."
        ) from error
    except (FileNotFoundError, KeyError, AssertionError) as error:
        raise InputError(
            f"--data=tfds:{path}: not prepared on this machine; prepare it with "
            f"tfds.builder({name!r}).download_and_prepare(file_format='array_record')."
        ) from error
    except NotImplementedError as error:
        raise InputError(
            f"--data=tfds:{path}: its files cannot be read at random; prepare it again "
            "with file_format='array_record'."
        ) from error
    picture = np.asarray(rows[0].get("image")) if len(rows) else np.zeros(0)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
        raise InputError(f"--data=tfds:{path}: its rows have no RGB 'image'.")
    width = len(str(len(rows)))
    names = [f"{i + 1:0{width}d}" for i in range(len(rows))]
    return names, lambda i: np.asarray(rows[i]["image"])
