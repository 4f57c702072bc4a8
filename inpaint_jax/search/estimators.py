"""Estimates the gradient of a score without one from its values at points around z.

If a score is a step function (eqs. 17 and 18), or is computed outside JAX, its
derivative is zero or missing. Both estimators evaluate the score at pairs of points,
z + r d and z - r d, and average (score(z + r d) - score(z - r d)) / (2 r) * d over
random directions d. They differ in the distribution of d, and so in what they estimate.

The value is score(z); the average replaces the derivative with respect to z, and the
gradient with respect to anything else is zero.

The cost is 1 + 2 * pairs evaluations for each row of z, or one evaluation in a compiled
program that takes no gradient. Batches with as many rows as z are evaluated one after
the other: so data that the score holds for each row (an image, a target) stay with that
row, and a generator needs the memory of one batch; on a CPU one large batch is faster
only below 16 rows.

Each row has its own random key, `fold_in(key, row)`: its gradient depends on its number
and on no other row. Points are not clipped to [-1, 1]: just outside the score is as
good as inside, and clipping one point would make a pair asymmetric. A pair with a score
that is not finite (a face without landmarks) is left out of the average; without any
pair the gradient is zero.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from inpaint_jax import types

Score = Callable[[types.Latent], types.PerExample]
"""z [batch, z_dim] -> [batch]; rows do not interact. It is never differentiated."""


def spsa(
    key: types.PRNGKey, z: types.Latent, *, score: Score, pairs: int, radius: float
) -> types.PerExample:
    """Returns score(z), with a gradient by SPSA (Spall 1992).

    SPSA is simultaneous perturbation stochastic approximation. Each component of d is 1
    or -1 (so 1 / d, by which Spall multiplies, is d), and each component of z moves by
    exactly `radius`. The estimate is unbiased up to second order; for a linear score
    with gradient g the variance of component i is (|g|^2 - g_i^2) / pairs.

    Args:
      key: random key of the directions.
      z: `[batch, z_dim]`.
      score: see `Score`.
      pairs: number of pairs of points, at least 1.
      radius: r, above 0; for a step function, large enough to cross a step sometimes.

    Returns:
      `[batch]`, score(z).

    Raises:
      ValueError: `pairs` or `radius` is too small.
    """
    return _estimated(key, z, score, pairs, radius, jax.random.rademacher)


def evolution_strategies(
    key: types.PRNGKey, z: types.Latent, *, score: Score, pairs: int, radius: float
) -> types.PerExample:
    """Returns score(z), with a gradient by antithetic evolution strategies.

    Directions are normal, so the estimate is unbiased for the gradient of the score
    smoothed by a Gaussian with standard deviation `radius` (Nesterov and Spokoiny 2017,
    section 2; Salimans et al. 2017), which a step function also has. For a linear score
    with gradient g the variance of component i is (|g|^2 + g_i^2) / pairs.

    Args:
      key: random key of the directions.
      z: `[batch, z_dim]`.
      score: see `Score`.
      pairs: number of pairs of points, at least 1.
      radius: r, above 0, the standard deviation of the smoothing.

    Returns:
      `[batch]`, score(z).

    Raises:
      ValueError: `pairs` or `radius` is too small.
    """
    return _estimated(key, z, score, pairs, radius, jax.random.normal)


def _estimated(
    key: types.PRNGKey,
    z: types.Latent,
    score: Score,
    pairs: int,
    radius: float,
    draw: Callable[..., Array],
) -> types.PerExample:
    if pairs < 1:
        raise ValueError(f"pairs must be at least 1, got {pairs}")
    if not radius > 0.0:
        raise ValueError(f"radius must be above 0, got {radius}")

    def of_row(row: Int[Array, ""]) -> Float[Array, "pairs z_dim"]:
        return draw(jax.random.fold_in(key, row), (pairs, z.shape[1]), z.dtype)

    # The score gets no tangent: it may be a host callback, which has no derivative.
    here = jax.lax.stop_gradient(z)
    directions = jax.vmap(of_row, out_axes=1)(jnp.arange(len(z)))
    scores = jax.lax.map(
        lambda d: score(here + radius * d), jnp.concatenate([directions, -directions])
    )
    ahead, behind = jnp.split(scores, 2)
    slope = (ahead - behind) / (2.0 * radius)
    known = jnp.isfinite(slope)
    total = jnp.sum(jnp.where(known, slope, 0.0)[..., None] * directions, axis=0)
    count = jnp.maximum(jnp.sum(known, axis=0, dtype=z.dtype), 1.0)
    return _with_gradient(score(here), total / count[:, None], z)


# The estimate is an argument, and is not computed in the backward pass: a score usually
# uses values of the program around it, which no longer exist then.
@jax.custom_vjp
def _with_gradient(
    value: types.PerExample, gradient: types.Latent, z: types.Latent
) -> types.PerExample:
    del gradient, z
    return value


_with_gradient.defvjp(
    lambda value, gradient, z: (value, gradient),
    lambda gradient, cotangent: (None, None, cotangent[:, None] * gradient),
)
