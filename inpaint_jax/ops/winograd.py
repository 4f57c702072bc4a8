"""A 3 x 3 convolution with a quarter of the multiplications (Winograd 1980).

Sixteen neighbouring outputs of one channel take 144 products with the nine taps. Seen
as the product of two polynomials they take 36: both sides are evaluated at six points
in each direction, multiplied there, and the sixteen numbers are interpolated (Lavin and
Gray 2016, F(4 x 4, 3 x 3)). Summed over channels, the 36 products are 36 matrix
products of tiles by channels. They stay apart, as a tuple: XLA runs 36 separate
products near the processor's limit on CPU, and one batched product at half of it.

The points are 0, a, -a, -1/a, 1/a and infinity with a^2 = 1/2. That keeps rounding
errors below 1e-5 of the result. Rotating the kernel by 180 degrees replaces p by 1/p,
which reverses this order: so the gradient with respect to the input, a convolution with
the rotated kernel, uses the kernel's values at the same points.
"""

from collections.abc import Sequence
from typing import SupportsInt

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Batch = Float[Array, "batch height width channels_in"]
Kernel = Float[Array, "3 3 channels_in channels_out"]
AtPoints = tuple[Float[Array, "_ _"], ...]
"""Values of a kernel at the 36 pairs of points, each `[channels_in, channels_out]`."""
Convolved = Float[Array, "batch height width channels_out"]
Tiles = Float[Array, "tiles channels"]
"""One number for each tile and channel: one of 36 such arrays, one for each point."""

_TILE, _POINTS = 4, 6


def _transforms() -> tuple[
    Float[np.ndarray, "6 6"], Float[np.ndarray, "6 3"], Float[np.ndarray, "4 6"]
]:
    """Returns the matrices that evaluate a tile, evaluate a kernel, and interpolate.

    The rows of the kernel's matrix are (1/p, 1, p): replacing p by 1/p reverses them.
    """
    root = 0.5**0.5
    p = np.array([root, -root, -1 / root, 1 / root])

    def powers(count: int) -> Float[np.ndarray, "6 count"]:
        inner = p[:, None] ** np.arange(count)
        return np.concatenate([np.eye(count)[:1], inner, np.eye(count)[-1:]])

    scale = np.concatenate([[1.0], 1 / p, [1.0]])[:, None]
    tile = np.linalg.inv(powers(_POINTS)).T / scale
    tile[np.abs(tile) < 1e-9] = 0.0
    return tile, scale * powers(3), powers(_TILE).T


_OF_TILE, _OF_KERNEL, _TO_OUTPUT = _transforms()


@jax.custom_vjp
def at_points(kernel: Kernel) -> AtPoints:
    """Evaluates a kernel at the 36 points, once for all convolutions with it.

    Args:
      kernel: `[3, 3, channels_in, channels_out]`.
    """
    lines = [[kernel[i, j] for j in range(3)] for i in range(3)]
    return _evaluate(_OF_KERNEL, lines)


def _at_points_backward(_: None, cotangents: AtPoints) -> tuple[Kernel]:
    # JAX's own gradient would pad each of the nine summands to the whole kernel.
    lines = [cotangents[i : i + _POINTS] for i in range(0, _POINTS**2, _POINTS)]
    taps = _evaluate(_OF_KERNEL.T, lines)
    return (jnp.stack(taps).reshape(3, 3, *taps[0].shape),)


at_points.defvjp(lambda kernel: (at_points(kernel), None), _at_points_backward)


@jax.custom_vjp
def conv(x: Batch, kernel: AtPoints) -> Convolved:
    """Correlates each image, padded with zeros, with a 3 x 3 kernel.

    Args:
      x: `[batch, H, W, channels_in]`.
      kernel: from `at_points`.

    Returns:
      `[batch, H, W, channels_out]`.
    """
    batch, height, width, _ = x.shape
    products = [tile @ k for tile, k in zip(_tiles(x), kernel, strict=True)]
    return _interpolate(products, batch, height, width)


