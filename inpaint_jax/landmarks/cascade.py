"""dlib's landmark cascade inside the graph (Kazemi and Sullivan 2014; thesis 2.4).

Each level of the cascade reads the image at a few hundred places that move with the
current shape, lets its trees compare pairs of them, and adds what the reached leaves
say to the shape (eq. 1). `predict` gives dlib's own points, and no gradient: the places
are rounded and the comparisons are steps. `predict_soft` reads between pixels and goes
both ways at every split.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from inpaint_jax import pixels, types
from inpaint_jax.landmarks import double_float as df
from inpaint_jax.landmarks import reading, similarity, trees
from inpaint_jax.landmarks.shape_model import ShapeModel

Boxes = Int[Array, "batch 4"]
Landmarks = Float[Array, "batch points 2"]

_MAX_EXTENT = 4095


def predict(model: ShapeModel, image: types.Image, box: Boxes) -> Landmarks:
    """Places the landmarks where dlib places them.

    Args:
      model: the cascade.
      image: `[batch, H, W, 3]`; seen by dlib as bytes.
      box: of each face, (left, top, right, bottom), inclusive, at most 4096 wide.

    Returns:
      Points (x, y) in pixels, before `round_as_dlib`; NaN for an image that is not
      finite and for a box that is empty or does not touch the image.
    """
    grey = pixels.grey_as_bytes(jax.lax.stop_gradient(image))
    corner, extent = _corner_and_extent(box)
    leaves = model.leaves.reshape(-1, 2 * model.points)
    count, splits = model.first.shape[1:]

    def advance(shape, level):
        fitted = similarity.fit_exactly(model.initial, _points(shape))
        place = _feature_places(model, level, shape, fitted)
        scaled = df.product(place, jnp.broadcast_to(extent, place.shape))
        value = reading.at_pixels(grey, df.nearest(scaled) + corner)
        leaf = trees.reached(value, *_tables(model, level))
        tree = level * count + jnp.arange(count, dtype=jnp.int32)
        return trees.add_leaves(
            shape, leaves, leaf + (splits + 1) * tree[:, None]
        ), None

    return _run(advance, model, image, box)


def predict_soft(
    model: ShapeModel, image: types.Image, box: Boxes, *, temperature: float
) -> Landmarks:
    """Places the landmarks by a smooth cascade, which has a gradient.

    Feature pixels are read where they lie, between whole pixels, and a split sends a
    face both ways, left with weight sigmoid(difference / temperature).

    Args:
      model: the cascade.
      image: `[batch, H, W, 3]`.
      box: as in `predict`.
      temperature: in grey levels, above 0; towards 0 the splits become steps.

    Returns:
      As `predict`.
    """
    grey = pixels.grey(image)
    soft = jnp.float32(temperature)
    corner, extent = _corner_and_extent(box)
    leaves = model.leaves.reshape(model.leaves.shape[0], -1, 2 * model.points)

    def advance(shape, level):
        fitted = similarity.fit(model.initial, _points(shape))
        place = _feature_places(model, level, shape, fitted)
        value = reading.between_pixels(grey, extent * place + corner)
        moved = trees.soft_sum(value, _tables(model, level), leaves, level, soft)
        return shape + moved, None

    return _run(advance, model, image, box)


def round_as_dlib(landmarks: Landmarks) -> Landmarks:
    """Rounds points to whole pixels as dlib does, halves upwards."""
    return jnp.floor(landmarks + 0.5)


def _run(advance, model, image, box):
    levels = jnp.arange(model.first.shape[0], dtype=jnp.int32)
    start = jnp.broadcast_to(
        model.initial.reshape(1, -1), (image.shape[0], 2 * model.points)
    )
    shape, _ = jax.lax.scan(advance, start, levels)
    corner, extent = (side.transpose(2, 0, 1) for side in _corner_and_extent(box))
    valid = _is_valid(image, box)[:, None, None]
    return jnp.where(valid, _points(shape) * extent + corner, jnp.nan)


def _points(shape):
    return shape.reshape(shape.shape[0], -1, 2)


def _corner_and_extent(box):
    sides = box.astype(jnp.float32).T
    return sides[None, :2], sides[None, 2:] - sides[None, :2]


def _tables(model, level):
    return model.first[level], model.second[level], model.threshold[level]


def _feature_places(model, level, shape, fitted):
    """Where the feature pixels lie in the unit square of the box, [features, 2, b]."""
    a, b = fitted
    x, y = model.offset[level, :, :1], model.offset[level, :, 1:]
    turned = jnp.stack(
        [
            df.rounded_product(a[None], x) - df.rounded_product(b[None], y),
            df.rounded_product(b[None], x) + df.rounded_product(a[None], y),
        ],
        axis=1,
    )
    return turned + _points(shape).transpose(1, 2, 0)[model.anchor[level]]


def _is_valid(image, box):
    height, width = image.shape[1:3]
    left, top, right, bottom = box.T
    touches = (right >= 0) & (bottom >= 0) & (left < width) & (top < height)
    extent = jnp.stack([right - left, bottom - top])
    sensible = jnp.all((extent > 0) & (extent <= _MAX_EXTENT), axis=0)
    return touches & sensible & jnp.all(jnp.isfinite(image), axis=(1, 2, 3))
