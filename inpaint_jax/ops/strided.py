"""Stride-2 convolutions, both directions, as dense convolutions over 2 x 2 cells.

A stride-2 convolution reads each 2 x 2 cell of its input at one alignment only, so
moving the cell's four pixels into channels ("space to depth") turns it into a stride-1
convolution with half as many taps a side. The transposed convolution is the same thing
backwards: the four output pixels of a cell are four groups of channels of one dense
convolution ("sub-pixel phases", Shi et al. 2016). An even kernel wastes nothing; an odd
one carries a row and a column of zeros.

Kernels keep the plain layout `[k, k, channels_in, channels_out]` and both functions
equal XLA's own `SAME` forms with stride 2, so weights can be exchanged with any other
implementation.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax.ops import dense

Batch = Float[Array, "batch height width channels_in"]
Kernel = Float[Array, "k k channels_in channels_out"]
Halved = Float[Array, "batch height//2 width//2 channels_out"]
Doubled = Float[Array, "batch height*2 width*2 channels_out"]


def conv(x: Batch, kernel: Kernel) -> Halved:
    """Halves the image: `lax.conv_general_dilated` with stride 2 and `SAME` padding.

    Args:
      x: `[batch, H, W, channels_in]`, H and W even.
      kernel: `[k, k, channels_in, channels_out]`, k >= 2.

    Returns:
      `[batch, H/2, W/2, channels_out]`.
    """
    _check(kernel)
    if x.shape[1] % 2 or x.shape[2] % 2:
        raise ValueError(f"height and width must be even, got {x.shape[1:3]}")
    k = kernel.shape[0]
    # SAME pads k - 2 lines in all; an odd kernel takes one more to fill its last cell.
    before = (k - 2) // 2
    after = k - 2 - before + k % 2
    pad = ((0, 0), (before, after), (before, after), (0, 0))
    cells = space_to_depth(jnp.pad(x, pad))
    return dense.conv(cells, _cell_kernel(kernel))


def conv_transpose(x: Batch, kernel: Kernel) -> Doubled:
    """Doubles the image: `lax.conv_transpose` with stride 2 and `SAME` padding.

    Args:
      x: `[batch, H, W, channels_in]`.
      kernel: `[k, k, channels_in, channels_out]`, k >= 2.

    Returns:
      `[batch, 2H, 2W, channels_out]`.
    """
    _check(kernel)
    k = kernel.shape[0]
    # SAME pads the dilated input by ceil(k/2) in front. Where that is even, cells of
    # output straddle its edge: one cell more is computed and half a one cut off.
    front = (k + 1) // 2
    margin = (front + 1) % 2
    taps = (k + 1) // 2
    before = (front + margin - 1) // 2
    after = margin + taps - 1 - before
    pad = ((0, 0), (before, after), (before, after), (0, 0))
    cells = dense.conv(jnp.pad(x, pad), _phase_kernel(kernel))
    height, width = 2 * x.shape[1], 2 * x.shape[2]
    return depth_to_space(cells)[:, margin : margin + height, margin : margin + width]


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


def _cells(kernel):
    # [n, 2, n, 2, in, out]: tap t = 2 m + r becomes cell m, position r in the cell.
    k = kernel.shape[0]
    n = (k + 1) // 2
    even = jnp.pad(kernel, ((0, 2 * n - k), (0, 2 * n - k), (0, 0), (0, 0)))
    return even.reshape(n, 2, n, 2, *kernel.shape[2:])


def _cell_kernel(kernel):
    n = (kernel.shape[0] + 1) // 2
    cells = _cells(kernel).transpose(0, 2, 1, 3, 4, 5)
    return cells.reshape(n, n, 4 * kernel.shape[2], kernel.shape[3])


def _phase_kernel(kernel):
    # The output pixel at position q of a cell reads the taps with r = 1 - q.
    n = (kernel.shape[0] + 1) // 2
    phases = jnp.flip(_cells(kernel), (1, 3)).transpose(0, 2, 4, 1, 3, 5)
    return phases.reshape(n, n, kernel.shape[2], 4 * kernel.shape[3])


def _check(kernel):
    if kernel.shape[0] != kernel.shape[1] or kernel.shape[0] < 2:
        raise ValueError(f"kernel must be square with k >= 2, got {kernel.shape}")
