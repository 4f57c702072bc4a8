"""Parsing of a face: labels each pixel with a part of the face, by the 68 landmarks.

Li et al. (2017) train on pictures in which each pixel was labelled by hand. Here the
landmarks outline the parts: mouth, eyes, and the face from jaw to brows are polygons,
the nose is the polygon from its bridge around its base, and a brow is a band around its
line. Hair and forehead have no label, because no landmark lies above the brows.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from inpaint_jax.landmarks import annotation

CLASSES = ("background", "face", "brows", "nose", "eyes", "mouth")

# Half the thickness of a brow, as a fraction of the distance between the eyes.
_BROW = 0.08

Parsing = Int[Array, "batch height width"]
_Pixels = Float[Array, "height width 2"]
_Places = Bool[Array, "batch height width"]


def parse(landmarks: annotation.Landmarks, *, size: int) -> Parsing:
    """Labels each pixel with the part of the face that it belongs to.

    Args:
      landmarks: `[batch, 68, 2]`, (x, y) in pixels.
      size: height and width of the image.

    Returns:
      `[batch, size, size]`, int32 indices into `CLASSES`; where parts overlap, the
      largest index.
    """
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    pixel = jnp.stack([columns, rows], axis=-1)

    def ordered(*points: int | slice) -> Float[Array, "batch corners 2"]:
        return landmarks[:, np.r_[points]]

    face = ordered(annotation.JAW, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17)
    reach = _BROW * annotation.eye_distance(landmarks)[:, None, None]
    brows = (annotation.RIGHT_BROW, annotation.LEFT_BROW)
    near = [_distance(pixel, landmarks[:, brow]) <= reach for brow in brows]
    eyes = (annotation.RIGHT_EYE, annotation.LEFT_EYE)
    in_eyes = [_inside(pixel, landmarks[:, eye]) for eye in eyes]
    parts = [
        _inside(pixel, face),
        near[0] | near[1],
        _inside(pixel, ordered(27, 35, 34, 33, 32, 31)),
        in_eyes[0] | in_eyes[1],
        _inside(pixel, ordered(slice(48, 60))),
    ]
    found = jnp.zeros(parts[0].shape, jnp.int32)
    for number, part in enumerate(parts, start=1):
        found = jnp.where(part, number, found)
    return found


def _inside(pixel: _Pixels, corners: Float[Array, "batch corners 2"]) -> _Places:
    # Even-odd rule: a line to the right crosses the outline an odd number of times.
    begin, end = (x[:, None, None] for x in (corners, jnp.roll(corners, -1, axis=1)))
    x, y = pixel[None, :, :, None, 0], pixel[None, :, :, None, 1]
    spans = (begin[..., 1] > y) != (end[..., 1] > y)
    rise = jnp.where(spans, end[..., 1] - begin[..., 1], 1.0)
    crossing = begin[..., 0] + (y - begin[..., 1]) / rise * (
        end[..., 0] - begin[..., 0]
    )
    return jnp.sum(spans & (x < crossing), axis=-1) % 2 == 1


def _distance(
    pixel: _Pixels, line: Float[Array, "batch corners 2"]
) -> Float[Array, "batch height width"]:
    # The distance to the nearest segment between neighbouring corners.
    begin, end = (x[:, None, None] for x in (line[:, :-1], line[:, 1:]))
    along, offset = end - begin, pixel[None, :, :, None] - begin
    length = jnp.maximum(jnp.sum(along**2, axis=-1), 1e-6)
    fraction = jnp.clip(jnp.sum(offset * along, axis=-1) / length, 0.0, 1.0)
    distance = jnp.linalg.norm(offset - fraction[..., None] * along, axis=-1)
    return jnp.min(distance, axis=-1)
