"""Reads and writes every kind of trained model; `Kind` holds what differs.

A model is an architecture, the crop that it was trained on, and networks with their
weights. `networks` has the kinds with one network, `weights` the kind with the three
networks of a search.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import msgspec

from inpaint_jax import types
from inpaint_jax.errors import reason
from inpaint_jax.pretrained import releases

Input = Literal["z", "image", "mask"]

# What is larger describes no network that fits into a memory; and a crop is a part of a
# picture that is 178 pixels wide.
_MOST, _MOST_CROP = 1 << 16, 178


class Kind(NamedTuple):
    """One kind of model, and how it is stored on disk.

    Attributes:
      name: name of the kind, and of the release that comes with the package.
      application: application that trains such models.
      architecture: class of the architecture in a description (`model.json`).
      templates: (architecture, **extras) -> {file: shapes of a network's variables}.
      extras: {further field of the model: function that reads it from a description}.
      named: whether a description holds the name of its kind.
    """

    name: str
    application: str
    architecture: type[Any]
    templates: Callable[..., dict[str, types.Variables]]
    extras: Mapping[str, Callable[[Mapping[str, Any]], Any]]
    named: bool = False


def load(
    path: str | os.PathLike[str], *, kind: Kind
) -> tuple[dict[str, Any], releases.Loaded]:
    """Reads a model from a release folder or from a training run's folder.

    Args:
      path: the folder, or "release" for the weights that come with the package.
      kind: the kind that the model must be of.

    Returns:
      (the model's fields without weights and source, networks).

    Raises:
      InputError: the folder holds no model, or one of another kind, weights do not fit
        their description, or weights are NaN or infinite.
    """

    def templates(description: Mapping[str, Any]) -> dict[str, types.Variables]:
        fields = _understood(description, kind)
        extras = {name: fields[name] for name in kind.extras}
        return kind.templates(fields["architecture"], **extras)

    loaded = releases.load(
        path, name=kind.name, application=kind.application, templates=templates
    )
    return _understood(loaded.description, kind), loaded


def export(
    directory: str | os.PathLike[str],
    model: Any,
    *,
    provenance: dict[str, Any],
    programs: Mapping[str, bytes] | None = None,
) -> None:
    """Writes a release, see `releases.export`.

    Args:
      directory: folder to write to; created if need be.
      model: has `kind`, `networks` ({file: variables}), `architecture`, `crop`, and
        the fields that its kind's `extras` names.
      provenance: JSON values: data, command, commit, scores.
      programs: {file name: content} of further files, see `stablehlo.programs`.

    Raises:
      InputError: half precision cannot hold a weight.
      OutputError: the folder cannot be written.
    """
    kind: Kind = model.kind
    releases.export(
        directory,
        model.networks,
        description={
            **({"model": kind.name} if kind.named else {}),
            "architecture": dataclasses.asdict(model.architecture),
            "crop": model.crop,
            **{name: getattr(model, name) for name in kind.extras},
            "provenance": provenance,
        },
        programs=programs,
    )


def template(network: nn.Module, *inputs: Input) -> types.Variables:
    """Returns the shapes of a network's variables, without computing anything."""
    architecture: Any = network.architecture  # pyright: ignore[reportAttributeAccessIssue]
    size = architecture.image_size
    shapes = {
        "z": lambda: (1, architecture.z_dim),
        "image": lambda: (1, size, size, 3),
        "mask": lambda: (1, size, size, 1),
    }
    arrays = [jax.ShapeDtypeStruct(shapes[name](), jnp.float32) for name in inputs]

    def initial(*arrays: jax.Array) -> types.Variables:
        return network.init(jax.random.key(0), *arrays, train=False)

    return jax.eval_shape(initial, *arrays)


def function(network: nn.Module, variables: types.Variables) -> jax.tree_util.Partial:
    """Returns a network as a function of its inputs; rows are independent.

    It is a pytree, so that a program takes its weights as arguments.
    """
    return jax.tree_util.Partial(_Apply(network), variables)


@dataclasses.dataclass(frozen=True)
class _Apply:
    # Two instances of one network are equal, so a program is compiled once for both.
    network: nn.Module

    def __call__(self, variables: types.Variables, *inputs: jax.Array) -> Any:
        return self.network.apply(variables, *inputs, train=False)


def _understood(description: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    if kind.named and description.get("model") != kind.name:
        raise ValueError(f"it is {_named(description)}, not a {kind.name}")
    architecture = _architecture(description, kind)
    crop = typed(description, "crop", Annotated[int, msgspec.Meta(ge=1, le=_MOST_CROP)])
    extras = {name: read(description) for name, read in kind.extras.items()}
    return {"architecture": architecture, "crop": crop, **extras}


def _named(description: Mapping[str, Any]) -> str:
    """Returns what a description says that it is of; networks of a search say less."""
    if "model" in description:
        return f"a {description['model']}"
    found = description.get("sha256")
    names = ", ".join(found) if isinstance(found, dict) else ""
    return f"a model of {names}" if names else "a model without a name"


def typed(description: Mapping[str, Any], name: str, kind: Any) -> Any:
    """Returns a field of a description, which must be of a type.

    Args:
      description: `model.json`, or what a checkpoint stores.
      name: of the field.
      kind: the type, see `msgspec`; no text or truth value is taken for a number.

    Raises:
      ValueError: it is missing, or of another type.
    """
    if name not in description:
        raise ValueError(f"{name} is missing")
    found = description[name]
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{name}: {reason(error)}") from error


def _architecture(description: Mapping[str, Any], kind: Kind) -> Any:
    """Returns the architecture; each number is one that a network may have."""
    found = typed(description, "architecture", dict[str, Any])
    known = {field.name for field in dataclasses.fields(kind.architecture)}
    if unknown := sorted(found.keys() - known):
        raise ValueError(f"architecture: a {kind.name} has no {unknown[0]}")
    built = typed(description, "architecture", kind.architecture)
    for name, value in dataclasses.asdict(built).items():
        if type(value) is int and not 1 <= value <= _MOST:
            raise ValueError(f"architecture.{name} must be 1 to {_MOST}, got {value}")
    return built
