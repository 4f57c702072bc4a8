"""Networks as single files that need only JAX: a program with its weights inside.

The counterpart of the frozen TensorFlow graph (`drgan.pb`) that the thesis's search
loads. Wherever JAX and flatbuffers are installed,

    jax.export.deserialize(bytearray(open("generator.stablehlo", "rb").read())).call

is the generator: any batch size, any of `PLATFORMS`, with its gradient with respect to
z, as a search needs. BatchNorm uses stored statistics. JAX promises to read such files
for six months; the weights that last are those of a release.

A file ends with the SHA-256 of what stands before it. JAX reads from the front and sees
nothing of that, but neither does it check what it parses, and so what is damaged must
not reach it.
"""

import hashlib
import importlib.util
import os
import pathlib
from collections.abc import Callable, Sequence

import jax
import jax.export
import jax.numpy as jnp

from inpaint_jax.errors import InputError, reason
from inpaint_jax.io import files
from inpaint_jax.pretrained import weights

PLATFORMS = ("cpu", "cuda", "tpu")
_HASH_BYTES = hashlib.sha256().digest_size


def check_available() -> None:
    """Refuses to go on where these files can be neither written nor read.

    Raises:
      InputError: flatbuffers is missing, which JAX needs for them.
    """
    if importlib.util.find_spec("flatbuffers") is None:
        raise InputError(
            ".stablehlo files: JAX writes and reads them with the package flatbuffers, "
            "which is missing; pip install flatbuffers."
        )


def export(
    directory: str | os.PathLike[str], model: weights.Model
) -> list[pathlib.Path]:
    """Writes `NETWORK.stablehlo` for each network that a search needs.

    These are `generator`, `discriminator` and, where the model has one of damaged
    faces, `encoder`; otherwise one that lies there from another model is deleted.

    Args:
      directory: folder to write to; created if need be.
      model: the networks.

    Returns:
      The files, each written whole or not at all.

    Raises:
      InputError: flatbuffers is missing or the folder cannot be written.
    """
    check_available()
    directory = files.make_directory(directory)
    size = model.architecture.image_size
    z, image, mask = (model.architecture.z_dim,), (size, size, 3), (size, size, 1)
    programs = {
        "generator": (model.generate, z),
        "discriminator": (model.discriminate, image),
    }
    if model.encodes == "damaged faces":
        programs["encoder"] = (model.encode, image, mask)
    else:
        files.remove(directory / "encoder.stablehlo")
    written = []
    for name, (network, *shapes) in programs.items():
        data = _serialised(network, shapes)
        path = directory / f"{name}.stablehlo"
        with files.replacing(path) as temporary:
            temporary.write_bytes(data + hashlib.sha256(data).digest())
        written.append(path)
    return written


def load(path: str | os.PathLike[str]) -> Callable[..., jax.Array]:
    """Reads a network that `export` wrote.

    Args:
      path: the file.

    Returns:
      z `[batch, z_dim]` to images, images to logits `[batch]`, or (images, masks) to z,
      as the file's name says; it may be compiled and differentiated once.

    Raises:
      InputError: flatbuffers is missing, or the file is missing, damaged, something
        else, or of a JAX that this one does not understand.
    """
    check_available()
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); export the model again."
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
        # What a reader meets in a format that it does not know has no one type.
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
