"""The DCGAN for inference: weights are fixed and BatchNorm is fused into them.

With stored statistics BatchNorm is a scale and a shift for each channel. Both are fused
into the weights and the bias of the layer before, and kernels are put into the form in
which `ops.strided` is fastest. A chain of layers remains. The results are those of
`dcgan` with `train=False`, up to rounding.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.models import blocks, dcgan
from inpaint_jax.ops import strided


class Layer(NamedTuple):
    """The weights of a dense layer or a convolution, its BatchNorm included.

    Attributes:
      kernel: `[inputs, outputs]`, or from `ops.strided`.
      bias: `[outputs]`.
    """

    kernel: Any
    bias: Float[Array, " outputs"]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["layers"],
    meta_fields=["activation", "compute_dtype"],
)
@dataclasses.dataclass(frozen=True)
class Generator:
    """G with its weights; a pytree, so that a program takes the weights as arguments.

    Attributes:
      layers: from z to the image.
      activation: as in `dcgan.Architecture`.
      compute_dtype: type of the products in convolutions; outputs are float32.
    """

    layers: list[Layer]
    activation: str
    compute_dtype: blocks.DType

    def __call__(self, z: types.Latent) -> types.Image:
        """Generates one image for each latent vector."""
        activate = nn.relu if self.activation == "relu" else blocks.leaky_relu
        first, *hidden, last = self.layers
        channels = first.bias.shape[0] // 16
        x = activate(z @ first.kernel + first.bias[None]).reshape(-1, 4, 4, channels)
        for layer in hidden:
            x = activate(
                _convolve(strided.conv_transpose, x, layer, self.compute_dtype)
            )
        return jnp.tanh(_convolve(strided.conv_transpose, x, last, self.compute_dtype))


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["layers"],
    meta_fields=["compute_dtype"],
)
@dataclasses.dataclass(frozen=True)
class Discriminator:
    """D with its weights; a pytree, as `Generator` is.

    Attributes:
      layers: from the image to the logit.
      compute_dtype: as in `Generator`.
    """

    layers: list[Layer]
    compute_dtype: blocks.DType

    def __call__(self, image: types.Image) -> types.Logits:
        """Returns the logit of each image."""
        x = image
        *hidden, last = self.layers
        for layer in hidden:
            x = blocks.leaky_relu(_convolve(strided.conv, x, layer, self.compute_dtype))
        return (x.reshape(x.shape[0], -1) @ last.kernel + last.bias[None])[:, 0]


def generator(
    architecture: dcgan.Architecture,
    variables: types.Variables,
    *,
    batch: int,
    compute_dtype: blocks.DType = jnp.float32,
) -> Generator:
    """Fuses a generator's weights and BatchNorm for inference.

    Args:
      architecture: of the network.
      variables: {"params", "batch_stats"}.
      batch: expected number of images in a batch.
      compute_dtype: see `Generator`.
    """

    def layers(variables: types.Variables) -> list[Layer]:
        prepare = functools.partial(strided.prepare_conv_transpose, batch=batch)
        hidden = [
            _folded(variables, f"Conv_{i}", f"BatchNorm_{i + 1}")
            for i in range(architecture.levels - 1)
        ]
        convolutions = [*hidden, _folded(variables, "to_image")]
        prepared = [_prepared(prepare, layer, compute_dtype) for layer in convolutions]
        return [_folded(variables, "project", "BatchNorm_0"), *prepared]

    return Generator(_once(layers)(variables), architecture.activation, compute_dtype)


def discriminator(
    architecture: dcgan.Architecture,
    variables: types.Variables,
    *,
    batch: int,
    compute_dtype: blocks.DType = jnp.float32,
) -> Discriminator:
    """Fuses a discriminator for inference; arguments as in `generator`."""

    def layers(variables: types.Variables) -> list[Layer]:
        prepare = functools.partial(strided.prepare_conv, batch=batch)
        convolutions = [
            _folded(variables, f"Conv_{i}", f"BatchNorm_{i - 1}")
            for i in range(architecture.levels)
        ]
        prepared = [_prepared(prepare, layer, compute_dtype) for layer in convolutions]
        return [*prepared, _folded(variables, "to_logit")]

    return Discriminator(_once(layers)(variables), compute_dtype)


def _convolve(
    convolve: Callable[[strided.Batch, strided.Prepared], jax.Array],
    x: strided.Batch,
    layer: Layer,
    compute_dtype: blocks.DType,
) -> Float[Array, "batch height_out width_out channels_out"]:
    y = convolve(x.astype(compute_dtype), layer.kernel)
    return y.astype(jnp.float32) + layer.bias[None, None, None]


def _folded(variables: types.Variables, layer: str, norm: str | None = None) -> Layer:
    """Returns a layer's weights, fused with the BatchNorm after it if there is one."""
    kernel, bias = (variables["params"][layer][name] for name in ("kernel", "bias"))
    statistics = variables.get("batch_stats", {})
    if "right" in statistics.get(layer, {}):
        kernel, _ = blocks.spectral_normalise(kernel, statistics[layer]["right"])
    if norm not in variables["params"]:
        return Layer(kernel, bias)
    learnt, seen = variables["params"][norm], statistics[norm]
    scale = learnt["scale"] / jnp.sqrt(seen["var"] + blocks.BATCH_NORM_EPSILON)
    shift = learnt["bias"] - scale * seen["mean"]
    # The output of the dense layer is several pixels with as many channels as the norm.
    pixels = bias.shape[0] // scale.shape[0]
    scale, shift = jnp.tile(scale, pixels), jnp.tile(shift, pixels)
    broadcast = scale.reshape((1,) * (kernel.ndim - 1) + (-1,))
    return Layer(kernel * broadcast, bias * scale + shift)


def _prepared(
    prepare: Callable[[strided.Kernel], strided.Prepared],
    layer: Layer,
    compute_dtype: blocks.DType,
) -> Layer:
    kernel = jax.tree.map(lambda x: x.astype(compute_dtype), prepare(layer.kernel))
    return Layer(kernel, layer.bias)


def _once(
    function: Callable[[types.Variables], list[Layer]],
) -> Callable[[types.Variables], list[Layer]]:
    """Compiles a function that runs once without optimising it, which takes longer."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})
