"""The layers of a DCGAN in PyTorch's state dict: convolutions and norms, in order.

A Linear layer between the latent vector and 4 x 4 pixels, or between those and the
logit, is given as the 4 x 4 convolution that computes the same.
"""

import os
import pathlib
import re
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Shaped

from inpaint_jax.errors import InputError
from inpaint_jax.models import blocks
from inpaint_jax.pretrained import state_dicts

KERNEL = 4
"""Side of the kernels, and of the first pixels."""

NORM = ("weight", "bias", "running_mean", "running_var")
"""The parts of a batch norm."""

_PIXELS = KERNEL**2
# {part: numbers of axes that it may have}; a weight with 2 axes is a Linear layer's.
_CONVOLUTION = {"weight": (2, 4), "bias": (1,)}
_EPSILON = blocks.BATCH_NORM_EPSILON

Parts = dict[str, Float32[np.ndarray, "..."]]
Layers = dict[str, Parts]


class Network(NamedTuple):
    """The layers of a state dict.

    Attributes:
      path: its file.
      sha256: of the file.
      convolutions: {layer: {part: float32 array}}, in order.
      norms: {layer: {part: float32 array}} of the batch norms, in order.
      offset: what a Linear layer of the generator adds to the first pixels; None if
        it has none.
    """

    path: pathlib.Path
    sha256: str
    convolutions: Layers
    norms: Layers
    offset: Float32[np.ndarray, "channels 4 4"] | None = None


def read(source: str | os.PathLike[str], *, up: bool) -> Network:
    """Reads the layers of one network.

    Args:
      source: file of its state dict, see `state_dicts.read`.
      up: whether it is a generator, not a discriminator.

    Raises:
      InputError: the file cannot be read, or holds several networks, other layers,
        values that are not finite, or statistics from before the training.
    """
    path, sha256, tensors = state_dicts.read(source)
    _check_alone(path, tensors)
    layers = {}
    for name in sorted(tensors, key=_natural):
        layer, _, part = name.rpartition(".")
        if part != "num_batches_tracked":
            layers.setdefault(layer, {})[part] = _usable(path, name, tensors[name])
        elif up and not tensors[name].any():
            raise InputError(
                f"{path}: {name} is 0, so that this BatchNorm's statistics are not "
                "those of training; save the generator after it was in train() mode."
            )
    norms = {k: v for k, v in layers.items() if {"running_mean", "running_var"} & {*v}}
    convolutions = {k: v for k, v in layers.items() if k not in norms}
    _check_parts(path, convolutions, norms)
    return _unfolded(Network(path, sha256, convolutions, norms), up=up)


def _check_alone(path: pathlib.Path, tensors: state_dicts.Tensors) -> None:
    kernels = [name.partition(".")[0] for name in tensors if tensors[name].ndim == 4]
    names = sorted(name for name in set(kernels) if kernels.count(name) >= 3)
    if len(names) > 1:
        raise InputError(
            f"{path}: holds several networks ({', '.join(names)}); give one of them, "
            f"as {path}:{names[-1]}."
        )


def _natural(name: str) -> list[str | int]:
    return [int(s) if s.isdecimal() else s for s in re.split(r"(\d+)", name)]


def _usable(
    path: pathlib.Path, name: str, tensor: Shaped[np.ndarray, "..."]
) -> Float32[np.ndarray, "..."]:
    # Values too large for float32 become infinite, and are refused below.
    with np.errstate(over="ignore"):
        values = np.asarray(tensor, np.float32)
    negative_variance = name.endswith("running_var") and (values < 0).any()
    if not values.size or not np.isfinite(values).all() or negative_variance:
        raise InputError(
            f"{path}: {name} {list(values.shape)} is empty, has NaN or infinite "
            "values, or is a variance below 0; use an intact checkpoint."
        )
    return values


def _check_parts(path: pathlib.Path, convolutions: Layers, norms: Layers) -> None:
    for layer, parts in convolutions.items():
        for part, values in parts.items():
            if values.ndim not in _CONVOLUTION.get(part, ()):
                raise InputError(
                    f"{path}: {layer}.{part} {list(values.shape)} belongs neither to a "
                    "convolution or Linear layer (weight with 4 or 2 axes, bias) nor "
                    f"to a batch norm ({', '.join(NORM)}); a DCGAN has no other "
                    "layers, and spectral norm must be removed before it is saved."
                )
    for layers, required in ((convolutions, ["weight"]), (norms, NORM)):
        for layer, parts in layers.items():
            for part in required:
                if part not in parts:
                    raise InputError(
                        f"{path}: {layer}.{part} is missing; save the whole state dict."
                    )


def _unfolded(network: Network, *, up: bool) -> Network:
    """Returns the network with its Linear layer, if any, as a 4 x 4 convolution."""
    layers, norms = dict(network.convolutions), dict(network.norms)
    name = next(iter(layers if up else reversed(layers)), "")
    linear = layers.get(name, {})
    if "weight" not in linear or linear["weight"].ndim != 2:
        return network
    weight = linear["weight"].T if up else linear["weight"]
    count, pixels = weight.shape
    bias = linear.get("bias", np.zeros(pixels if up else count, np.float32))
    if pixels % _PIXELS or len(bias) != (pixels if up else count):
        raise InputError(
            f"{network.path}: {name}.weight {list(linear['weight'].shape)} with a bias "
            f"[{len(bias)}] is no Linear layer of {KERNEL} x {KERNEL} pixels."
        )
    kernel = weight.reshape(count, -1, KERNEL, KERNEL)
    if up:
        bias = bias.reshape(kernel.shape[1:])
        first = next(iter(norms), "")
        if {len(values) for values in norms.get(first, {}).values()} == {pixels}:
            # BatchNorm1d, which here has no channels; its layer can take it up.
            each = {k: v.reshape(bias.shape) for k, v in norms.pop(first).items()}
            scale = each["weight"] / np.sqrt(each["running_var"] + _EPSILON)
            kernel = kernel * scale
            bias = (bias - each["running_mean"]) * scale + each["bias"]
        if len(norms) == len(layers) - 2:
            norms = {name: _nothing(len(bias)), **norms}
        layers[name] = {"weight": kernel}
        return network._replace(convolutions=layers, norms=norms, offset=bias)
    layers[name] = {"weight": kernel, "bias": bias}
    return network._replace(convolutions=layers)


def _nothing(channels: int) -> Parts:
    """Returns a batch norm that changes nothing."""
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    values = (ones, zeros, zeros, ones - np.float32(_EPSILON))
    return dict(zip(NORM, values, strict=True))
