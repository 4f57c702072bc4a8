"""Completion from other pictures: blends in the face nearest in the known pixels.

Scene completion does so (Hays and Efros 2007; Whyte, Sivic, Zisserman 2009); here all
faces are aligned, so none has to be moved.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from inpaint_jax import types
from inpaint_jax.images import blending, pixels

Bank = UInt8[np.ndarray, "count height width 3"]
Blend = Callable[[types.Image, types.Image, types.Mask], types.Image]
"""(generated, image, mask) -> image, as in `blending`."""

# The nearest few faces so far: their squared distances, up to a constant, and indices.
_Best = tuple[Float[Array, "batch kept"], Int[Array, "batch kept"]]

_SHORTLIST = 8


class NearestInfo(NamedTuple):
    """The face that was blended into each image.

    Attributes:
      index: `[batch]`, its index in the bank; the first if several are equally near.
      mirrored: `[batch]`, whether its mirror image was used.
      distance: `[batch]`, the root of the mean squared difference over the known pixels
        in [-1, 1]; 0 for a copy.
    """

    index: Int[Array, " batch"]
    mirrored: Bool[Array, " batch"]
    distance: types.PerExample


def complete(
    image: types.Image,
    mask: types.Mask,
    bank: Bank,
    *,
    mirror: bool = True,
    block: int = 1000,
    blend: Blend = blending.poisson,
) -> types.Image:
    """Completes images from a bank of faces: `solve` without its info."""
    return solve(image, mask, bank, mirror=mirror, block=block, blend=blend)[0]


def solve(
    image: types.Image,
    mask: types.Mask,
    bank: Bank,
    *,
    mirror: bool = True,
    block: int = 1000,
    blend: Blend = blending.poisson,
) -> tuple[types.Image, NearestInfo]:
    """Completes each image from the nearest face of a bank, and returns which it is.

    The bank stays on the host and passes block by block through a compiled function, so
    this must not be called inside `jit`.

    Args:
      image: `[batch, H, W, 3]`; any value in the hole is ignored, also NaN.
      mask: `[batch, H, W, 1]`, 1 = known; each image must have known pixels.
      bank: RGB bytes, `[count, H, W, 3]`, at least 1; may be mapped from a file.
      mirror: whether the bank's mirror images are candidates too.
      block: number of faces that are held as floats at a time.
      blend: function that blends the found face into the image, as in `blending`.

    Returns:
      (completed images `[batch, H, W, 3]` with the image's exact known pixels, info).
    """
    known = jnp.where(mask > 0, image, 0.0)
    # Mirroring the face or mirroring the image gives the same distance.
    if mirror:
        known, visible = _and_mirrored(known), _and_mirrored(mask)
    else:
        visible = mask
    shortlist = _shortlist(known, visible, bank, block)
    distances = _distances(known, visible, bank[shortlist])
    index, mirrored, distance = _first_least(shortlist, distances, len(image))
    found = pixels.from_bytes(bank[index])
    found = jnp.where(mirrored[:, None, None, None], found[:, :, ::-1], found)
    info = NearestInfo(jnp.asarray(index), jnp.asarray(mirrored), jnp.asarray(distance))
    return jax.jit(blend)(found, image, mask), info


def _shortlist(
    known: types.Image, mask: types.Mask, bank: Bank, block: int
) -> Int[np.ndarray, "batch kept"]:
    # The nearest few faces, up to rounding in float32, in the bank's order.
    rows = len(known)
    best = (
        jnp.full((rows, _SHORTLIST), jnp.inf),
        jnp.zeros((rows, _SHORTLIST), jnp.int32),
    )
    for start in range(0, len(bank), block):
        best = _merged(
            best, known, mask, jnp.asarray(bank[start : start + block]), start
        )
    return np.sort(np.asarray(best[1]), axis=1)


@jax.jit
def _merged(
    best: _Best,
    known: types.Image,
    mask: types.Mask,
    faces: UInt8[Array, "count height width 3"],
    start: Int[Array, ""],
) -> _Best:
    # sum m (x - b)^2 without sum m x^2, which is the same for all faces b.
    faces = pixels.from_bytes(faces)
    squares = jnp.sum(faces**2, axis=-1)
    product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    score = product("rhw,bhw->rb", mask[..., 0], squares)
    score = score - 2.0 * product("rhwc,bhwc->rb", known, faces)
    place = jnp.broadcast_to(start + jnp.arange(len(faces))[None], score.shape)
    score = jnp.concatenate([best[0], score], axis=1)
    place = jnp.concatenate([best[1], place], axis=1)
    negative, kept = jax.lax.top_k(-score, _SHORTLIST)
    return -negative, jnp.take_along_axis(place, kept, axis=1)


@jax.jit
def _distances(
    known: types.Image,
    mask: types.Mask,
    faces: UInt8[Array, "batch kept height width 3"],
) -> Float[Array, "batch kept"]:
    # From the differences: the sums above lose small distances.
    def of_row(
        row: tuple[
            Float[Array, "height width 3"],
            Float[Array, "height width 1"],
            UInt8[Array, "kept height width 3"],
        ],
    ) -> Float[Array, " kept"]:
        known, mask, faces = row
        squares = mask[None] * (known[None] - pixels.from_bytes(faces)) ** 2
        count = known.shape[-1] * jnp.sum(mask)
        return jnp.sqrt(jnp.sum(squares, axis=(1, 2, 3)) / count)

    return jax.lax.map(of_row, (known, mask, faces))


def _first_least(
    shortlist: Int[np.ndarray, "rows kept"],
    distances: Float[Array, "rows kept"],
    batch: int,
) -> tuple[
    Int[np.ndarray, " batch"], Bool[np.ndarray, " batch"], Float[np.ndarray, " batch"]
]:
    # Rows are the images, followed by the mirrored images if there are any.
    kept = shortlist.shape[1]

    def by_image(rows: np.ndarray | jax.Array) -> np.ndarray:
        return (
            np.asarray(rows).reshape(-1, batch, kept).swapaxes(0, 1).reshape(batch, -1)
        )

    index, distance = by_image(shortlist), by_image(distances)
    least = np.argmin(distance, axis=1)
    chosen = np.arange(batch), least
    return index[chosen], least >= kept, distance[chosen]


def _and_mirrored(
    image: Float[Array, "batch height width channels"],
) -> Float[Array, "2*batch height width channels"]:
    return jnp.concatenate([image, image[:, :, ::-1]])
