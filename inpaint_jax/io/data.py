"""Data sets of faces for training: reading, framing, caching, and shuffled batches.

A picture with the proportions of aligned CelebA pictures (178 x 218, at any scale) is
cropped around the face, with a side given in CelebA pixels; any other picture is
cropped to its central square.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from inpaint_jax import runtime, types
from inpaint_jax.errors import InputError, naming, reason
from inpaint_jax.images import framing
from inpaint_jax.io import files, hashes, private_folders, sources

_HASHED_AT_ONCE = 256
_DESCRIBED = {"source", "crop", "size", "version", "stamp", "names", "sha256"}
_CACHE_VERSION = 1  # raise it when pictures are framed in another way


@dataclasses.dataclass(frozen=True)
class Faces:
    """A data set of framed pictures.

    Attributes:
      images: uint8 `[count, size, size, 3]`, in memory or mapped from a cache file.
      names: one name per picture, in the same order.
      skipped: one sentence for each entry that could not be used.
      repeated: `NAME is NAME` for each entry that was left out because its framed
        picture equals an earlier one byte for byte.
    """

    images: UInt8[np.ndarray, "count size size 3"]
    names: tuple[str, ...]
    skipped: tuple[str, ...]
    repeated: tuple[str, ...] = ()

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the shape and the pixels, in hex; it does not depend on paths."""
        found = hashlib.sha256(repr(self.images.shape).encode())
        for start in range(0, len(self.images), _HASHED_AT_ONCE):
            found.update(self.images[start : start + _HASHED_AT_ONCE].tobytes())
        return found.hexdigest()


def load(
    source: str,
    *,
    crop: int,
    size: int,
    data_dir: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    watch: types.Watch = types.unwatched,
) -> Faces:
    """Reads and frames all pictures of one or several sources.

    Args:
      source: one or more sources, joined by commas, see `sources`.
      crop: as in `framing.frame`.
      size: as in `framing.frame`.
      data_dir: see `sources.open_source`.
      cache: .npy file of the framed pictures. If it exists, it is mapped into memory in
        place of reading the source; otherwise it is written.
      watch: reports progress while each source is read.

    Returns:
      The faces, one source after the other, in each source's order. Pictures that
      cannot be read, or whose crop would be enlarged more than twice, are left out and
      listed in `skipped`; copies of earlier pictures in `repeated`. With several
      sources each name begins with its source's path.

    Raises:
      InputError: a source cannot be understood or holds no usable picture, or the
        cache is not one of this source, crop, size and version, is another user's, or
        is not what was written.
      OutputError: the cache cannot be written.
    """
    if cache is None:
        return _read_all(source, crop, size, data_dir, watch)
    options = {
        "source": source,
        "crop": crop,
        "size": size,
        "version": _CACHE_VERSION,
    }
    options, stamp = files.finite(options), sources.stamp(source)
    if not os.path.exists(cache):
        _check_free(cache)
        faces = _read_all(source, crop, size, data_dir, watch)
        with naming("cache", cache):
            _write_cache(cache, options, faces, stamp)
    return _open_cache(cache, options, stamp)


def batches(
    count: int, *, batch_size: int, seed: int, first_step: int
) -> Iterator[Int[np.ndarray, " batch"]]:
    """Yields the picture numbers of each shuffled batch, without end, from any step on.

    The order depends on the seed and the epoch alone, so a resumed run sees the same
    batches as an uninterrupted one.

    Args:
      count: number of pictures.
      batch_size: at most `count`; the last incomplete batch of an epoch is dropped.
      seed: seed of the shuffles.
      first_step: step of the first batch that is yielded.

    Yields:
      Indices in [0, count), ascending, `[batch_size]`.

    Raises:
      InputError: there are fewer pictures than one batch takes.
    """
    per_epoch = count // batch_size
    if per_epoch == 0:
        raise InputError(
            f"batch_size={batch_size}: only {count} pictures; give at most {count}."
        )
    step = first_step
    while True:
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((seed, epoch)).permutation(count)
        for start in range(place * batch_size, per_epoch * batch_size, batch_size):
            yield np.sort(order[start : start + batch_size])
            step += 1


