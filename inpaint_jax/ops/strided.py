"""Stride-2 convolutions, plain and transposed, in the form that the platform runs fast.

A stride-2 convolution reads each 2 x 2 cell of its input at one alignment only, so
moving the cell's four pixels into channels ("space to depth") turns it into a stride-1
convolution over cells. The transposed convolution is the reverse: the four output
pixels of a cell are four groups of channels of one dense convolution ("sub-pixel
phases", Shi et al. 2016). On CPU both are computed like this: with many channels as
3 x 3 convolutions over cells with Winograd's products; where those are not faster,
directly, with as few taps as possible. Other platforms use XLA's strided convolution
and its adjoint.

Kernels keep the plain layout `[k, k, channels_in, channels_out]` and both functions
equal XLA's own `SAME` forms with stride 2, so weights can be exchanged with any other
implementation. `prepare_conv` and `prepare_conv_transpose` put a kernel that is used
many times into its fast form once.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from inpaint_jax.ops import dense, platform, winograd

Batch = Float[Array, "batch height width channels_in"]
Kernel = Float[Array, "k k channels_in channels_out"]
Prepared = Kernel | winograd.AtPoints
Halved = Float[Array, "batch height//2 width//2 channels_out"]
Upsampled = Float[Array, "batch height*2 width*2 channels_out"]
Cells = Float[Array, "n 2 n 2 channels_in channels_out"]
"""A kernel cut into 2 x 2 cells of taps: (cell, tap in the cell) down, then across."""

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_LARGEST = 6  # the side of the largest kernel that fits 3 x 3 cells
# With fewer channels in or out, Winograd's transforms cost more than they save.
_WIDE = 16
# The smallest batch for which they save time: kernels up to 4 x 4, larger kernels.
_BATCH = (32, 8)


def conv(x: Batch, kernel: Prepared) -> Halved:
    """Halves the image: `lax.conv_general_dilated` with stride 2 and `SAME` padding.

    Args:
      x: `[batch, H, W, channels_in]`, H and W even.
      kernel: `[k, k, channels_in, channels_out]`, k >= 2; or from `prepare_conv`.

    Returns:
      `[batch, H/2, W/2, channels_out]`.
    """
    if x.shape[1] % 2 or x.shape[2] % 2:
        raise ValueError(f"height and width must be even, got {x.shape[1:3]}")
    if isinstance(kernel, tuple):
        return winograd.conv(space_to_depth(x), kernel)
    _check(kernel)
    return _CONV(x, kernel)


def conv_transpose(x: Batch, kernel: Prepared) -> Upsampled:
    """Doubles the image: `lax.conv_transpose` with stride 2 and `SAME` padding.

    Args:
      x: `[batch, H, W, channels_in]`.
      kernel: `[k, k, channels_in, channels_out]`, k >= 2; or from
        `prepare_conv_transpose`.

    Returns:
      `[batch, 2H, 2W, channels_out]`.
    """
    if isinstance(kernel, tuple):
        return depth_to_space(winograd.conv(x, kernel))
    _check(kernel)
    return _CONV_TRANSPOSE(x, kernel)


def prepare_conv(kernel: Kernel, *, batch: int) -> Prepared:
    """Puts a kernel into the form with which `conv` is fastest on the default platform.

    Args:
      kernel: `[k, k, channels_in, channels_out]`, k >= 2.
      batch: expected number of images in a batch.
    """
    return _prepare(kernel, batch, _aligned_cell_kernel)


def prepare_conv_transpose(kernel: Kernel, *, batch: int) -> Prepared:
    """Puts a kernel into the form with which `conv_transpose` is fastest."""
    return _prepare(kernel, batch, _aligned_phase_kernel)


def _prepare(
    kernel: Kernel, batch: int, aligned: Callable[[Kernel], winograd.Kernel]
) -> Prepared:
    _check(kernel)
    fast = jax.default_backend() == "cpu" and _saves_products(kernel, batch)
    return winograd.at_points(aligned(kernel)) if fast else kernel


def plain_conv(x: Batch, kernel: Kernel) -> Halved:
    """Computes what `conv` does in XLA's own form."""
    return lax.conv_general_dilated(
        x, kernel, (2, 2), "SAME", dimension_numbers=_LAYOUT
    )


def plain_conv_transpose(x: Batch, kernel: Kernel) -> Upsampled:
    """Computes what `conv_transpose` does in XLA's own form."""
    return lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=_LAYOUT)


@jax.custom_vjp
def _adjoint(
    x: Float[Array, "batch height width channels_out"], kernel: Kernel
) -> Float[Array, "batch height*2 width*2 channels_in"]:
    """The gradient of `plain_conv` with respect to its input, at `x`."""
    size = (x.shape[0], 2 * x.shape[1], 2 * x.shape[2], kernel.shape[2])
    zeros = jnp.zeros(size, x.dtype)
    return jax.vjp(lambda y: plain_conv(y, kernel), zeros)[1](x)[0]


def _adjoint_gradients(
    given: tuple[jax.Array, jax.Array], dy: Batch
) -> tuple[jax.Array, jax.Array]:
    x, kernel = given
    dkernel = jax.vjp(lambda k: plain_conv(dy, k), kernel)[1](x)[0]
    return plain_conv(dy, kernel), dkernel


_adjoint.defvjp(
    lambda x, kernel: (_adjoint(x, kernel), (x, kernel)), _adjoint_gradients
)


