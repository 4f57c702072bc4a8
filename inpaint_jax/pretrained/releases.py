"""Reads networks from releases and from the checkpoints of training runs.

A release is a folder with one `.safetensors` file for each network (half precision) and
`model.json`, its description: architecture, crop, provenance, scores, and the hashes of
the networks' files, which are compared when they are read. `MODEL_CARD.md` says the
same to a reader. The caller interprets the description.
"""

import hashlib
import os
import pathlib
from collections.abc import Callable, Mapping
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
from inpaint_jax.io import checkpoints, files, folders, hashes, json_files
from inpaint_jax.pretrained import release_folders

_DESCRIPTION, _WEIGHTS = release_folders.DESCRIPTION, release_folders.WEIGHTS


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
      InputError: the path is none, the folder holds no model, weights do not fit their
        description, or weights are NaN or infinite.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(
            f"path: is a {type(path).__name__} and no path; give a folder, or "
            '"release" for the weights that come with the package.'
        )
    path = files.ASSETS / name if str(path) == "release" else pathlib.Path(path)
    loaded = _from_run(path, templates) or _from_release(path, templates)
    if loaded is None:
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
    programs: Mapping[str, bytes] | None = None,
) -> None:
    """Writes a release: weights in half precision and their description.

    It replaces a release in the folder as a whole, see `folders`: at no moment is there
    a mixture of both, even if the process is killed. Other files stay.

    Args:
      directory: folder to write to; created if need be.
      networks: {name: variables}.
      description: JSON values; the files' SHA-256 hashes are added as "sha256".
      programs: {file name: content} of the networks as programs, see `stablehlo`.

    Raises:
      InputError: a weight is NaN, infinite or too large for half precision.
      OutputError: the folder cannot be written.
    """
    directory = pathlib.Path(directory)
    contents = {
        f"{name}{_WEIGHTS}": safetensors.numpy.save(
            _in_halves(variables, f"{directory}: the {name}")
        )
        for name, variables in networks.items()
    }
    digests = {
        name: hashlib.sha256(contents[f"{name}{_WEIGHTS}"]).hexdigest()
        for name in networks
    }
    release_folders.put(
        directory, {**contents, **(programs or {})}, {**description, "sha256": digests}
    )


def _from_run(path: pathlib.Path, templates: Templates) -> Loaded | None:
    if not checkpoints.is_run(path):
        return None
    step, meta = checkpoints.read_meta(path)
    shapes = _understood(templates, meta, f"{path}: step {step}")
    networks = checkpoints.read_model(path, step, shapes)
    # A run that was trained anew to the same step is another model.
    digests = {name: hashes.of_arrays(networks[name]) for name in shapes}
    return Loaded(
        networks={name: jax.tree.map(jnp.asarray, networks[name]) for name in shapes},
        description=meta,
        source={"path": str(path), "step": step, "sha256": digests},
    )


def _from_release(path: pathlib.Path, templates: Templates) -> Loaded | None:
    try:
        content = folders.read(path, _DESCRIPTION)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise InputError(
            f"{path / _DESCRIPTION}: cannot be read ({reason(error)}); export the "
            "model again."
        ) from error
    description = json_files.parse(
        content,
        dict[str, Any],
        path=path / _DESCRIPTION,
        expected="the description of a release",
        give="export the model again",
    )
    networks, digests = {}, {}
    shapes = _understood(templates, description, path / _DESCRIPTION)
    for name, template in shapes.items():
        data = _checked(path, name, description)
        file = path / f"{name}{_WEIGHTS}"
        networks[name] = _network(data, template, file)
        digests[name] = description["sha256"][name]
    source = {"path": path.name, "sha256": digests}
    return Loaded(networks, description, source)


def _checked(path: pathlib.Path, name: str, description: Mapping[str, Any]) -> bytes:
    """Returns the content of a network's file if it has the hash of the description."""
    file = path / f"{name}{_WEIGHTS}"
    try:
        data = folders.read(path, file.name)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror}); export the model again."
        ) from error
    expected = description.get("sha256")
    expected = expected.get(name) if isinstance(expected, dict) else None
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise InputError(
            f"{file}: its SHA-256 is {found}, but {_DESCRIPTION} has {expected}; the "
            "file is damaged, of another model, or was just replaced: try again, or "
            "export the model again."
        )
    return data


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


def _network(
    data: bytes, template: types.Variables, file: pathlib.Path
) -> types.Variables:
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
    return flax.traverse_util.unflatten_dict(variables, sep="/")


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
