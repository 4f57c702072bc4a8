"""Grey levels of an image at given places: at whole pixels as dlib, or between them.

Places are [features, 2, batch], (x, y); outside the image there is 0.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Grey = Float[Array, "batch height width"]
Places = Float[Array, "features 2 batch"]
Values = Float[Array, "features batch"]


def at_pixels(grey: Grey, place: Places) -> Values:
    """Reads whole pixels; places are whole numbers."""
    batch, height, width = grey.shape
    x, y = place[:, 0], place[:, 1]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    column = jnp.clip(x, 0, width - 1).astype(jnp.int32)
    row = jnp.clip(y, 0, height - 1).astype(jnp.int32)
    image = jnp.arange(batch, dtype=jnp.int32)[None]
    index = (image * height + row) * width + column
    value = grey.reshape(-1).at[index].get(mode="promise_in_bounds")
    return jnp.where(inside, value, 0.0)


@jax.custom_vjp
def between_pixels(grey: Grey, place: Places) -> Values:
    """Reads between pixels, bilinearly; beyond the last pixel the image fades to 0.

    Has a gradient, in reverse mode, in the image and in the places.
    """
    return _between(grey, place)[0]


def _between(grey, place):
    # Two zeros around the image: it ends in a slope, and further out all is flat.
    padded = jnp.pad(grey, ((0, 0), (2, 2), (2, 2)))
    batch, height, width = padded.shape
    last = jnp.array([width - 4, height - 4], jnp.float32)[None, :, None]
    corner = jnp.clip(jnp.floor(place), -2.0, last)
    x, y = jnp.moveaxis(jnp.clip(place - corner, 0.0, 1.0), 1, 0)
    column, row = jnp.moveaxis(corner.astype(jnp.int32) + 2, 1, 0)
    image = jnp.arange(batch, dtype=jnp.int32)[None]
    index = (image * height + row) * width + column
    steps = jnp.array([0, 1, width, width + 1], jnp.int32)[:, None, None]
    corners = padded.reshape(-1).at[index[None] + steps].get(mode="promise_in_bounds")
    # As a sum over an axis: what is only added up is computed anew for each pair of
    # features that looks at it.
    value = jnp.sum(corners * _shares(x, y), axis=0)
    return value, (grey, index, x, y, corners)


def _shares(x, y):
    return jnp.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y])


def _between_backward(residuals, toward):
    grey, index, x, y, (a, b, c, d) = residuals
    batch, height, width = grey.shape
    # All four corners of a place in one row: the image of rows is then shifted and
    # added, which takes a fourth of the scattered writes.
    rows = jnp.zeros((batch * (height + 4) * (width + 4), 4))
    share = jnp.moveaxis(toward[None] * _shares(x, y), 0, -1)
    rows = rows.at[index.reshape(-1)].add(
        share.reshape(-1, 4), mode="promise_in_bounds"
    )
    rows = rows.reshape(batch, height + 4, width + 4, 4)
    toward_grey = (
        rows[:, 2:-2, 2:-2, 0]
        + rows[:, 2:-2, 1:-3, 1]
        + rows[:, 1:-3, 2:-2, 2]
        + rows[:, 1:-3, 1:-3, 3]
    )
    right = (1 - y) * (b - a) + y * (d - c)
    down = (1 - x) * (c - a) + x * (d - b)
    return toward_grey, jnp.stack([toward * right, toward * down], axis=1)


between_pixels.defvjp(_between, _between_backward)
