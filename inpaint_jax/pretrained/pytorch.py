"""Reads DCGANs that were trained with PyTorch, from state dicts in safetensors files.

The network must be that of PyTorch's DCGAN example and tutorial. The generator is a
ConvTranspose2d(z_dim, c, 4, 1, 0), followed by layers ConvTranspose2d(c, c / 2, 4, 2,
1) down to three channels, with BatchNorm2d after all but the last. The discriminator is
its mirror image, with BatchNorm2d after all but the first and the last. A state dict
does not show the activations, which must be ReLU and tanh in G, LeakyReLU(0.2) in D.
Layers may have any names that sort into their order (2 before 10).

PyTorch stores the kernels of ConvTranspose2d as [in, out, row, column] and those of
Conv2d as [out, in, row, column]. Its padding of 1 is our SAME for 4 x 4 kernels.
ConvTranspose2d spreads each input pixel over the kernel where `strided.conv_transpose`
gathers, so kernels are rotated by 180 degrees. The layer between 1 x 1 and 4 x 4 pixels
is our dense layer.
"""

import hashlib
import itertools
import os
import pathlib
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Float32, Shaped

from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import weights

_KERNEL = 4
_CONVOLUTION = {"weight": 4, "bias": 1}  # part: number of axes
_NORM = ("weight", "bias", "running_mean", "running_var")

_Parts = dict[str, Float32[np.ndarray, "..."]]
_Layers = dict[str, _Parts]


class _Network(NamedTuple):
    """The layers of a state dict.

    Attributes:
      path: its file.
      sha256: of the file.
      convolutions: {layer: {part: float32 array}} of the convolutions, in order.
      norms: {layer: {part: float32 array}} of the batch norms, in order.
    """

    path: pathlib.Path
    sha256: str
    convolutions: _Layers
    norms: _Layers


def read(
    generator: str | os.PathLike[str],
    discriminator: str | os.PathLike[str],
    *,
    crop: int,
) -> weights.Model:
    """Reads the two networks of a DCGAN.

    Args:
      generator: file of the generator's state dict.
      discriminator: file of the discriminator's state dict.
      crop: side of the training crops in CelebA pixels, see `framing.frame`.

    Raises:
      InputError: a file cannot be read or holds another network, or the two networks
        do not fit each other.
    """
    g, d = _read_network(generator), _read_network(discriminator)
    architecture = _architecture(g)
    widths = [architecture.features << i for i in range(architecture.levels)]
    _check(g, architecture, [architecture.z_dim, *reversed(widths), 3], up=True)
    _check(d, architecture, [3, *widths, 1], up=False)
    return weights.Model(
        architecture,
        crop,
        generator=_generator(g),
        discriminator=_discriminator(d),
        source={
            name: {"file": network.path.name, "sha256": network.sha256}
            for name, network in (("generator", g), ("discriminator", d))
        },
    )


def _read_network(file: str | os.PathLike[str]) -> _Network:
    path = pathlib.Path(file)
    try:
        data = path.read_bytes()
        tensors = safetensors.numpy.load(data)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give a safetensors file."
        ) from error
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: no float32 safetensors file, or damaged ({error}); in PyTorch, "
            "safetensors.torch.save_file(net.float().state_dict(), file) writes one."
        ) from error
    layers = {}
    for name in sorted(tensors, key=_natural):
        layer, _, part = name.rpartition(".")
        if part != "num_batches_tracked":
            layers.setdefault(layer, {})[part] = _usable(path, name, tensors[name])
    norms = {k: v for k, v in layers.items() if {"running_mean", "running_var"} & {*v}}
    convolutions = {k: v for k, v in layers.items() if k not in norms}
    _check_parts(path, convolutions, norms)
    return _Network(path, hashlib.sha256(data).hexdigest(), convolutions, norms)


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


def _check_parts(path: pathlib.Path, convolutions: _Layers, norms: _Layers) -> None:
    for layer, parts in convolutions.items():
        for part, values in parts.items():
            if values.ndim != _CONVOLUTION.get(part):
                raise InputError(
                    f"{path}: {layer}.{part} {list(values.shape)} belongs neither to a "
                    "convolution (weight with 4 axes, bias) nor to a batch norm "
                    f"({', '.join(_NORM)}); a DCGAN has no other layers."
                )
    for layers, required in ((convolutions, ["weight"]), (norms, _NORM)):
        for layer, parts in layers.items():
            for part in required:
                if part not in parts:
                    raise InputError(
                        f"{path}: {layer}.{part} is missing; save the whole state dict."
                    )


