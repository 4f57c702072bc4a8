"""Reads PyTorch's state dicts from `.safetensors` and `.pth` files, without PyTorch.

A `.pth` file is a zip archive with a pickle and the numbers, or, from before PyTorch
1.6, a row of pickles and then the numbers. A pickle may ask for any function to be
called. Here it gets those that build tensors and dicts, and a file that asks for
another is refused, as `torch.load(file, weights_only=True)` does.
"""

import collections
import hashlib
import io
import math
import os
import pathlib
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Shaped

from inpaint_jax.errors import InputError, reason
from inpaint_jax.io import files

_TYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}

# How the files begin; a safetensors file begins with the length of its header.
_ZIP = b"PK\x03\x04"
_PICKLES = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)

Tensors = dict[str, Shaped[np.ndarray, "..."]]


class StateDict(NamedTuple):
    """The tensors of a file.

    Attributes:
      path: the file.
      sha256: hash of the whole file.
      tensors: {name: array}; names of nested dicts are joined by dots.
    """

    path: pathlib.Path
    sha256: str
    tensors: Tensors


def read(source: str | os.PathLike[str]) -> StateDict:
    """Reads the tensors of a file, or those of one network in it.

    Args:
      source: the file, or `FILE:NAME` for the tensors whose names begin with `NAME.`.

    Raises:
      InputError: the file cannot be read, is neither a safetensors file nor one of
        PyTorch, holds something else than tensors and numbers, or nothing of that name.
    """
    path, prefix = pathlib.Path(source), ""
    if not os.path.exists(path) and ":" in path.name:
        file, _, prefix = str(source).rpartition(":")
        path, prefix = pathlib.Path(file), f"{prefix}."
    try:
        content = files.read_bytes(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give the file of a state dict."
        ) from error
    try:
        tensors = _reader(content)(content)
    except Exception as error:
        # Damage fails in as many ways as a pickle has instructions.
        raise InputError(
            f"{path}: holds no state dict that can be read, or is damaged "
            f"({reason(error)}); in PyTorch, torch.save(net.state_dict(), file) or "
            "safetensors.torch.save_file(net.float().state_dict(), file) writes one."
        ) from error
    found = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    if prefix and not found:
        names = sorted({name.partition(".")[0] for name in tensors})
        raise InputError(
            f"{path}: nothing is named {prefix[:-1]}; give one of {', '.join(names)}."
        )
    return StateDict(path, hashlib.sha256(content).hexdigest(), found)


def _reader(content: bytes) -> Callable[[bytes], Tensors]:
    if content.startswith(_ZIP):
        return _of_zip
    return _of_pickles if content.startswith(_PICKLES) else safetensors.numpy.load


class _Storage(NamedTuple):
    """The numbers of one or several tensors."""

    dtype: np.dtype[Any]
    numbers: bytearray


def _of_zip(content: bytes) -> Tensors:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: info for info in archive.infolist()}
        (pickled,) = (name for name in members if name.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")

        def member(name: str) -> bytes:
            # PyTorch does not compress, so no member is larger than the file.
            if members[folder + name].compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name} is compressed")
            return archive.read(folder + name)

        def storage(dtype: np.dtype[Any], key: str, count: int) -> _Storage:
            del count
            return _Storage(dtype, bytearray(member(f"data/{key}")))

        if folder + "byteorder" in members and member("byteorder") != b"little":
            raise ValueError("its numbers are not in little-endian order")
        return dict(_named(_Builder(io.BytesIO(member("data.pkl")), storage).load()))


def _of_pickles(content: bytes) -> Tensors:
    stream = io.BytesIO(content)
    storages: dict[str, _Storage] = {}

    def storage(dtype: np.dtype[Any], key: str, count: int) -> _Storage:
        if count * dtype.itemsize > len(content):
            raise ValueError("the file is shorter than its numbers")
        empty = _Storage(dtype, bytearray(count * dtype.itemsize))
        return storages.setdefault(key, empty)

    def load() -> Any:
        return _Builder(stream, storage).load()

    _, _, system, value, keys = (load() for _ in range(5))
    if not system["little_endian"]:
        raise ValueError("its numbers are not in little-endian order")
    for key in keys:
        found, numbers = storages[key], storages[key].numbers
        count = int.from_bytes(stream.read(8), "little")
        if count * found.dtype.itemsize != len(numbers):
            raise ValueError("a storage is of another size than its tensors")
        if stream.readinto(numbers) != len(numbers):
            raise ValueError("the file is shorter than its numbers")
    return dict(_named(value))


def _named(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the arrays of nested dicts; other values are not weights."""
    if isinstance(value, np.ndarray):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _named(item, f"{name}.{key}" if name else str(key))


class _Builder(pickle.Unpickler):
    """Builds dicts, lists, numbers and arrays, and nothing else."""

    def __init__(
        self,
        pickled: io.BytesIO,
        storage: Callable[[np.dtype[Any], str, int], _Storage],
    ) -> None:
        super().__init__(pickled)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        # Bound methods and text: a pickle may set attributes of whatever it is given.
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor"): self._tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): self._parameter,
            **{("torch", storage): storage for storage in _TYPES},
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which is no part of a state dict"
            )
        return known[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, kind, key, _, count, *view = pid
        if any(view):
            raise ValueError("a storage is a part of another; save clones of tensors")
        return self._storage(np.dtype(_TYPES[kind]), key, count)

    def _tensor(
        self,
        storage: _Storage,
        offset: int,
        size: tuple[int, ...],
        stride: tuple[int, ...],
        *_: Any,
    ) -> Shaped[np.ndarray, "..."]:
        """Returns a view of numbers, which may be read later."""
        dtype, numbers = storage
        width = dtype.itemsize
        if math.prod(size) * width > len(numbers):
            raise ValueError(f"a tensor of {list(size)} is larger than its numbers")
        # NumPy checks that no element lies outside the buffer.
        return np.ndarray(
            size,
            dtype,
            numbers,
            offset=offset * width,
            strides=tuple(step * width for step in stride),
        )

    def _parameter(self, tensor: Any, *_: Any) -> Any:
        return tensor
