"""Completion by total variation (TV): fills the hole with the least TV.

    min TV(x)  subject to  x = image on the known pixels

(Afonso, Bioucas-Dias and Figueiredo 2011, without their blur and noise). TV is
isotropic and, as is usual in colour, vectorial: the sum over pixels of the length of
all six differences to the next pixel down and across (Bresson and Chan 2008).

The solver is the primal-dual algorithm of Chambolle and Pock (2011, algorithm 1): the
dual variable p, of length at most 1 at each pixel, holds the directions of the edges,
TV(x) = max <grad x, p>. It stops on the gap between the primal and the dual objective,
which bounds how far TV is from its minimum. The minimiser itself need not be unique: if
half of a picture is missing, several fillings may be equally good.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from inpaint_jax import types

_Values = Float[Array, "3 height width"]
_Edges = Float[Array, "2 3 height width"]
# (x, p, iterations, gap)
_Carry = tuple[_Values, _Edges, Int[Array, ""], Float[Array, ""]]

_SQUARED_NORM = 8.0  # a bound on ||grad||^2: Chambolle 2004, section 3
_PRIMAL_STEP = 0.2  # 0.1 to 0.5 take about as many steps, for faces of 64 pixels
_BLOCK = 25  # steps between two computations of the gap, which cost about a step


class Info(NamedTuple):
    """Diagnostics of the solver.

    Attributes:
      iterations: `[batch]`, steps taken.
      gap: `[batch]`, duality gap over TV: the largest fraction by which TV could fall.
      converged: `[batch]`, whether the gap is at most the tolerance.
    """

    iterations: Int[Array, " batch"]
    gap: types.PerExample
    converged: Bool[Array, " batch"]


def complete(
    image: types.Image,
    mask: types.Mask,
    *,
    tolerance: float = 1e-3,
    max_iterations: int = 10_000,
) -> types.Image:
    """Completes images: `solve` without its `Info`, with the same arguments."""
    completed, _ = solve(
        image, mask, tolerance=tolerance, max_iterations=max_iterations
    )
    return completed


def solve(
    image: types.Image,
    mask: types.Mask,
    *,
    tolerance: float = 1e-3,
    max_iterations: int = 10_000,
) -> tuple[types.Image, Info]:
    """Fills the hole by minimising the total variation of the image.

    Args:
      image: `[batch, H, W, 3]` in [-1, 1]; any value in the hole is ignored, also NaN.
      mask: `[batch, H, W, 1]`, 1 = known; each image must have known pixels.
      tolerance: stop when the duality gap, relative to TV, is at most this.
      max_iterations: stop after this many steps, rounded up to a multiple of 25.

    Returns:
      (completed images `[batch, H, W, 3]` in [-1, 1] with the image's exact known
      pixels, `Info`).
    """

    def solve_one(
        image: Float[Array, "height width 3"], known: Bool[Array, "height width 1"]
    ) -> tuple[Float[Array, "height width 3"], Info]:
        values, *rest = _primal_dual(
            jnp.moveaxis(image, -1, 0),
            known[None, :, :, 0],
            tolerance=tolerance,
            max_iterations=max_iterations,
            tau=_PRIMAL_STEP,
        )
        return jnp.moveaxis(values, 0, -1), Info(*rest)

    return jax.vmap(solve_one)(image, mask > 0)


def _primal_dual(
    image: _Values,
    known: Bool[Array, "1 height width"],
    *,
    tolerance: float,
    max_iterations: int,
    tau: float,
) -> tuple[_Values, Int[Array, ""], Float[Array, ""], Bool[Array, ""]]:
    # Chambolle and Pock's algorithm 1 on one image.
    sigma = 1.0 / (_SQUARED_NORM * tau)
    # Clipping values to the range of the known pixels increases no difference, so a
    # minimiser lies in that range, and the dual objective is finite for every p.
    low = jnp.min(jnp.where(known, image, jnp.inf), axis=(1, 2), keepdims=True)
    high = jnp.max(jnp.where(known, image, -jnp.inf), axis=(1, 2), keepdims=True)
    mean = jnp.mean(image, axis=(1, 2), keepdims=True, where=known)

    def feasible(x: _Values) -> _Values:
        return jnp.where(known, image, jnp.clip(x, low, high))

    def step(
        _: Int[Array, ""], state: tuple[_Values, _Edges]
    ) -> tuple[_Values, _Edges]:
        x, p = state
        x_next = feasible(x - tau * _gradient_adjoint(p))
        p = _into_unit_balls(p + sigma * _gradient(2.0 * x_next - x))
        return x_next, p

    def relative_gap(x: _Values, p: _Edges) -> Float[Array, ""]:
        primal = jnp.sum(_length(_gradient(x)))
        slope = _gradient_adjoint(p)
        # The least value of <x, slope> over all feasible x.
        lowest = jnp.where(known, image, jnp.where(slope > 0, low, high))
        gap = primal - jnp.sum(lowest * slope)
        return gap / jnp.maximum(primal, jnp.finfo(primal.dtype).tiny)

    def unfinished(carry: _Carry) -> Bool[Array, ""]:
        _, _, iterations, gap = carry
        return (gap > tolerance) & (iterations < max_iterations)

    def block(carry: _Carry) -> _Carry:
        x, p, iterations, _ = carry
        x, p = jax.lax.fori_loop(0, _BLOCK, step, (x, p))
        return x, p, iterations + _BLOCK, relative_gap(x, p)

    x = jnp.where(known, image, mean)
    p, infinite = jnp.zeros((2, *x.shape), x.dtype), jnp.asarray(jnp.inf, x.dtype)
    start = (x, p, jnp.zeros((), jnp.int32), infinite)
    x, _, iterations, gap = jax.lax.while_loop(unfinished, block, start)
    return x, iterations, gap, gap <= tolerance


def _gradient(x: _Values) -> _Edges:
    # Differences to the next pixel down and across, 0 at the far edge.
    down = jnp.pad(x[:, 1:] - x[:, :-1], ((0, 0), (0, 1), (0, 0)))
    across = jnp.pad(x[:, :, 1:] - x[:, :, :-1], ((0, 0), (0, 0), (0, 1)))
    return jnp.stack([down, across])


def _gradient_adjoint(p: _Edges) -> _Values:
    # <grad x, p> = <x, adjoint p>; the adjoint is minus the divergence.
    down, across = p[0, :, :-1], p[1, :, :, :-1]
    rows = ((0, 0), (1, 0), (0, 0)), ((0, 0), (0, 1), (0, 0))
    columns = ((0, 0), (0, 0), (1, 0)), ((0, 0), (0, 0), (0, 1))
    return (
        jnp.pad(down, rows[0])
        - jnp.pad(down, rows[1])
        + jnp.pad(across, columns[0])
        - jnp.pad(across, columns[1])
    )


def _length(p: _Edges) -> Float[Array, "1 1 height width"]:
    # The Euclidean length over both directions and the three colours.
    return jnp.sqrt(jnp.sum(p**2, axis=(0, 1), keepdims=True))


def _into_unit_balls(p: _Edges) -> _Edges:
    return p / jnp.maximum(1.0, _length(p))
