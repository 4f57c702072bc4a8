"""Completion by low rank: fills each colour channel as a matrix of low rank.

    min ||X||_r  subject to  X = image on the known pixels,

where the truncated nuclear norm ||X||_r is the sum of all singular values but the
`rank` largest (TNNR-ADMM: Hu, Zhang, Ye, Li and He 2013). This is not convex. With A
and B the first `rank` left and right singular vectors of the current X,

    min ||X||_* - tr(A^T X B)

is convex. The alternating direction method of multipliers solves it; then A and B are
computed again from the new X (algorithms 1 and 2 of the paper).

Unknown pixels start at 0, here mid-grey. A row or column without a known pixel keeps
this value at any rank, because any other value only raises the nuclear norm. So a
missing half of a picture comes out grey, and only scattered pixels and blocks are
completed. With intensities from 0, as in the paper, it would come out black.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from inpaint_jax import types
from inpaint_jax.images import blending

_Matrix = Float[Array, "height width"]
_Known = Bool[Array, "height width"]
_Count = Int[Array, ""]
_Scalar = Float[Array, ""]
# (X, Y, refreshes, iterations, change) and (X, Y, steps, change), see `Info`.
_Outer = tuple[_Matrix, _Matrix, _Count, _Count, _Scalar]
_Inner = tuple[_Matrix, _Matrix, _Count, _Scalar]
# X, and the fields of `Info`.
_Solved = tuple[_Matrix, _Count, _Count, _Scalar, Bool[Array, ""]]

_BETA = 0.5  # penalty; the published programs' 0.05 for bytes would be 6.4 here
_INNER_TOLERANCE = 1e-4
_MAX_INNER = 200


class Info(NamedTuple):
    """Diagnostics of the solver, for each colour channel.

    Attributes:
      refreshes: `[batch, 3]`, how many times A and B were computed.
      iterations: `[batch, 3]`, total steps of the inner solver, one SVD each.
      change: `[batch, 3]`, change of X since A and B were last computed, relative to
        the norm of the known pixels.
      converged: `[batch, 3]`, whether that change is at most the tolerance.
    """

    refreshes: Int[Array, "batch 3"]
    iterations: Int[Array, "batch 3"]
    change: Float[Array, "batch 3"]
    converged: Bool[Array, "batch 3"]


def complete(
    image: types.Image,
    mask: types.Mask,
    *,
    rank: int = 1,
    tolerance: float = 1e-3,
    max_refreshes: int = 20,
) -> types.Image:
    """Completes images: `solve` without its `Info`, with the same arguments."""
    completed, _ = solve(
        image, mask, rank=rank, tolerance=tolerance, max_refreshes=max_refreshes
    )
    return completed


def solve(
    image: types.Image,
    mask: types.Mask,
    *,
    rank: int = 1,
    tolerance: float = 1e-3,
    max_refreshes: int = 20,
) -> tuple[types.Image, Info]:
    """Fills the hole by minimising the truncated nuclear norm of each colour channel.

    Args:
      image: `[batch, H, W, 3]` in [-1, 1]; any value in the hole is ignored, also NaN.
      mask: `[batch, H, W, 1]`, 1 = known.
      rank: number of singular values that cost nothing, 0 to min(H, W); 0 is the
        nuclear norm.
      tolerance: stop when X changes by at most this, relative to the norm of the known
        pixels, between two updates of A and B.
      max_refreshes: stop after this many updates of A and B.

    Returns:
      (completed images `[batch, H, W, 3]` in [-1, 1] with the image's exact known
      pixels, `Info`).
    """
    if not 0 <= rank <= min(image.shape[1:3]):
        raise ValueError(f"rank must be from 0 to min(H, W), got {rank}")

    def solve_channel(inputs: tuple[_Matrix, _Known]) -> _Solved:
        channel, known = inputs
        return _truncated_nuclear_norm(
            jnp.where(known, channel, 0.0),
            known,
            rank=rank,
            tolerance=tolerance,
            max_refreshes=max_refreshes,
        )

    batch, height, width, _ = image.shape
    channels = jnp.moveaxis(image, -1, 1).reshape(-1, height, width)
    known = jnp.repeat(mask[..., 0] > 0, 3, axis=0)
    # One channel after the other: in a batch, each would take as many SVDs as the
    # slowest.
    x, *rest = jax.lax.map(solve_channel, (channels, known))
    filled = jnp.moveaxis(x.reshape(batch, 3, height, width), 1, -1)
    info = Info(*(each.reshape(batch, 3) for each in rest))
    return blending.paste(jnp.clip(filled, -1.0, 1.0), image, mask), info


def _truncated_nuclear_norm(
    image: _Matrix, known: _Known, *, rank: int, tolerance: float, max_refreshes: int
) -> _Solved:
    # Algorithm 1 on one matrix, whose unknown entries are 0.
    scale = jnp.maximum(jnp.linalg.norm(image), jnp.finfo(image.dtype).tiny)

    def unfinished(carry: _Outer) -> Bool[Array, ""]:
        *_, refreshes, _, change = carry
        return (change > tolerance) & (refreshes < max_refreshes)

    def refresh(carry: _Outer) -> _Outer:
        x, y, refreshes, iterations, _ = carry
        left, _, right = jnp.linalg.svd(x, full_matrices=False)
        ab = left[:, :rank] @ right[:rank]
        x_next, y, steps = _admm(x, y, ab, image, known, _INNER_TOLERANCE * scale)
        change = jnp.linalg.norm(x_next - x) / scale
        return x_next, y, refreshes + 1, iterations + steps, change

    infinite = jnp.asarray(jnp.inf, image.dtype)
    none = jnp.zeros((), jnp.int32)
    start = (image, jnp.zeros_like(image), none, none, infinite)
    end = jax.lax.while_loop(unfinished, refresh, start)
    x, _, refreshes, iterations, change = end
    return x, refreshes, iterations, change, change <= tolerance


def _admm(
    x: _Matrix,
    y: _Matrix,
    ab: _Matrix,
    image: _Matrix,
    known: _Known,
    tolerance: _Scalar,
) -> tuple[_Matrix, _Matrix, _Count]:
    # Algorithm 2: min ||X||_* - tr(A^T W B), X = W, W = image where known. It starts
    # from the last X and dual Y, so W, on which A and B act, must be updated first:
    # otherwise X would not move in the first step and would count as converged.
    def unfinished(carry: _Inner) -> Bool[Array, ""]:
        _, _, steps, change = carry
        return (change > tolerance) & (steps < _MAX_INNER)

    def step(carry: _Inner) -> _Inner:
        x, y, steps, _ = carry
        w = jnp.where(known, image, x + (ab + y) / _BETA)
        y = y + _BETA * (x - w)
        x_next = _shrink(w - y / _BETA, 1.0 / _BETA)
        return x_next, y, steps + 1, jnp.linalg.norm(x_next - x)

    start = (x, y, jnp.zeros((), jnp.int32), jnp.asarray(jnp.inf, x.dtype))
    x, y, steps, _ = jax.lax.while_loop(unfinished, step, start)
    return x, y, steps


def _shrink(x: _Matrix, threshold: float) -> _Matrix:
    # Lowers every singular value by the threshold, but not below 0.
    left, values, right = jnp.linalg.svd(x, full_matrices=False)
    return (left * jnp.maximum(values - threshold, 0.0)[None]) @ right
