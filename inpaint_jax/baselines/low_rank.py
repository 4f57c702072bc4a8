"""Completion by low rank: each colour is a matrix whose unknown entries are filled.

    min ||X||_r  subject to  X = image on the known pixels,

where the truncated nuclear norm ||X||_r is the sum of all singular values but the
`rank` largest (TNNR-ADMM: Hu, Zhang, Ye, Li and He 2013). It is not convex. With A and
B the first `rank` left and right singular vectors of the current X,

    min ||X||_* - tr(A^T X B)

is, and is solved by the alternating direction method of multipliers; then A and B are
taken anew (algorithms 1 and 2 of the paper).

Unknown pixels start at 0, here mid-grey. A row or column without a known pixel stays
there whatever the rank: any other value costs nuclear norm and buys nothing. So a
missing half of a picture comes out grey, and only scattered pixels and blocks are
completed. On intensities from 0, as in the paper, it would come out black.
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
# X, and what `Info` says of it.
_Solved = tuple[_Matrix, _Count, _Count, _Scalar, Bool[Array, ""]]

_BETA = 0.5  # penalty; the published programs' 0.05 for bytes would be 6.4 here
_INNER_TOLERANCE = 1e-4
_MAX_INNER = 200


class Info(NamedTuple):
    """How the solver ended, for each colour.

    Attributes:
      refreshes: `[batch, 3]`, how often A and B were taken.
      iterations: `[batch, 3]`, steps of the inner method in all: one SVD each.
      change: `[batch, 3]`, of X since A and B were last taken, as a share of the known
        pixels' norm.
      converged: `[batch, 3]`, whether that came below the tolerance.
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
    """Returns the completed image of `solve`, which describes the arguments."""
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
    """Fills the hole so that the truncated nuclear norm of each colour is small.

    Args:
      image: `[batch, H, W, 3]` in [-1, 1]; its hole does not matter, NaN included.
      mask: `[batch, H, W, 1]`, 1 = known.
      rank: singular values that cost nothing, 0 to min(H, W); 0 is the nuclear norm.
      tolerance: change of X from one pair A, B to the next to stop at, as a share of
        the norm of the known pixels.
      max_refreshes: pairs A, B to stop after.

    Returns:
      `[batch, H, W, 3]` in [-1, 1], known pixels bit-equal to the image's; and `Info`.
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
    # One after the other: together, each would take as many SVDs as the slowest.
    x, *rest = jax.lax.map(solve_channel, (channels, known))
    filled = jnp.moveaxis(x.reshape(batch, 3, height, width), 1, -1)
    info = Info(*(each.reshape(batch, 3) for each in rest))
    return blending.paste(jnp.clip(filled, -1.0, 1.0), image, mask), info


def _truncated_nuclear_norm(
    image: _Matrix, known: _Known, *, rank: int, tolerance: float, max_refreshes: int
) -> _Solved:
    # Algorithm 1 on one matrix, 0 where it is unknown.
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
    # Algorithm 2: min ||X||_* - tr(A^T W B), X = W, W = image where known. It goes on
    # from the last X and dual Y, so W, which A and B act on, has to be updated first:
    # otherwise X would not move in the first step and be taken for converged.
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
    # Lowers every singular value by the threshold, to 0 at least.
    left, values, right = jnp.linalg.svd(x, full_matrices=False)
    return (left * jnp.maximum(values - threshold, 0.0)[None]) @ right
