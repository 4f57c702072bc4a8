"""Writes and reads networks as StableHLO files: a program with its weights inside.

They correspond to the frozen TensorFlow graph (`drgan.pb`) that the thesis's search
loads. Wherever JAX and flatbuffers are installed,

    jax.export.deserialize(bytearray(open("generator.stablehlo", "rb").read())).call

is the generator: for any batch size, on any of `PLATFORMS`, with its gradient with
respect to z, as a search needs. BatchNorm uses stored statistics. JAX promises to read
such files for six months; to keep weights for longer, use a release.

A file ends with the SHA-256 of its content. JAX ignores these last bytes, but it does
not check what it parses, so `load` checks the hash first.
"""

import hashlib
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp

from inpaint_jax import runtime, types
from inpaint_jax.errors import InputError, reason
from inpaint_jax.io import files, folders
from inpaint_jax.pretrained import weights

PLATFORMS = ("cpu", "cuda", "tpu")
_NETWORKS = ("generator.stablehlo", "discriminator.stablehlo", "encoder.stablehlo")
_HASH_BYTES = hashlib.sha256().digest_size


def check_available() -> None:
    """Checks that the package flatbuffers, which JAX needs for these files, is there.

    Raises:
      InputError: flatbuffers is missing, or cannot be imported.
    """
    runtime.optional("flatbuffers", extra="export")


def export(
    directory: str | os.PathLike[str],
    model: weights.Model,
    *,
    watch: types.Watch = types.unwatched,
) -> list[pathlib.Path]:
    """Writes `NETWORK.stablehlo` for each network that a search needs.

    They replace such files of another model all at once, see `folders`.

    Args:
      directory: folder to write to; created if need be.
      model: the networks, see `programs`.
      watch: see `programs`.

    Returns:
      The files.

    Raises:
      InputError: flatbuffers is missing, or a file of such a name is none of these.
      OutputError: the folder cannot be written.
    """
    check_available()
    # Fails now, not after the networks are compiled.
    _check_replaceable(files.make_directory(directory))
    contents = programs(model, watch=watch)
    with folders.replacing(directory) as written:
        for name in _NETWORKS:
            # An empty file removes the program of another model.
            (written / name).write_bytes(contents.get(name, b""))
    return [pathlib.Path(directory) / name for name in contents]


def programs(
    model: weights.Model, *, watch: types.Watch = types.unwatched
) -> dict[str, bytes]:
    """Returns {file name: content} of the networks that a search needs.

    These are `generator`, if there is one `discriminator`, and, if the model has an
    encoder of damaged faces, `encoder`.

    Args:
      model: the networks.
      watch: reports progress, as each takes up to a minute.

    Raises:
      InputError: flatbuffers is missing.
    """
    check_available()
    size = model.architecture.image_size
    z, image, mask = (model.architecture.z_dim,), (size, size, 3), (size, size, 1)
    networks: dict[str, Any] = {"generator": (model.generate, z)}
    if model.discriminates:
        networks["discriminator"] = (model.discriminate, image)
    if model.encodes == "damaged faces":
        networks["encoder"] = (model.encode, image, mask)
    contents = {}
    for name in watch(networks, len(networks)):
        network, *shapes = networks[name]
        data = _serialised(network, shapes)
        contents[f"{name}.stablehlo"] = data + hashlib.sha256(data).digest()
    return contents


def _check_replaceable(directory: pathlib.Path) -> None:
    """Checks that files in the place of programs are programs themselves."""
    for name in _NETWORKS:
        if os.path.lexists(directory / name) and not _is_program(directory / name):
            raise InputError(
                f"{directory}: {name} is there, and was not exported here; give "
                "another folder."
            )


def _is_program(path: pathlib.Path) -> bool:
    try:
        content = files.read_bytes(path)
    except OSError:
        return False
    data, digest = content[:-_HASH_BYTES], content[-_HASH_BYTES:]
    return hashlib.sha256(data).digest() == digest


def load(path: str | os.PathLike[str]) -> Callable[..., jax.Array]:
    """Reads a network that `export` wrote.

    Args:
      path: the file.

    Returns:
      The network as a function: generator, z `[batch, z_dim]` -> images; discriminator,
      images -> logits `[batch]`; encoder, (images, masks) -> z. It can be compiled, and
      differentiated once.

    Raises:
      InputError: flatbuffers is missing, or the file is missing, damaged, no such
        network, or from a version of JAX that this one cannot read.
    """
    check_available()
    path = pathlib.Path(path)
    try:
        content = folders.read(path.parent, path.name)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read ({reason(error)}); export the model again."
        ) from error
    data, digest = content[:-_HASH_BYTES], content[-_HASH_BYTES:]
    if hashlib.sha256(data).digest() != digest:
        raise InputError(
            f"{path}: not a network that was exported here, or damaged; export the "
            "model again."
        )
    try:
        return jax.export.deserialize(bytearray(data)).call
    except Exception as error:
        # A reader of an unknown format raises errors of many types.
        raise InputError(
            f"{path}: JAX {jax.__version__} cannot read it ({reason(error)}); export "
            "the model again."
        ) from error


def _serialised(
    network: Callable[..., jax.Array], shapes: Sequence[tuple[int, ...]]
) -> bytes:
    (batch,) = jax.export.symbolic_shape("batch")
    inputs = [jax.ShapeDtypeStruct((batch, *shape), jnp.float32) for shape in shapes]
    exported = jax.export.export(jax.jit(network), platforms=PLATFORMS)(*inputs)
    return bytes(exported.serialize(vjp_order=1))
