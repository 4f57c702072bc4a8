"""Reads networks from releases and from the checkpoints of training runs.

A release is a folder with one `.safetensors` file for each network (half precision) and
`model.json`, its description: architecture, crop, provenance, scores. `MODEL_CARD.md`
says the same to a reader. The caller interprets the description.
"""

import hashlib
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Float16

from inpaint_jax import types
from inpaint_jax.errors import InputError, reason
from inpaint_jax.io import checkpoints, files, json_files
from inpaint_jax.pretrained import model_card

_DESCRIPTION = "model.json"


class Loaded(NamedTuple):
    """Networks with their description.

    Attributes:
      networks: {name: variables}, float32.
      description: `model.json` of the release, or `meta` of the checkpoint.
      source: JSON values for reports: path, step, hashes.
    """

    networks: dict[str, types.Variables]
    description: dict[str, Any]
    source: dict[str, Any]


Templates = Callable[[dict[str, Any]], dict[str, types.Variables]]
"""Description -> {name: shapes of a network's variables}; may raise any error."""


def load(
    path: str | os.PathLike[str], *, name: str, application: str, templates: Templates
) -> Loaded:
    """Reads networks from a release folder or from a training run's folder.

    Args:
      path: the folder, or "release" for the weights that come with the package.
      name: name of the packaged release.
      application: application that trains such models, for an error message.
      templates: returns the shapes of the weights by the description.

    Raises:
      InputError: the folder holds no model, weights do not fit their description, or
        weights are NaN or infinite.
    """
    path = files.ASSETS / name if str(path) == "release" else pathlib.Path(path)
    if checkpoints.is_run(path):
        loaded = _from_run(path, templates)
    elif os.path.isfile(path / _DESCRIPTION):
        loaded = _from_release(path, templates)
    else:
        raise InputError(
            f"{path}: neither a training run (checkpoints/) nor a release "
            f"({_DESCRIPTION}); give the --run_dir of {application}."
        )
    for network, variables in loaded.networks.items():
        _check_finite(variables, f"{path}: the {network}")
    return loaded


def export(
    directory: str | os.PathLike[str],
    networks: dict[str, types.Variables],
    *,
    description: dict[str, Any],
) -> None:
    """Writes a release: weights in half precision and their description.

    Args:
      directory: folder to write to; created if need be.
      networks: {name: variables}.
      description: JSON values; the files' SHA-256 hashes are added as "sha256".

    Raises:
      InputError: the folder cannot be written, or a weight is NaN, infinite or too
        large for half precision.
    """
    directory = files.make_directory(directory)
    halves = {
        name: _in_halves(variables, f"{directory}: the {name}")
        for name, variables in networks.items()
    }
    hashes = {}
    for name, half in halves.items():
        data = safetensors.numpy.save(half)
        hashes[name] = hashlib.sha256(data).hexdigest()
        with files.replacing(directory / f"{name}.safetensors") as temporary:
            temporary.write_bytes(data)
    described = {**description, "sha256": hashes}
    files.write_text(
        directory / model_card.NAME, model_card.text(directory.name, described)
    )
    files.write_json(directory / _DESCRIPTION, described)


def _from_run(path: pathlib.Path, templates: Templates) -> Loaded:
    step, meta = checkpoints.read_meta(path)
    shapes = _understood(templates, meta, f"{path}: step {step}")
    networks = checkpoints.read_model(path, step, shapes)
    return Loaded(
        networks={name: jax.tree.map(jnp.asarray, networks[name]) for name in shapes},
        description=meta,
        source={"path": str(path), "step": step},
    )


def _from_release(path: pathlib.Path, templates: Templates) -> Loaded:
    description = json_files.read(
        path / _DESCRIPTION,
        dict[str, Any],
        expected="the description of a release",
        give="export the model again",
    )
    networks, hashes = {}, {}
    shapes = _understood(templates, description, path / _DESCRIPTION)
    for name, template in shapes.items():
        file = path / f"{name}.safetensors"
        networks[name], hashes[name] = _read_network(file, template)
    source = {"path": path.name, "sha256": hashes}
    return Loaded(networks, description, source)


def _understood(
    templates: Templates, description: Any, where: str | pathlib.Path
) -> dict[str, types.Variables]:
    try:
        return templates(description)
    except Exception as error:
        # A network that cannot be built fails where its shapes first disagree.
        raise InputError(
            f"{where}: describes no model that can be built ({reason(error)}); "
            "export it again or give another."
        ) from error


def _read_network(
    file: pathlib.Path, template: types.Variables
) -> tuple[types.Variables, str]:
    """Returns a network's variables, and the hash of its file."""
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


def _in_halves(
    variables: types.Variables, what: str
) -> dict[str, Float16[np.ndarray, "..."]]:
    # Weights too large for half precision become infinite, and are refused below.
    with np.errstate(over="ignore"):
        half = {
            key: np.asarray(leaf).astype(np.float16)
            for key, leaf in _flat(variables).items()
        }
    _check_finite(half, f"{what} in half precision")
    return half


def _flat(variables: types.Variables) -> dict[str, Any]:
    """Returns {path of a leaf: the leaf}; a leaf is an array or the shape of one."""
    return flax.traverse_util.flatten_dict(variables, sep="/")


def _check_finite(variables: types.Variables, what: str) -> None:
    for key, leaf in _flat(variables).items():
        if not np.isfinite(leaf).all():
            raise InputError(
                f"{what} has NaN or infinite weights in {key}; training diverged or "
                "the file is damaged: use another checkpoint."
            )