def _read_all(
    source: str, crop: int, size: int, data_dir: str | None, watch: types.Watch
) -> Faces:
    parts = sources.split_sources(source)
    # Open all sources before reading any, so that a wrong one is reported at once.
    opened = [sources.open_source(part, data_dir=data_dir) for part in parts]
    images, names, skipped, repeated = [], [], [], []
    place_of = {}
    for part, (entries, read) in zip(parts, opened, strict=True):
        if len(parts) > 1:
            entries = [f"{sources.path_of(part)}/{name}" for name in entries]
        results = _framed(entries, read, crop, size, watch)
        bad = [result for result in results if isinstance(result, str)]
        if len(bad) == len(results):
            raise InputError(
                f"{part}: none of its {len(bad)} pictures can be used ({bad[0]})"
            )
        skipped += bad
        for name, result in zip(entries, results, strict=True):
            if isinstance(result, str):
                continue
            content = hashlib.sha256(result.tobytes()).digest()
            place = place_of.setdefault(content, len(images))
            if place < len(images):
                repeated.append(f"{name} is {names[place]}")
            else:
                images.append(result)
                names.append(name)
    return Faces(np.stack(images), tuple(names), tuple(skipped), tuple(repeated))


def _framed(
    names: Sequence[str],
    read: sources.ReadPicture,
    crop: int,
    size: int,
    watch: types.Watch,
) -> list[UInt8[np.ndarray, "size size 3"] | str]:
    """Returns the framed picture of each entry, or the reason why it cannot be used."""

    def framed(index: int) -> UInt8[np.ndarray, "size size 3"] | str:
        try:
            picture = read(index)
        except InputError as error:
            return str(error)
        height, width = picture.shape[:2]
        side = framing.crop_side(height, width, crop=crop)
        if 2 * side < size:
            return (
                f"{names[index]}: too small; its crop of {side} x {side} pixels would "
                f"be enlarged more than twice to {size} x {size}."
            )
        return framing.frame(picture, crop=crop, size=size)

    return runtime.in_threads(framed, range(len(names)), watch=watch)


def _beside(cache: str | os.PathLike[str]) -> pathlib.Path:
    return pathlib.Path(f"{cache}.json")


def _check_free(cache: str | os.PathLike[str]) -> None:
    """Checks that the description of a new cache replaces nobody's file."""
    beside = _beside(cache)
    if not os.path.lexists(beside):
        return
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found = json.loads(files.read_text(beside))
        if isinstance(found, dict) and found.keys() >= _DESCRIBED:
            return  # of a process that was killed, or of a cache that was removed
    raise InputError(
        f"cache={cache}: {beside} is there, and describes no cache of this program; "
        "remove it or give another name."
    )


def _write_cache(
    cache: str | os.PathLike[str],
    options: Mapping[str, str | int],
    faces: Faces,
    stamp: str | None,
) -> None:
    # The pictures are written last: if they exist, the description is complete.
    described = {
        **options,
        "stamp": stamp,
        "names": faces.names,
        "skipped": faces.skipped,
        "repeated": faces.repeated,
    }
    described = files.finite(described)
    described["sha256"] = _seal(described, faces)
    files.write_json(_beside(cache), described)
    with files.replacing(cache) as temporary, open(temporary, "wb") as file:
        np.save(file, faces.images)


def _seal(described: Mapping[str, Any], faces: Faces) -> str:
    return hashes.of_json({**described, "sha256": faces.digest})


def _open_cache(
    cache: str | os.PathLike[str],
    options: Mapping[str, str | int],
    stamp: str | None,
) -> Faces:
    for path in (cache, _beside(cache)):
        if os.path.exists(path) and not os.path.isfile(path):
            raise InputError(
                f"cache={cache}: {path} is no regular file; remove it or give "
                "another name."
            )
    private_folders.check(cache)
    try:
        found = json.loads(_beside(cache).read_text(encoding="utf-8"))
        images = np.lib.format.open_memmap(cache, mode="r")
        lists = (tuple(found[name]) for name in ("names", "skipped", "repeated"))
        faces, size = Faces(images, *lists), found["size"]
        count = len(faces.names)
        sound = images.dtype == np.uint8 and images.shape == (count, size, size, 3)
    except Exception as error:
        # The parsers of the two files fail with EOFError and many others.
        raise InputError(
            f"cache={cache}: damaged or no cache of this program ({reason(error)}); "
            "remove it or give another name."
        ) from error
    for name, value in options.items():
        if found.get(name) != value:
            raise InputError(
                f"cache={cache}: made with {name} {found.get(name)}, not {value}; "
                "remove it or give another name."
            )
    if not sound or found.get("sha256") != _seal(found, faces):
        raise InputError(f"cache={cache}: damaged; remove it.")
    if stamp is not None and found.get("stamp") not in (None, stamp):
        raise InputError(
            f"cache={cache}: the pictures of {options['source']} have changed since it "
            "was made; remove it or give another name."
        )
    return faces
