"""The layers of the DCGAN and of the networks that share its shape.

A stride-2 convolution, optionally with spectral normalisation, BatchNorm and the leaky
ReLU, with their initial weights.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax.ops import strided

DType = Any
"""A floating-point type, as jnp.float32 or jnp.bfloat16."""

Initial = Callable[..., jax.Array]
"""(key, shape, dtype) -> initial weights."""

INITIAL = nn.initializers.normal(stddev=0.02)
# Without BatchNorm, initial weights that keep the variance of activations from layer to
# layer (He et al. 2015).
KEEPS_SIZE = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
KEEPS_SIZE_UP = nn.initializers.variance_scaling(8.0, "fan_in", "normal")
# A third of that standard deviation: the first images lie where tanh is not flat.
INSIDE_TANH = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
BATCH_NORM_EPSILON = 1e-5
_LEAK = 0.2


class Conv(nn.Module):
    """A stride-2 convolution with bias, down (halves the image) or up (doubles it)."""

    channels: int
    kernel_size: int
    up: bool
    compute_dtype: DType = jnp.float32
    spectral_norm: bool = False
    initial: Initial = INITIAL

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels_in"], *, train: bool
    ) -> Float[Array, "batch height_out width_out channels_out"]:
        """Returns the convolved batch `[batch, H', W', channels]`."""
        k = self.kernel_size
        kernel = self.param("kernel", self.initial, (k, k, x.shape[-1], self.channels))
        bias = self.param("bias", nn.initializers.zeros, (self.channels,))
        if self.spectral_norm:
            kernel = self._normalised(kernel, train)
        convolve = strided.conv_transpose if self.up else strided.conv
        y = convolve(x.astype(self.compute_dtype), kernel.astype(self.compute_dtype))
        return y.astype(jnp.float32) + bias[None, None, None]

    def _normalised(
        self, kernel: Float[Array, "*inputs channels"], train: bool
    ) -> Float[Array, "*inputs channels"]:
        initial = jnp.full(kernel.shape[-1:], kernel.shape[-1] ** -0.5)
        stored = self.variable("batch_stats", "right", lambda: initial)
        kernel, right = spectral_normalise(kernel, stored.value)
        if train:
            stored.value = right
        return kernel


def spectral_normalise(
    kernel: Float[Array, "*inputs channels"], right: Float[Array, " channels"]
) -> tuple[Float[Array, "*inputs channels"], Float[Array, " channels"]]:
    """Divides a kernel by its largest singular value (Miyato et al. 2018).

    Args:
      kernel: seen as the matrix `[inputs, channels]`.
      right: estimate of the right singular vector of that value.

    Returns:
      The divided kernel, and the estimate after one step of power iteration.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])
    left = _unit(jax.lax.stop_gradient(matrix) @ right)
    better = _unit(left @ jax.lax.stop_gradient(matrix))
    return kernel / (left @ matrix @ better), better


def batch_norm(train: bool) -> nn.BatchNorm:
    """Returns the DCGAN's BatchNorm; with `train` it uses the batch's statistics."""
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=BATCH_NORM_EPSILON,
        scale_init=lambda key, shape, dtype: 1.0 + INITIAL(key, shape, dtype),
    )


def leaky_relu(x: jax.Array) -> jax.Array:
    """Applies the activation of D and E: slope 0.2 below zero."""
    return nn.leaky_relu(x, _LEAK)


def _unit(x: jax.Array) -> jax.Array:
    return x / (jnp.linalg.norm(x) + 1e-12)
