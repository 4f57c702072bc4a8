"""Reads grey levels of images at given places: at whole pixels, or interpolated.

Places are [features, 2, batch], (x, y) in pixels; outside the image the value is 0.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Grey = Float[Array, "batch height width"]
Places = Float[Array, "features 2 batch"]
Values = Float[Array, "features batch"]
Corners = Float[Array, "cells 4"]
_Cells = Float[Array, "features batch 4"]
# (image, row of each place in `corners`, its x and y in that cell, the cell's values).
_Residuals = tuple[Grey, Int[Array, "features batch"], Values, Values, _Cells]


def at_pixels(grey: Grey, place: Places) -> Values:
    """Reads grey levels at whole pixels, as dlib does; places are whole numbers."""
    batch, height, width = grey.shape
    x, y = place[:, 0], place[:, 1]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    column = jnp.clip(x, 0, width - 1).astype(jnp.int32)
    row = jnp.clip(y, 0, height - 1).astype(jnp.int32)
    image = jnp.arange(batch, dtype=jnp.int32)[None]
    index = (image * height + row) * width + column
    value = grey.reshape(-1).at[index].get(mode="promise_in_bounds")
    return jnp.where(inside, value, 0.0)


def corners(grey: Grey) -> Corners:
    """Gathers the four corner pixels of each cell into one row, for `between_pixels`.

    Args:
      grey: the images, `[batch, H, W]`. They are padded with zeros, so that values
        fall to 0 within a pixel of the border and are constant further out.

    Returns:
      One row for each cell: its own pixel, the pixel on the right, the two below.
    """
    padded = jnp.pad(grey, ((0, 0), (2, 3), (2, 3)))
    height, width = grey.shape[1] + 4, grey.shape[2] + 4
    shifted = [padded[:, i : i + height, j : j + width] for i in (0, 1) for j in (0, 1)]
    return jnp.stack(shifted, axis=-1).reshape(-1, 4)


@jax.custom_vjp
def between_pixels(grey: Grey, corners: Corners, place: Places) -> Values:
    """Interpolates grey levels between pixels, bilinearly.

    Its gradient, in reverse mode, is with respect to the image and the places.

    Args:
      grey: the images, `[batch, H, W]`.
      corners: `corners(grey)`, computed once for many calls.
      place: where to read, `[features, 2, batch]`.
    """
    return _between(grey, corners, place)[0]


def _between(grey: Grey, corners: Corners, place: Places) -> tuple[Values, _Residuals]:
    batch, height, width = grey.shape[0], grey.shape[1] + 4, grey.shape[2] + 4
    last = jnp.array([width - 4, height - 4], jnp.float32)[None, :, None]
    corner = jnp.clip(jnp.floor(place), -2.0, last)
    x, y = jnp.moveaxis(jnp.clip(place - corner, 0.0, 1.0), 1, 0)
    column, row = jnp.moveaxis(corner.astype(jnp.int32) + 2, 1, 0)
    image = jnp.arange(batch, dtype=jnp.int32)[None]
    index = (image * height + row) * width + column
    cell = corners.at[index.reshape(-1)].get(mode="promise_in_bounds")
    cell = cell.reshape(*index.shape, 4)
    # A sum over an axis: the compiler would compute plain additions again for each pair
    # of features that uses them.
    return jnp.sum(cell * _shares(x, y), axis=-1), (grey, index, x, y, cell)


def _shares(x: Values, y: Values) -> _Cells:
    return jnp.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], axis=-1)


def _between_backward(
    residuals: _Residuals, toward: Values
) -> tuple[Grey, None, Places]:
    grey, index, x, y, cell = residuals
    a, b, c, d = (cell[..., i] for i in range(4))
    batch, height, width = grey.shape
    # All four corners of a place are added in one row, and the rows are then shifted
    # and added, which takes a fourth of the scattered writes.
    rows = jnp.zeros((batch * (height + 4) * (width + 4), 4))
    share = (toward[..., None] * _shares(x, y)).reshape(-1, 4)
    rows = rows.at[index.reshape(-1)].add(share, mode="promise_in_bounds")
    rows = rows.reshape(batch, height + 4, width + 4, 4)
    toward_grey = (
        rows[:, 2:-2, 2:-2, 0]
        + rows[:, 2:-2, 1:-3, 1]
        + rows[:, 1:-3, 2:-2, 2]
        + rows[:, 1:-3, 1:-3, 3]
    )
    right = (1 - y) * (b - a) + y * (d - c)
    down = (1 - x) * (c - a) + x * (d - b)
    return toward_grey, None, jnp.stack([toward * right, toward * down], axis=1)


between_pixels.defvjp(_between, _between_backward)