def _forward(x: Batch, kernel: AtPoints) -> tuple[Convolved, tuple[Batch, AtPoints]]:
    return conv(x, kernel), (x, kernel)


def _backward(
    residuals: tuple[Batch, AtPoints], dy: Convolved
) -> tuple[Batch, AtPoints]:
    x, kernel = residuals
    dx = conv(dy, tuple(k.T for k in reversed(kernel)))
    pairs = zip(_tiles(x), _outputs_at_points(dy), strict=True)
    return dx, tuple(tile.T @ dproduct for tile, dproduct in pairs)


conv.defvjp(_forward, _backward)


def _tiles(x: Batch) -> list[Tiles]:
    """Evaluates the overlapping 6 x 6 tiles of each image at the 36 points."""
    rows, columns = _tile_counts(*x.shape[1:3])
    after = (rows * _TILE - x.shape[1] + 1, columns * _TILE - x.shape[2] + 1)
    x = jnp.pad(x, ((0, 0), (1, after[0]), (1, after[1]), (0, 0)))
    lines = [_every(x, 1, i, rows) for i in range(_POINTS)]
    found = []
    for row in _OF_TILE:
        line = _combine(row, lines)
        places = [_every(line, 2, j, columns) for j in range(_POINTS)]
        found += [_combine(row, places).reshape(-1, x.shape[3]) for row in _OF_TILE]
    return found


def _interpolate(
    products: Sequence[Tiles], batch: SupportsInt, height: int, width: int
) -> Convolved:
    """Turns the products at the 36 points into output images."""
    rows, columns = _tile_counts(height, width)
    products = [p.reshape(batch, rows, columns, -1) for p in products]
    lines = [
        jnp.stack(
            [_combine(row, products[i : i + _POINTS]) for row in _TO_OUTPUT], axis=3
        )
        for i in range(0, _POINTS**2, _POINTS)
    ]
    y = jnp.stack([_combine(row, lines) for row in _TO_OUTPUT], axis=2)
    y = y.reshape(batch, rows * _TILE, columns * _TILE, -1)
    return y[:, :height, :width]


def _outputs_at_points(dy: Convolved) -> list[Tiles]:
    """Applies the transpose of `_interpolate` to the gradient of the output."""
    batch, height, width, channels = dy.shape
    rows, columns = _tile_counts(height, width)
    after = ((0, 0), (0, rows * _TILE - height), (0, columns * _TILE - width), (0, 0))
    blocks = jnp.pad(dy, after).reshape(batch, rows, _TILE, columns, _TILE, channels)
    found = []
    for row in _TO_OUTPUT.T:
        line = _combine(row, [blocks[:, :, i] for i in range(_TILE)])
        places = [line[:, :, :, j] for j in range(_TILE)]
        found += [_combine(row, places).reshape(-1, channels) for row in _TO_OUTPUT.T]
    return found


def _evaluate(
    matrix: Float[np.ndarray, "points taps"], lines: Sequence[Sequence[jax.Array]]
) -> tuple[jax.Array, ...]:
    """Applies a matrix to the rows and to the columns of a table of arrays."""
    lines = [[_combine(row, line) for row in matrix] for line in lines]
    columns = list(zip(*lines, strict=True))
    return tuple(_combine(row, column) for row in matrix for column in columns)


def _combine(row: np.ndarray, arrays: Sequence[jax.Array]) -> jax.Array:
    """Returns the weighted sum of arrays, leaving out those with weight zero."""
    terms = [
        array if weight == 1.0 else array * weight.astype(array.dtype)
        for weight, array in zip(row, arrays, strict=True)
        if weight
    ]
    return sum(terms[1:], start=terms[0])


def _every(x: jax.Array, axis: int, first: int, count: int) -> jax.Array:
    """Takes `count` lines of an axis: first, first + 4, first + 8, ..."""
    return jax.lax.slice_in_dim(x, first, first + _TILE * (count - 1) + 1, _TILE, axis)


def _tile_counts(height: int, width: int) -> tuple[int, int]:
    return -(-height // _TILE), -(-width // _TILE)
