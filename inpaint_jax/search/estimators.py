"""Gradients for a score that has none: it is asked at random points around z.

Where a score is a step function (eqs. 17 and 18), or is computed outside the graph, its
derivative is zero or missing. Both estimators measure the score at pairs of points,
z + r d and z - r d, and average (score(z + r d) - score(z - r d)) / (2 r) * d over
random directions d. They differ in how d is drawn, and with it in what they estimate.

The value is score(z); the average takes the place of the derivative by z, and a
gradient by anything else that the score depends on is zero.

Cost: the score of 1 + 2 * pairs points for each row of z; in a compiled program that
takes no gradient, of z alone. One batch is scored after the other, each with as many
rows as z has. So whatever the score holds for each row (an image, a target) stays with
it, and a generator needs the memory of one batch; on a CPU one large batch is faster
only below 16 rows.

Each row draws from a stream of its own, `fold_in(key, row)`: its gradient depends on
its number and on no other row. Points are not clipped to the box of z: just outside of
it the score is as good as inside, and a pair with one point clipped would be lopsided.
A pair with a score that is not finite (a face without landmarks) is left out of the
average; without any pair the gradient is zero.
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
    """Scores z, with a gradient by simultaneous perturbation (Spall 1992).

    Directions are corners of the cube, each number of d being 1 or -1 (so 1 / d, which
    Spall multiplies with, is d). In each of its numbers z moves by exactly `radius`.
    The estimate is unbiased up to second order; of a linear score with gradient g its
    variance in number i is (|g|^2 - g_i^2) / pairs.

    Args:
      key: of the directions.
      z: `[batch, z_dim]`.
      score: see `Score`.
      pairs: of points, at least 1.
      radius: r, above 0; of a count, long enough to cross a step now and then.

    Returns:
      `[batch]`, score(z).

    Raises:
      ValueError: there is no pair, or no radius.
    """
    return _estimated(key, z, score, pairs, radius, jax.random.rademacher)


def evolution_strategies(
    key: types.PRNGKey, z: types.Latent, *, score: Score, pairs: int, radius: float
) -> types.PerExample:
    """Scores z, with a gradient by antithetic evolution strategies.

    Directions are normal, so that the estimate is unbiased for the gradient of the
    score smoothed by a Gaussian with standard deviation `radius` (Nesterov and Spokoiny
    2017, section 2; Salimans et al. 2017). That is defined for steps too. Of a linear
    score with gradient g its variance in number i is (|g|^2 + g_i^2) / pairs.

    Args:
      key: of the directions.
      z: `[batch, z_dim]`.
      score: see `Score`.
      pairs: of points, at least 1.
      radius: r, above 0, the width of the smoothing.

    Returns:
      `[batch]`, score(z).

    Raises:
      ValueError: there is no pair, or no radius.
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

    # The score sees no tangent: it may be a call of the host, which has no derivative.
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


# The estimate is an argument, not something that the backward pass works out: a score
# usually holds values of the program around it, which are gone by then.
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
