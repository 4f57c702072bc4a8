"""Types of the arrays and functions that modules exchange, with their shapes.

Images are float32, NHWC, RGB in [-1, 1] unless a name says bytes. A mask is 1 where
the pixel is known and 0 in the hole. z is the latent vector; its prior is uniform on
[-1, 1], or normal.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

Image = Float[Array, "batch height width 3"]
ImageBytes = UInt8[Array, "batch height width 3"] | UInt8[np.ndarray, "..."]
Mask = Float[Array, "batch height width 1"]
ContextWeights = Float[Array, "batch height width 1"]
Latent = Float[Array, "batch z_dim"]
Logits = Float[Array, " batch"]
PerExample = Float[Array, " batch"]
PRNGKey = Key[Array, ""]

Variables = Mapping[str, Any]
"""A network's nested dict of arrays: {"params": ..., "batch_stats": ...}."""

Generate = Callable[[jax.Array], jax.Array]
"""z [batch, z_dim] -> image [batch, H, W, 3] in [-1, 1]; rows do not interact."""

Discriminate = Callable[[jax.Array], jax.Array]
"""image [batch, H, W, 3] -> logit [batch], high for real; rows do not interact."""

Encode = Callable[[jax.Array, jax.Array], jax.Array]
"""(image, mask) -> z [batch, z_dim], where a search starts; rows do not interact."""


def check_images(*, per_pixel: Mapping[str, Any] | None = None, **images: Any) -> None:
    """Checks images, so that nothing is broadcast or overflows by mistake.

    It needs shapes and types only, so it also works while a program is traced.

    Args:
      per_pixel: {name: `[batch, H, W, 1]` or None}: a mask, weights, a region.
      **images: `[batch, H, W, 3]`, all of one shape.

    Raises:
      ValueError: a shape differs from these, or an image is not of floats.
    """
    (name, first), *others = images.items()
    if first.ndim != 4 or first.shape[-1] != 3:
        raise ValueError(f"{name}: is {list(first.shape)}; give [batch, H, W, 3].")
    for other, array in others:
        if array.shape != first.shape:
            raise ValueError(
                f"{other}: is {list(array.shape)}; give {list(first.shape)}, as {name}."
            )
    for other, array in images.items():
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(
                f"{other}: holds {array.dtype}; give floats in [-1, 1], as from "
                "pixels.from_bytes."
            )
    expected = (*first.shape[:3], 1)
    for other, array in (per_pixel or {}).items():
        if array is not None and array.shape != expected:
            raise ValueError(
                f"{other}: is {list(array.shape)}; give {list(expected)} for {name}."
            )


def check_alike(**arrays: Any) -> None:
    """Checks that two arrays have one shape, so that neither is broadcast by mistake.

    Args:
      **arrays: the two.

    Raises:
      ValueError: the shapes differ.
    """
    (name, first), (other, second) = arrays.items()
    if first.shape != second.shape:
        raise ValueError(
            f"{name}: is {list(first.shape)}, but {other} {list(second.shape)}; give "
            "two of one shape."
        )


Watch = Callable[[Iterable[Any], int], Iterable[Any]]
"""(items, their number) -> the same items; reports progress as they are taken."""


def unwatched(items: Iterable[Any], total: int) -> Iterable[Any]:
    """Passes items on without reporting progress: a silent `Watch`."""
    del total
    return items
