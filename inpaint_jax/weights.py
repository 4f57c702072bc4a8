"""Trained networks, ready for a search: from a release or from a training run.

A release is a folder with `generator.safetensors` and `discriminator.safetensors` (half
precision) and `model.json` (architecture, crop, how they were made, scores).
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from inpaint_jax import checkpoints, files, types
from inpaint_jax.errors import InputError
from inpaint_jax.models import dcgan

_NETWORKS = ("generator", "discriminator")
_DESCRIPTION = "model.json"


@dataclasses.dataclass(frozen=True)
class Model:
    """A generator and a discriminator with their weights.

    Attributes:
      architecture: of both networks.
      crop: side of the training crops in CelebA pixels, see `data.frame`.
      generator: variables {"params", "batch_stats"}.
      discriminator: variables {"params", "batch_stats"}.
      source: what to call it in a report: where it came from, step, hashes.
    """

    architecture: dcgan.Architecture
    crop: int
    generator: types.Variables
    discriminator: types.Variables
    source: dict[str, Any]

    def generate(self, z: types.Latent) -> types.Image:
        """Maps z `[batch, z_dim]` to images; rows are independent."""
        return self.architecture.generator().apply(self.generator, z, train=False)  # pyright: ignore[reportReturnType]

    def discriminate(self, image: types.Image) -> types.Logits:
        """Maps images to logits `[batch]`; rows are independent."""
        network = self.architecture.discriminator()
        return network.apply(self.discriminator, image, train=False)  # pyright: ignore[reportReturnType]


def templates(architecture: dcgan.Architecture) -> dict[str, types.Variables]:
    """Returns the shapes of both networks' variables, without computing anything."""
    size = architecture.image_size
    z = jax.ShapeDtypeStruct((1, architecture.z_dim), jnp.float32)
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)

    def shapes(network, x):
        return jax.eval_shape(
            lambda x: network.init(jax.random.key(0), x, train=False), x
        )

    return {
        "generator": shapes(architecture.generator(), z),
        "discriminator": shapes(architecture.discriminator(), image),
    }


def load(path: str | os.PathLike[str]) -> Model:
    """Reads a model from a release folder or from a training run's folder.

    Args:
      path: the folder, or "release" for the weights that come with the package.

    Raises:
      InputError: nothing usable is there, it does not fit its own description, or it
        holds NaN or infinite weights.
    """
    if str(path) == "release":
        path = pathlib.Path(__file__).parent / "assets" / "dcgan"
    path = pathlib.Path(path)
    if checkpoints.is_run(path):
        model = _from_run(path)
    elif (path / _DESCRIPTION).is_file():
        model = _from_release(path)
    else:
        raise InputError(
            f"{path}: neither a training run (checkpoints/) nor a release "
            f"({_DESCRIPTION}); give the --run_dir of experiments.train."
        )
    for name in _NETWORKS:
        _check_finite(getattr(model, name), f"{path}: the {name}")
    return model


def export(
    directory: str | os.PathLike[str], model: Model, *, provenance: dict[str, Any]
) -> None:
    """Writes a release: weights in half precision and their description.

    Args:
      directory: folder to write to; created if need be.
      model: what to write.
      provenance: JSON values: data, command, commit, scores.

    Raises:
      InputError: the folder cannot be written.
    """
    directory = files.make_directory(directory)
    hashes = {}
    for name in _NETWORKS:
        flat = _flat(getattr(model, name))
        half = {k: np.asarray(v).astype(np.float16) for k, v in flat.items()}
        data = safetensors.numpy.save(half)
        hashes[name] = hashlib.sha256(data).hexdigest()
        with files.replacing(directory / f"{name}.safetensors") as temporary:
            temporary.write_bytes(data)
    description = {
        "architecture": dataclasses.asdict(model.architecture),
        "crop": model.crop,
        "sha256": hashes,
        "provenance": provenance,
    }
    files.write_json(directory / _DESCRIPTION, description)


def _from_run(path):
    step, meta = checkpoints.read_meta(path)
    architecture, crop, shapes = _understood(meta, f"{path}: step {step}")
    variables = checkpoints.read_model(path, step, shapes)
    return Model(
        architecture=architecture,
        crop=crop,
        source={"path": str(path), "step": step},
        **{name: jax.tree.map(jnp.asarray, variables[name]) for name in _NETWORKS},
    )


def _from_release(path):
    try:
        description = json.loads((path / _DESCRIPTION).read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path / _DESCRIPTION}: cannot be read ({error}); export the model again."
        ) from error
    architecture, crop, shapes = _understood(description, path / _DESCRIPTION)
    variables, hashes = {}, {}
    for name, template in shapes.items():
        file = path / f"{name}.safetensors"
        variables[name], hashes[name] = _read_network(file, template)
    return Model(
        architecture=architecture,
        crop=crop,
        source={"path": path.name, "sha256": hashes},
        **variables,
    )


def _understood(description, where):
    try:
        architecture = dcgan.Architecture(**description["architecture"])
        crop = int(description["crop"])
        if crop < 1:
            raise ValueError(f"crop must be positive, got {crop}")
        return architecture, crop, templates(architecture)
    except Exception as error:
        # Networks that cannot be built fail wherever their shapes first meet.
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{where}: describes no model that can be built ({reason}); export it "
            "again or give another."
        ) from error


def _read_network(file, template):
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror}); export the model again."
        ) from error
    try:
        flat = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(
            f"{file}: not a safetensors file, or damaged ({error}); export the model "
            "again."
        ) from error
    expected = _flat(template)
    for key in sorted(expected.keys() | flat.keys()):
        found = list(flat[key].shape) if key in flat else "missing"
        wanted = list(expected[key].shape) if key in expected else "nothing"
        if found != wanted:
            raise InputError(
                f"{file}: {key} is {found}, but this architecture has {wanted}; use "
                "the weights and the description of one model."
            )
    # jnp.array copies: the buffers of the file must not be aliased.
    variables = {key: jnp.array(flat[key], jnp.float32) for key in expected}
    return (
        flax.traverse_util.unflatten_dict(variables, sep="/"),
        hashlib.sha256(data).hexdigest(),
    )


def _flat(variables) -> dict[str, Any]:
    return flax.traverse_util.flatten_dict(variables, sep="/")


def _check_finite(variables, what):
    for key, leaf in _flat(variables).items():
        if not bool(jnp.isfinite(leaf).all()):
            raise InputError(
                f"{what} has NaN or infinite weights in {key}; training diverged or "
                "the file is damaged: use another checkpoint."
            )
