"""Blends the generated hole into the known image."""

import jax
import jax.numpy as jnp
from jax.scipy.sparse import linalg
from jaxtyping import Array, Float

from inpaint_jax import types

Channel = Float[Array, "height width"]
"""One channel of one image."""

_TOLERANCE = 1e-5
_MAX_ITERATIONS = 1000


def paste(generated: types.Image, image: types.Image, mask: types.Mask) -> types.Image:
    """Takes known pixels from the image and the hole from the generated image.

    Args:
      generated: `[batch, H, W, 3]`.
      image: `[batch, H, W, 3]`; any value in the hole is ignored, also NaN.
      mask: `[batch, H, W, 1]`, 1 = known.

    Returns:
      `[batch, H, W, 3]`; known pixels are bit-equal to the image's.
    """
    types.check_images(generated=generated, image=image, per_pixel={"mask": mask})
    return jnp.where(mask > 0, image, generated)


def mean_colour(image: types.Image, mask: types.Mask) -> types.Image:
    """Returns images of one colour each: the mean of the image's known pixels.

    Args:
      image: `[batch, H, W, 3]`; any value in the hole is ignored, also NaN.
      mask: `[batch, H, W, 1]`, 1 = known; each image must have known pixels.
    """
    types.check_images(image=image, per_pixel={"mask": mask})
    known = jnp.where(mask > 0, image, 0.0)
    count = jnp.sum(mask, axis=(1, 2), keepdims=True)
    mean = jnp.sum(known, axis=(1, 2), keepdims=True) / count
    return jnp.broadcast_to(mean, image.shape)


def poisson(
    generated: types.Image, image: types.Image, mask: types.Mask
) -> types.Image:
    """Fits the generated hole to its surroundings by Poisson blending.

    Minimises ||grad x - grad generated||^2 over the hole with x = image on the known
    pixels (Perez et al. 2003; eq. 6, Yeh et al. 2017). The unknown is the correction
    x - generated: it is harmonic in the hole and known around it. A pixel at the edge
    of the picture has fewer neighbours and no boundary condition, so a hole may touch
    the edge.

    Args:
      generated: `[batch, H, W, 3]`.
      image: `[batch, H, W, 3]`.
      mask: `[batch, H, W, 1]`, 1 = known; each image must have known pixels.

    Returns:
      `[batch, H, W, 3]` in [-1, 1]; known pixels are bit-equal to the image's.
    """
    types.check_images(generated=generated, image=image, per_pixel={"mask": mask})
    correction = jnp.where(mask > 0, image - generated, 0.0)
    hole = jnp.broadcast_to(1.0 - mask, correction.shape)
    solve = jax.vmap(jax.vmap(_harmonic, in_axes=-1, out_axes=-1))
    filled = jnp.clip(generated + solve(correction, hole), -1.0, 1.0)
    return paste(filled, image, mask)


def _harmonic(boundary: Channel, hole: Channel) -> Channel:
    # L u = 0 in the hole, u = boundary elsewhere.
    # With u = 0 outside, the boundary's part moves to the right-hand side.
    solution, _ = linalg.cg(
        lambda u: hole * _laplacian(hole * u),
        -hole * _laplacian(boundary),
        tol=_TOLERANCE,
        maxiter=_MAX_ITERATIONS,
    )
    return hole * solution


def _laplacian(u: Channel) -> Channel:
    # Sum over the neighbours inside the picture of u - u_neighbour.
    rows, columns = jnp.diff(u, axis=0), jnp.diff(u, axis=1)
    down = jnp.pad(rows, ((1, 0), (0, 0))) - jnp.pad(rows, ((0, 1), (0, 0)))
    across = jnp.pad(columns, ((0, 0), (1, 0))) - jnp.pad(columns, ((0, 0), (0, 1)))
    return down + across
