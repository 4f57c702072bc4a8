"""Random changes of images, differentiable, so that they may stand before D."""

import jax
import jax.numpy as jnp

from inpaint_jax import types

_MAX_BRIGHTNESS = 0.2
_MAX_SHIFT = 6


def random_flip(key: types.PRNGKey, image: types.Image) -> types.Image:
    """Mirrors each image left to right with probability one half.

    Args:
      key: of the coin tosses.
      image: `[batch, H, W, 3]`.

    Returns:
      Images of the same shape.
    """
    mirror = jax.random.bernoulli(key, shape=(image.shape[0], 1, 1, 1))
    return jnp.where(mirror, image[:, :, ::-1], image)


def random_view(key: types.PRNGKey, image: types.Image) -> types.Image:
    """Changes each image's brightness and position a little, with a gradient.

    The discriminator sees real and generated images only through this ("differentiable
    augmentation", Zhao et al. 2020), so it cannot learn a small training set by heart,
    and the generator is still asked for unchanged faces.

    Args:
      key: of the changes.
      image: `[batch, H, W, 3]` in [-1, 1].

    Returns:
      Images of the same shape: brightness moved by up to 0.2, position by up to 6 px at
      64 px (in proportion at other sizes), with grey moving in from outside.
    """
    batch, height, width, channels = image.shape
    key_brightness, key_shift = jax.random.split(key)
    brightness = jax.random.uniform(
        key_brightness,
        (batch, 1, 1, 1),
        minval=-_MAX_BRIGHTNESS,
        maxval=_MAX_BRIGHTNESS,
    )
    reach = _MAX_SHIFT * height // 64
    corner = jax.random.randint(key_shift, (batch, 2), 0, 2 * reach + 1)
    around = ((0, 0), (reach, reach), (reach, reach), (0, 0))

    def window(padded, start):
        return jax.lax.dynamic_slice(
            padded, (start[0], start[1], 0), (height, width, channels)
        )

    return jax.vmap(window)(jnp.pad(image + brightness, around), corner)
