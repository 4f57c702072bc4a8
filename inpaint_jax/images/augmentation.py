"""Differentiable random augmentation of the discriminator's input.

The discriminator sees real and generated images only through `random_view`
("differentiable augmentation", Zhao et al. 2020), so it cannot memorise a small
training set, and the generator still learns unchanged faces.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from inpaint_jax import types

_MAX_BRIGHTNESS = 0.2
_MAX_SHIFT = 6


def random_flip(key: types.PRNGKey, image: types.Image) -> types.Image:
    """Mirrors each image left to right with probability one half.

    Args:
      key: decides which images are mirrored.
      image: `[batch, H, W, 3]`.

    Returns:
      Images of the same shape.
    """
    mirror = jax.random.bernoulli(key, shape=(image.shape[0], 1, 1, 1))
    return jnp.where(mirror, image[:, :, ::-1], image)


def brightness(key: types.PRNGKey, image: types.Image) -> types.Image:
    """Adds one random number in [-0.2, 0.2] to each image; the sum is not clipped."""
    return image + _uniform(key, image, _MAX_BRIGHTNESS)


def colour(key: types.PRNGKey, image: types.Image) -> types.Image:
    """Changes brightness, saturation and contrast (Zhao et al. 2020, "color").

    Brightness moves by up to 0.5. Each pixel's difference from its own grey value is
    scaled by 0 to 2, each pixel's difference from the image's mean by 0.5 to 1.5.

    Args:
      key: random key of the changes.
      image: `[batch, H, W, 3]` in [-1, 1].

    Returns:
      Images of the same shape, not clipped.
    """
    keys = jax.random.split(key, 3)
    image = image + _uniform(keys[0], image, 0.5)
    grey = jnp.mean(image, axis=3, keepdims=True)
    image = grey + (1.0 + _uniform(keys[1], image, 1.0)) * (image - grey)
    mean = jnp.mean(image, axis=(1, 2, 3), keepdims=True)
    return mean + (1.0 + _uniform(keys[2], image, 0.5)) * (image - mean)


def translation(key: types.PRNGKey, image: types.Image) -> types.Image:
    """Shifts each image by up to 6 px at 64 px, and fills with grey from outside.

    Args:
      key: random key of the shifts.
      image: `[batch, H, W, 3]`; the largest shift grows in proportion to H.

    Returns:
      Images of the same shape.
    """
    batch, height, width, channels = image.shape
    reach = _MAX_SHIFT * height // 64
    corner = jax.random.randint(key, (batch, 2), 0, 2 * reach + 1)
    around = ((0, 0), (reach, reach), (reach, reach), (0, 0))

    def window(
        padded: Float[Array, "rows columns channels"], start: Int[Array, "2"]
    ) -> Float[Array, "height width channels"]:
        return jax.lax.dynamic_slice(
            padded, (start[0], start[1], 0), (height, width, channels)
        )

    return jax.vmap(window)(jnp.pad(image, around), corner)


def cutout(key: types.PRNGKey, image: types.Image) -> types.Image:
    """Covers a square of half the image's side, at a random place, with grey.

    Args:
      key: random key of the places; part of a square may lie outside the image.
      image: `[batch, H, W, 3]`.

    Returns:
      Images of the same shape.
    """
    batch, height, width, _ = image.shape
    centre = jax.random.uniform(key, (2, batch, 1))
    # Coordinates of the centres of pixels.
    rows, columns = (jnp.arange(0.5, size)[None] for size in (height, width))
    near_rows = jnp.abs(rows - centre[0] * height) < height / 4
    near_columns = jnp.abs(columns - centre[1] * width) < width / 4
    covered = near_rows[:, :, None, None] & near_columns[:, None, :, None]
    return jnp.where(covered, 0.0, image)


Change = Callable[[types.PRNGKey, types.Image], types.Image]

CHANGES: dict[str, Change] = {
    "brightness": brightness,
    "colour": colour,
    "translation": translation,
    "cutout": cutout,
}


def random_view(
    key: types.PRNGKey,
    image: types.Image,
    *,
    probability: Float[Array, ""] | float = 1.0,
    changes: Sequence[str] = ("brightness", "translation"),
) -> types.Image:
    """Applies each of some changes to each image with a given probability.

    Args:
      key: random key of the changes.
      image: `[batch, H, W, 3]` in [-1, 1].
      probability: of each change of each image, in [0, 1].
      changes: names of `CHANGES`, applied in this order.

    Returns:
      Images of the same shape.
    """
    for number, name in enumerate(changes):
        key_coin, key_change = jax.random.split(jax.random.fold_in(key, number))
        changed = CHANGES[name](key_change, image)
        made = jax.random.uniform(key_coin, (image.shape[0], 1, 1, 1)) < probability
        image = jnp.where(made, changed, image)
    return image


def _uniform(
    key: types.PRNGKey, image: types.Image, reach: float
) -> Float[Array, "batch 1 1 1"]:
    """Draws one number in [-reach, reach] for each image."""
    shape = (image.shape[0], 1, 1, 1)
    return jax.random.uniform(key, shape, minval=-reach, maxval=reach)
