"""A stride-1 convolution whose output and two gradients each take their fastest form.

XLA's CPU back end handles one shape of convolution well: few channels in, many out.
With fewer channels out than in it is up to ten times faster to multiply first, one
matrix product for each tap of the kernel, and to shift and add the small results. XLA
computes the kernel's gradient as a convolution with an image-sized window, forty times
slower than the same sum written as matrix products. Other platforms keep XLA's own
form. experiments/benchmarks/RESULTS.md has the measurements.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Batch = Float[Array, "batch height width channels_in"]
Kernel = Float[Array, "taps taps channels_in channels_out"]
Convolved = Float[Array, "batch height_out width_out channels_out"]

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_CONTRACT_PIXELS = (((0, 1, 2), (0, 1, 2)), ((), ()))


@jax.custom_vjp
def conv(x: Batch, kernel: Kernel) -> Convolved:
    """Correlates each image with a square kernel, without padding.

    Args:
      x: `[batch, H, W, channels_in]`.
      kernel: `[n, n, channels_in, channels_out]`.

    Returns:
      `[batch, H - n + 1, W - n + 1, channels_out]`.
    """
    if kernel.shape[3] < kernel.shape[2]:
        return lax.platform_dependent(x, kernel, cpu=_multiply_then_shift, default=_xla)
    return _xla(x, kernel)


def _xla(x: Batch, kernel: Kernel) -> Convolved:
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=_LAYOUT
    )


def _multiply_then_shift(x: Batch, kernel: Kernel) -> Convolved:
    height, width = _output_size(x, kernel)
    return functools.reduce(
        jnp.add,
        (
            (x @ kernel[i, j])[:, i : i + height, j : j + width]
            for i, j in _taps(kernel)
        ),
    )


def _kernel_gradient_xla(x: Batch, kernel: Kernel, dy: Convolved) -> Kernel:
    return jax.vjp(lambda w: _xla(x, w), kernel)[1](dy)[0]


def _kernel_gradient_products(x: Batch, kernel: Kernel, dy: Convolved) -> Kernel:
    # Each tap's gradient is one product of x with dy, displaced by the tap. The array
    # with fewer channels is the one that is moved in memory.
    height, width = dy.shape[1:3]
    n = kernel.shape[0]

    def displaced(
        i: int, j: int
    ) -> tuple[Batch, Float[Array, "batch height width channels_out"]]:
        if kernel.shape[3] < kernel.shape[2]:
            shift = ((0, 0), (i, n - 1 - i), (j, n - 1 - j), (0, 0))
            return x, jnp.pad(dy, shift)
        return x[:, i : i + height, j : j + width], dy

    products = [
        lax.dot_general(*displaced(i, j), _CONTRACT_PIXELS) for i, j in _taps(kernel)
    ]
    return jnp.stack(products).reshape(kernel.shape)


def _forward(x: Batch, kernel: Kernel) -> tuple[Convolved, tuple[Batch, Kernel]]:
    return conv(x, kernel), (x, kernel)


def _backward(residuals: tuple[Batch, Kernel], dy: Convolved) -> tuple[Batch, Kernel]:
    x, kernel = residuals
    border = kernel.shape[0] - 1
    around = ((0, 0), (border, border), (border, border), (0, 0))
    dx = conv(jnp.pad(dy, around), jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
    dkernel = lax.platform_dependent(
        x, kernel, dy, cpu=_kernel_gradient_products, default=_kernel_gradient_xla
    )
    return dx, dkernel


conv.defvjp(_forward, _backward)


def _taps(kernel: Kernel) -> list[tuple[int, int]]:
    n = kernel.shape[0]
    return [(i, j) for i in range(n) for j in range(n)]


def _output_size(x: Batch, kernel: Kernel) -> tuple[int, int]:
    n = kernel.shape[0]
    return x.shape[1] - n + 1, x.shape[2] - n + 1