def _architecture(generator: _Network) -> dcgan.Architecture:
    kernels = [parts["weight"] for parts in generator.convolutions.values()]
    if len(kernels) < 3:
        raise InputError(
            f"{generator.path}: {len(kernels)} convolutions, but the smallest "
            "generator, of 16 x 16 pixels, has 3; give another."
        )
    return dcgan.Architecture(
        image_size=4 << (len(kernels) - 1),
        features=kernels[-1].shape[0],
        z_dim=kernels[0].shape[0],
        kernel_size=_KERNEL,
    )


def _check(
    network: _Network,
    architecture: dcgan.Architecture,
    channels: list[int],
    *,
    up: bool,
) -> None:
    what = "generator" if up else "discriminator"
    whole = (
        f"the {what} of a DCGAN for {architecture.image_size} x "
        f"{architecture.image_size} pixels with {architecture.features} features"
    )
    counts = len(network.convolutions), len(network.norms)
    expected = architecture.levels + 1, architecture.levels - (not up)
    if counts != expected:
        raise InputError(
            f"{network.path}: {counts[0]} convolutions and {counts[1]} batch norms, "
            f"but {whole} has {expected[0]} and {expected[1]}."
        )
    shapes = {}
    pairs = itertools.pairwise(channels)
    for layer, pair in zip(network.convolutions, pairs, strict=True):
        order = pair if up else pair[::-1]
        shapes[layer] = {"weight": [*order, _KERNEL, _KERNEL], "bias": [pair[1]]}
    for layer, width in zip(network.norms, channels[2 - up : -1], strict=True):
        shapes[layer] = dict.fromkeys(_NORM, [width])
    for layer, parts in {**network.convolutions, **network.norms}.items():
        for part, values in parts.items():
            found, wanted = list(values.shape), shapes[layer].get(part, "nothing")
            if found != wanted:
                raise InputError(
                    f"{network.path}: {layer}.{part} is {found}, but {whole} has "
                    f"{wanted} there."
                )


def _generator(network: _Network) -> types.Variables:
    first, *between, last = network.convolutions.values()
    kernel = first["weight"].transpose(0, 2, 3, 1)
    params = {
        "project": {
            "kernel": kernel.reshape(kernel.shape[0], -1),
            "bias": np.tile(_bias(first, kernel.shape[-1]), _KERNEL**2),
        },
        **{f"Conv_{i}": _turned(layer) for i, layer in enumerate(between)},
        "to_image": _turned(last),
    }
    return _variables(params, network.norms)


def _discriminator(network: _Network) -> types.Variables:
    *down, last = network.convolutions.values()
    kernels = [layer["weight"].transpose(2, 3, 1, 0) for layer in down]
    params = {
        f"Conv_{i}": {"kernel": kernel, "bias": _bias(layer, kernel.shape[-1])}
        for i, (kernel, layer) in enumerate(zip(kernels, down, strict=True))
    }
    kernel = last["weight"].transpose(2, 3, 1, 0).reshape(-1, 1)
    params["to_logit"] = {"kernel": kernel, "bias": _bias(last, 1)}
    return _variables(params, network.norms)


def _turned(layer: _Parts) -> _Parts:
    kernel = layer["weight"].transpose(2, 3, 0, 1)[::-1, ::-1]
    return {"kernel": kernel, "bias": _bias(layer, kernel.shape[-1])}


def _bias(layer: _Parts, channels: int) -> Float32[np.ndarray, " channels"]:
    return layer.get("bias", np.zeros(channels, np.float32))


def _variables(params: _Layers, norms: _Layers) -> types.Variables:
    statistics = {}
    for i, norm in enumerate(norms.values()):
        params[f"BatchNorm_{i}"] = {"scale": norm["weight"], "bias": norm["bias"]}
        statistics[f"BatchNorm_{i}"] = {
            "mean": norm["running_mean"],
            "var": norm["running_var"],
        }
    return jax.tree.map(jnp.asarray, {"params": params, "batch_stats": statistics})