def adjoint_conv_transpose(x: Batch, kernel: Kernel) -> Upsampled:
    """Computes what `conv_transpose` does as the adjoint of a strided convolution.

    cuDNN has this form and both its gradients ready. XLA's own form fills x up with
    zeros, and its kernel's gradient takes images for kernels: up to 30 times slower.
    """
    # XLA recognises the adjoint by a reversed kernel; without the barrier it would
    # cancel this reversal against that one.
    turned = lax.optimization_barrier(jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
    return _adjoint(x, turned)


def _conv_cells(x: Batch, kernel: Kernel) -> Halved:
    if _saves_products(kernel, x.shape[0]):
        points = winograd.at_points(_aligned_cell_kernel(kernel))
        return winograd.conv(space_to_depth(x), points)
    k = kernel.shape[0]
    # SAME pads k - 2 lines in all; an odd kernel takes one more to fill its last cell.
    before = (k - 2) // 2
    after = k - 2 - before + k % 2
    pad = ((0, 0), (before, after), (before, after), (0, 0))
    cells = space_to_depth(jnp.pad(x, pad))
    return dense.conv(cells, _cell_kernel(_cells(kernel, (k + 1) // 2)))


def _conv_transpose_cells(x: Batch, kernel: Kernel) -> Upsampled:
    if _saves_products(kernel, x.shape[0]):
        points = winograd.at_points(_aligned_phase_kernel(kernel))
        return depth_to_space(winograd.conv(x, points))
    k = kernel.shape[0]
    # SAME pads the dilated input by ceil(k/2) in front. If that is even, output cells
    # straddle its edge: one more cell is computed and half a cell is cut off each end.
    front = (k + 1) // 2
    margin = (front + 1) % 2
    taps = (k + 1) // 2
    before = (front + margin - 1) // 2
    after = margin + taps - 1 - before
    pad = ((0, 0), (before, after), (before, after), (0, 0))
    cells = dense.conv(jnp.pad(x, pad), _phase_kernel(_cells(kernel, taps)))
    height, width = 2 * x.shape[1], 2 * x.shape[2]
    return depth_to_space(cells)[:, margin : margin + height, margin : margin + width]


_CONV = platform.choose(cpu=_conv_cells, default=plain_conv)
_CONV_TRANSPOSE = platform.choose(
    cpu=_conv_transpose_cells, default=adjoint_conv_transpose
)


def space_to_depth(
    x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch height//2 width//2 4*channels"]:
    """Moves each 2 x 2 cell of pixels into channels, ordered (row, column, channel)."""
    batch, height, width, channels = x.shape
    cells = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return cells.transpose(0, 1, 3, 2, 4, 5).reshape(
        batch, height // 2, width // 2, 4 * channels
    )


def depth_to_space(
    x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch 2*height 2*width channels//4"]:
    """Moves groups of channels back into 2 x 2 cells; undoes `space_to_depth`."""
    batch, height, width, channels = x.shape
    cells = x.reshape(batch, height, width, 2, 2, channels // 4)
    return cells.transpose(0, 1, 3, 2, 4, 5).reshape(
        batch, 2 * height, 2 * width, channels // 4
    )


def _cells(kernel: Kernel, cells: int, front: int = 0) -> Cells:
    # Tap t becomes cell m, position r with 2 m + r = front + t.
    lines = (front, 2 * cells - front - kernel.shape[0])
    kernel = jnp.pad(kernel, (lines, lines, (0, 0), (0, 0)))
    return kernel.reshape(cells, 2, cells, 2, *kernel.shape[2:])


def _cell_kernel(cells: Cells) -> Float[Array, "n n 4*channels_in channels_out"]:
    n, _, _, _, channels_in, channels_out = cells.shape
    return cells.transpose(0, 2, 1, 3, 4, 5).reshape(
        n, n, 4 * channels_in, channels_out
    )


def _phase_kernel(cells: Cells) -> Float[Array, "n n channels_in 4*channels_out"]:
    # The output pixel at position q of a cell reads the taps with r = 1 - q.
    n, _, _, _, channels_in, channels_out = cells.shape
    phases = jnp.flip(cells, (1, 3)).transpose(0, 2, 4, 1, 3, 5)
    return phases.reshape(n, n, channels_in, 4 * channels_out)


def _aligned_cell_kernel(
    kernel: Kernel,
) -> Float[Array, "3 3 4*channels_in channels_out"]:
    # Zeros before the first tap align the kernel with cells that begin at even pixels.
    first = (kernel.shape[0] - 2) // 2
    return _cell_kernel(_cells(kernel, 3, 2 - first))


def _aligned_phase_kernel(
    kernel: Kernel,
) -> Float[Array, "3 3 channels_in 4*channels_out"]:
    front = (kernel.shape[0] + 1) // 2
    return _phase_kernel(_cells(kernel, 3, 3 - front))


def _saves_products(kernel: Kernel, batch: Any) -> bool:
    """Returns whether Winograd's form is the faster one on CPU; measured.

    The batch is an int, or a symbol in a program for any batch size, which counts as 1.
    """
    k, narrow = kernel.shape[0], min(kernel.shape[2:]) < _WIDE
    known = 1 if jax.export.is_symbolic_dim(batch) else batch
    return k <= _LARGEST and not narrow and known >= _BATCH[k >= 5]


def _check(kernel: Float[Array, "rows columns channels_in channels_out"]) -> None:
    if kernel.shape[0] != kernel.shape[1] or kernel.shape[0] < 2:
        raise ValueError(f"kernel must be square with k >= 2, got {kernel.shape}")
