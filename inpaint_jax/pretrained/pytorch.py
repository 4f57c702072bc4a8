"""Reads DCGANs that were trained with PyTorch, from their state dicts.

The networks must be those of PyTorch's DCGAN example and tutorial. The generator is a
ConvTranspose2d(z_dim, c, 4, 1, 0), or a Linear(z_dim, 16 c) whose outputs are seen as
c x 4 x 4, followed by layers ConvTranspose2d(c, c / 2, 4, 2, 1) down to three channels,
with BatchNorm after all but the last (after a Linear it may lack). The discriminator is
its mirror image, with BatchNorm2d after all but the first and the last; its width may
be another. Layers may have any names that sort into their order (2 before 10).

A state dict does not show everything. What it cannot show is assumed: ReLU and tanh in
G, LeakyReLU(0.2) in D, and BatchNorm's eps of 1e-5, all as in the example; BatchNorm's
momentum makes no difference. Whatever else it shows is refused in a sentence.

PyTorch stores the kernels of ConvTranspose2d as [in, out, row, column] and those of
Conv2d as [out, in, row, column]. Its padding of 1 is our SAME for 4 x 4 kernels.
ConvTranspose2d spreads each input pixel over the kernel where `strided.conv_transpose`
gathers, so kernels are rotated by 180 degrees. The layer between 1 x 1 and 4 x 4 pixels
is our dense layer.
"""

import itertools
import os

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import torch_layers, weights

_KERNEL = torch_layers.KERNEL


def read(
    generator: str | os.PathLike[str],
    discriminator: str | os.PathLike[str] | None,
    *,
    crop: int,
) -> weights.Model:
    """Reads the networks of a DCGAN.

    Args:
      generator: file of the generator's state dict, see `state_dicts.read`.
      discriminator: that of the discriminator; None if there is none.
      crop: side of the training crops in CelebA pixels, see `framing.frame`.

    Raises:
      InputError: a file cannot be read or holds another network, or the two networks
        do not fit each other.
    """
    g = torch_layers.read(generator, up=True)
    d = None if discriminator is None else torch_layers.read(discriminator, up=False)
    architecture = _architecture(g, d)
    widths = [architecture.features << i for i in range(architecture.levels)]
    _check(g, architecture, [architecture.z_dim, *reversed(widths), 3], up=True)
    if d is not None:
        first = architecture.discriminator_features or architecture.features
        widths = [first << i for i in range(architecture.levels)]
        _check(d, architecture, [3, *widths, 1], up=False)
    found = {"generator": g} if d is None else {"generator": g, "discriminator": d}
    return weights.Model(
        architecture,
        crop,
        generator=_generator(g),
        discriminator=None if d is None else _discriminator(d),
        source={
            name: {"file": network.path.name, "sha256": network.sha256}
            for name, network in found.items()
        },
        discriminates=d is not None,
    )


def _architecture(
    g: torch_layers.Network, d: torch_layers.Network | None
) -> dcgan.Architecture:
    kernels = [parts["weight"] for parts in g.convolutions.values()]
    if len(kernels) < 3:
        raise InputError(
            f"{g.path}: {len(kernels)} convolutions, but the smallest generator, of 16 "
            "x 16 pixels, has 3; give another."
        )
    features, other = kernels[-1].shape[0], None
    if d is not None and d.convolutions:
        other = next(iter(d.convolutions.values()))["weight"].shape[0]
    return dcgan.Architecture(
        image_size=4 << (len(kernels) - 1),
        features=features,
        z_dim=kernels[0].shape[0],
        kernel_size=_KERNEL,
        discriminator_features=None if other == features else other,
    )


def _check(
    network: torch_layers.Network,
    architecture: dcgan.Architecture,
    channels: list[int],
    *,
    up: bool,
) -> None:
    what = "generator" if up else "discriminator"
    whole = (
        f"the {what} of a DCGAN for {architecture.image_size} x "
        f"{architecture.image_size} pixels with {channels[-2 if up else 1]} features"
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
        shapes[layer] = dict.fromkeys(torch_layers.NORM, [width])
    for layer, parts in {**network.convolutions, **network.norms}.items():
        for part, values in parts.items():
            found, wanted = list(values.shape), shapes[layer].get(part, "nothing")
            if found != wanted:
                raise InputError(
                    f"{network.path}: {layer}.{part} is {found}, but {whole} has "
                    f"{wanted} there."
                )


def _generator(network: torch_layers.Network) -> types.Variables:
    first, *between, last = network.convolutions.values()
    kernel = first["weight"].transpose(0, 2, 3, 1)
    bias = np.tile(_bias(first, kernel.shape[-1]), _KERNEL**2)
    if network.offset is not None:
        bias = network.offset.transpose(1, 2, 0).reshape(-1)
    params = {
        "project": {"kernel": kernel.reshape(kernel.shape[0], -1), "bias": bias},
        **{f"Conv_{i}": _turned(layer) for i, layer in enumerate(between)},
        "to_image": _turned(last),
    }
    return _variables(params, network.norms)


def _discriminator(network: torch_layers.Network) -> types.Variables:
    *down, last = network.convolutions.values()
    kernels = [layer["weight"].transpose(2, 3, 1, 0) for layer in down]
    params = {
        f"Conv_{i}": {"kernel": kernel, "bias": _bias(layer, kernel.shape[-1])}
        for i, (kernel, layer) in enumerate(zip(kernels, down, strict=True))
    }
    kernel = last["weight"].transpose(2, 3, 1, 0).reshape(-1, 1)
    params["to_logit"] = {"kernel": kernel, "bias": _bias(last, 1)}
    return _variables(params, network.norms)


def _turned(layer: torch_layers.Parts) -> torch_layers.Parts:
    kernel = layer["weight"].transpose(2, 3, 0, 1)[::-1, ::-1]
    return {"kernel": kernel, "bias": _bias(layer, kernel.shape[-1])}


def _bias(layer: torch_layers.Parts, channels: int) -> Float32[np.ndarray, " channels"]:
    return layer.get("bias", np.zeros(channels, np.float32))


def _variables(
    params: torch_layers.Layers, norms: torch_layers.Layers
) -> types.Variables:
    statistics = {}
    for i, norm in enumerate(norms.values()):
        params[f"BatchNorm_{i}"] = {"scale": norm["weight"], "bias": norm["bias"]}
        statistics[f"BatchNorm_{i}"] = {
            "mean": norm["running_mean"],
            "var": norm["running_var"],
        }
    return jax.tree.map(jnp.asarray, {"params": params, "batch_stats": statistics})
