"""Reads PyTorch's state dicts from `.safetensors` and `.pth` files, without PyTorch.

A `.pth` file is a zip archive with a pickle, which may ask for any function to be
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

_PICKLE = b"\x80\x02"  # the first bytes of a pickle of protocol 2

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
        PyTorch 1.6 or later, holds something else than tensors, or nothing of that
        name.
    """
    path, prefix = pathlib.Path(source), ""
    if not path.exists() and ":" in path.name:
        file, _, prefix = str(source).rpartition(":")
        path, prefix = pathlib.Path(file), f"{prefix}."
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give the file of a state dict."
        ) from error
    try:
        if content.startswith(_PICKLE):
            raise ValueError("no zip archive, as PyTorch writes since 1.6")
        is_zip = zipfile.is_zipfile(io.BytesIO(content))
        tensors = _of_zip(content) if is_zip else safetensors.numpy.load(content)
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

        if folder + "byteorder" in members and member("byteorder") != b"little":
            raise ValueError("numbers are not stored in little-endian order")
        value = _Builder(io.BytesIO(member("data.pkl")), member).load()
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

    def __init__(self, pickled: io.BytesIO, member: Callable[[str], bytes]) -> None:
        super().__init__(pickled)
        self._member = member

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
            **{("torch", storage): np.dtype(t) for storage, t in _TYPES.items()},
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which is no part of a state dict"
            )
        return known[module, name]

    def persistent_load(self, pid: Any) -> Shaped[np.ndarray, " numbers"]:
        _, dtype, key, *_ = pid
        return np.frombuffer(self._member(f"data/{key}"), dtype)


def _tensor(
    storage: Shaped[np.ndarray, " numbers"],
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    *_: Any,
) -> Shaped[np.ndarray, "..."]:
    if math.prod(size) > storage.size:
        raise ValueError(f"a tensor of {list(size)} is larger than its numbers")
    width = storage.itemsize
    # NumPy checks that no element lies outside the buffer.
    view = np.ndarray(
        size,
        storage.dtype,
        storage.tobytes(),
        offset=offset * width,
        strides=tuple(step * width for step in stride),
    )
    return view.copy()
