"""Converts between bytes and floats: the only module that uses 127.5 and 255."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8


def from_bytes(
    image: UInt8[jax.Array, "..."] | UInt8[np.ndarray, "..."],
) -> Float[jax.Array, "..."]:
    """Maps bytes 0..255 to float32 in [-1, 1].

    Args:
      image: uint8 of any shape.

    Returns:
      float32 of the same shape; 0 becomes -1 and 255 becomes 1.
    """
    return jnp.asarray(image).astype(jnp.float32) / 127.5 - 1.0


def to_bytes(image: Float[jax.Array, "..."]) -> UInt8[jax.Array, "..."]:
    """Maps [-1, 1] to bytes, rounding to the nearest; the inverse of `from_bytes`.

    Args:
      image: float of any shape. Values outside [-1, 1] are clipped and NaN becomes mid
        grey, because a cast of either would be undefined.

    Returns:
      uint8 of the same shape.
    """
    scaled = jnp.round((jnp.nan_to_num(image, nan=0.0) + 1.0) * 127.5)
    return jnp.clip(scaled, 0.0, 255.0).astype(jnp.uint8)


def rounded(levels: Float[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Rounds levels that were computed from bytes, 0 to 255, and clips them."""
    return np.clip(np.rint(levels), 0.0, 255.0).astype(np.uint8)


def grey(
    image: Float[jax.Array, "*batch height width 3"],
) -> Float[jax.Array, "*batch height width"]:
    """Returns the intensity, 0 to 255, not rounded, so that it has a gradient."""
    return (jnp.mean(image, axis=-1) + 1.0) * 127.5


def grey_as_bytes(
    image: Float[jax.Array, "*batch height width 3"],
) -> Float[jax.Array, "*batch height width"]:
    """Returns an image's grey levels as dlib computes them: whole numbers, 0 to 255."""
    total = jnp.sum(to_bytes(image).astype(jnp.int32), axis=-1)
    return (total // 3).astype(jnp.float32)


def grey_levels(
    image: UInt8[np.ndarray, "*batch height width 3"],
) -> UInt8[np.ndarray, "*batch height width"]:
    """Returns dlib's grey levels of bytes: the integer part of (r + g + b) / 3."""
    return (image.astype(np.uint16).sum(axis=-1) // 3).astype(np.uint8)
