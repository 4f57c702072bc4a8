"""Fits the similarity between two shapes (eq. 7 of the thesis), as exactly as dlib.

The cascade rotates its feature pixels with the shape and rounds their places. An error
in the last bit of the rotation sometimes moves a pixel, a tree then reaches another
leaf, and the points differ from dlib's, which fits in float64. (If all points lie on
one line, dlib's errors sometimes mirror the shape; here it is only rotated.)
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax.landmarks.cascade import double_float as df

Points = Float[Array, "points 2"]
Targets = Float[Array, "batch points 2"]
Similarity = tuple[Float[Array, " batch"], Float[Array, " batch"]]
"""(a, b) of the matrix [[a, -b], [b, a]], scale and rotation, for each target."""


def fit(source: Points, target: Targets) -> Similarity:
    """Fits scale and rotation of one shape to each target shape, by least squares.

    Args:
      source: the shape, `[points, 2]`.
      target: the target shapes, `[batch, points, 2]`.

    Returns:
      See `Similarity`; the identity if the source is a single point.
    """
    if source.shape[0] == 1:
        ones = jnp.ones(target.shape[0])
        return ones, jnp.zeros_like(ones)
    source = source - jnp.mean(source, axis=0, keepdims=True)
    weight = source / jnp.sum(source**2)
    turned = jnp.stack([-weight[:, 1], weight[:, 0]], axis=1)
    a = jnp.einsum("pi,bpi->b", weight, target)
    b = jnp.einsum("pi,bpi->b", turned, target)
    return a, b


def fit_exactly(source: Points, target: Targets) -> Similarity:
    """Fits as `fit` does, correctly rounded as dlib is; is not differentiable."""
    batch, count = target.shape[:2]
    if count == 1:
        return jnp.ones(batch), jnp.zeros(batch)
    source = jnp.broadcast_to(source[None], target.shape)
    (u, v), (x, y) = (jnp.moveaxis(s, (2, 1), (0, 1)) for s in (source, target))
    # The means are subtracted from the sums, not from the points, so that nothing is
    # rounded early: n sum(p q) - sum(p) sum(q). Arrays are [points, 6, batch].
    p, q = jnp.stack([u, v, u, v, u, -v], 1), jnp.stack([u, v, x, y, y, x], 1)
    mixed = df.total(df.product(p, q))
    sum_p, sum_q = df.total(df.pair(-p)), df.total(df.pair(q))
    number = df.pair(jnp.full((6, batch), count, jnp.float32))
    high, low = df.add(df.times(number, mixed), df.times(sum_p, sum_q))
    size, along, across = (
        df.add((high[i], low[i]), (high[i + 1], low[i + 1])) for i in (0, 2, 4)
    )
    return df.quotient(along, size), df.quotient(across, size)
