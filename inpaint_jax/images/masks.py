"""Masks: which pixels are known (1) and which are the hole (0).

Every maker of masks has one signature, `(key, shape) -> [H, W, 1]`, random or not;
`vmap` over keys gives a batch in which each image has its own mask.
"""

import functools
import re
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from inpaint_jax import types
from inpaint_jax.errors import InputError

Single = Float[Array, "height width 1"]
Shape = tuple[int, int]
_Length = int | Float[Array, ""]
_Joints = Float[Array, "1 1 strokes segments 2"]

RANDOM_RATE = 0.8
_MIN_BLOCK, _MAX_BLOCK = 0.25, 0.5
_STROKES, _SEGMENTS = 4, 6
_TURN = 1.2


def centre(key: types.PRNGKey, shape: Shape) -> Single:
    """Hides the central quarter of the image (Yeh et al. 2017, section 4)."""
    del key
    height, width = shape
    return _without_block(
        shape, height // 4, width // 4, height - height // 2, width - width // 2
    )


def left(key: types.PRNGKey, shape: Shape) -> Single:
    """Hides the left half."""
    del key
    return _without_block(shape, 0, 0, shape[0], shape[1] // 2)


def right(key: types.PRNGKey, shape: Shape) -> Single:
    """Hides the right half."""
    del key
    return _without_block(shape, 0, shape[1] - shape[1] // 2, *shape)


def random_pixels(
    key: types.PRNGKey, shape: Shape, *, rate: float = RANDOM_RATE
) -> Single:
    """Hides each pixel on its own with probability `rate`.

    Args:
      key: random key of the choice.
      shape: (height, width).
      rate: probability in (0, 1); 0.8 in Yeh et al. 2017.
    """
    return jax.random.bernoulli(key, 1.0 - rate, (*shape, 1)).astype(jnp.float32)


def random_block(key: types.PRNGKey, shape: Shape) -> Single:
    """Hides a rectangle at a random place; each side is 1/4 to 1/2 of the image's."""
    height, width = shape
    key_size, key_place = jax.random.split(key)
    sides = jnp.array([height, width], jnp.float32)
    size = jnp.round(
        sides * jax.random.uniform(key_size, (2,), minval=_MIN_BLOCK, maxval=_MAX_BLOCK)
    )
    corner = jnp.floor(jax.random.uniform(key_place, (2,)) * (sides - size + 1.0))
    return _without_block(shape, corner[0], corner[1], size[0], size[1])


def free_form(key: types.PRNGKey, shape: Shape) -> Single:
    """Hides four random brush strokes.

    Each stroke is a chain of straight segments with round ends that turns a little at
    each joint.

    Args:
      key: random key of the strokes.
      shape: (height, width).
    """
    height, width = shape
    side = float(min(height, width))
    keys = jax.random.split(key, 5)
    start = jax.random.uniform(keys[0], (_STROKES, 1, 2), minval=0.15, maxval=0.85)
    heading = jax.random.uniform(keys[1], (_STROKES, 1), maxval=2 * jnp.pi)
    turns = jax.random.uniform(
        keys[2], (_STROKES, _SEGMENTS), minval=-_TURN, maxval=_TURN
    )
    lengths = side * jax.random.uniform(
        keys[3], (_STROKES, _SEGMENTS), minval=0.05, maxval=0.2
    )
    radius = side * jax.random.uniform(keys[4], (_STROKES, 1), minval=0.03, maxval=0.08)
    angle = heading + jnp.cumsum(turns, axis=1)
    moves = lengths[..., None] * jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1)
    begin = start * jnp.array([[[height, width]]], jnp.float32)
    joints = jnp.concatenate([begin, begin + jnp.cumsum(moves, axis=1)], axis=1)
    rows, columns = jnp.mgrid[0:height, 0:width].astype(jnp.float32)
    pixel = jnp.stack([rows, columns], axis=-1)[:, :, None, None]
    distance = _distance_to_segment(
        pixel, joints[None, None, :, :-1], joints[None, None, :, 1:]
    )
    covered = jnp.any(distance <= radius[None, None], axis=(2, 3))
    return 1.0 - covered.astype(jnp.float32)[..., None]


MakeMask = Callable[[types.PRNGKey, Shape], Single]

MASKS: dict[str, MakeMask] = {
    "centre": centre,
    "left": left,
    "right": right,
    "random80": random_pixels,
    "block": random_block,
    "free-form": free_form,
}


NOTHING = "nothing"
"""The name under which `sample` accepts the mask that hides nothing."""


def sample(
    key: types.PRNGKey,
    count: int,
    shape: Shape,
    *,
    families: Sequence[str] = (*MASKS, NOTHING),
) -> types.Mask:
    """Draws masks of several families in equal parts.

    Args:
      key: random key of the masks and of their order. With a fixed order, the same
        places of a batch would always get the same families.
      count: number of masks.
      shape: (height, width).
      families: names of `MASKS`, or `NOTHING`.

    Returns:
      `[count, H, W, 1]`, 1 = known, in random order.
    """
    key_masks, key_order = jax.random.split(key)
    makers = [{**MASKS, NOTHING: _nothing_hidden}[name] for name in families]
    keys = jax.random.split(key_masks, count)
    drawn = [
        jax.vmap(lambda key, make=make: make(key, shape))(keys[i :: len(makers)])
        for i, make in enumerate(makers)
    ]
    return jax.random.permutation(key_order, jnp.concatenate(drawn))


def named(name: str) -> tuple[str, MakeMask]:
    """Finds a mask by name.

    Args:
      name: a key of `MASKS`, or `randomN`, which hides N percent of the pixels;
        `random` is short for `random80`.

    Returns:
      (full name, function that makes the mask).

    Raises:
      InputError: there is no such mask.
    """
    if name == "random":
        name = f"random{100 * RANDOM_RATE:g}"
    if name in MASKS:
        return name, MASKS[name]
    match = re.fullmatch(r"random([1-9]\d?)", name)
    if match:
        return name, functools.partial(random_pixels, rate=int(match[1]) / 100)
    raise InputError(
        f"{name}: no such mask and no such file; give {', '.join(MASKS)} (or "
        "random1 to random99), a picture or a folder of pictures that mark the hole, "
        "alpha, or rect:X,Y,W,H."
    )


def from_image(
    grey: UInt8[np.ndarray, "height width"],
    *,
    name: str,
    shape: Shape,
    hole_is_white: bool = True,
) -> Single:
    """Reads a mask from the grey levels of a picture.

    Args:
      grey: levels 0..255; 128 and above counts as white.
      name: the picture's name in an error message.
      shape: (height, width) that the mask must have.
      hole_is_white: False if black marks the hole.

    Returns:
      The mask, 1 = known.

    Raises:
      InputError: the picture has another size, no hole, or nothing but hole.
    """
    if grey.shape != shape:
        raise InputError(
            f"{name}: {grey.shape[1]} x {grey.shape[0]} pixels; give a mask of "
            f"the picture's own size, or {shape[1]} x {shape[0]} as it is completed."
        )
    hole = (grey >= 128) == hole_is_white
    fraction = float(hole.mean())
    if fraction in (0.0, 1.0):
        raise InputError(
            f"{name}: the hole is {fraction:.0%} of the image; mark part of it "
            f"in {'white' if hole_is_white else 'black'} and leave the rest in "
            f"{'black' if hole_is_white else 'white'}."
        )
    return jnp.asarray(~hole, jnp.float32)[..., None]


def hole_fraction(mask: types.Mask) -> types.PerExample:
    """Returns the fraction of hidden pixels of each mask, `[batch]` in [0, 1]."""
    return 1.0 - jnp.mean(mask, axis=(1, 2, 3))


def _nothing_hidden(key: types.PRNGKey, shape: Shape) -> Single:
    del key
    return jnp.ones((*shape, 1))


def _without_block(
    shape: Shape, top: _Length, left_edge: _Length, height: _Length, width: _Length
) -> Single:
    rows = jnp.arange(shape[0], dtype=jnp.float32)[:, None]
    columns = jnp.arange(shape[1], dtype=jnp.float32)[None]
    inside_rows = (rows >= top) & (rows < top + height)
    inside_columns = (columns >= left_edge) & (columns < left_edge + width)
    return 1.0 - (inside_rows & inside_columns).astype(jnp.float32)[..., None]


def _distance_to_segment(
    point: Float[Array, "height width 1 1 2"], begin: _Joints, end: _Joints
) -> Float[Array, "height width strokes segments"]:
    direction = end - begin
    along = jnp.sum((point - begin) * direction, axis=-1, keepdims=True)
    along = along / jnp.maximum(jnp.sum(direction**2, axis=-1, keepdims=True), 1e-6)
    nearest = begin + jnp.clip(along, 0.0, 1.0) * direction
    return jnp.linalg.norm(point - nearest, axis=-1)
