"""dlib's landmark cascade in JAX (Kazemi and Sullivan 2014; thesis section 2.4).

Each level of the cascade reads the image at a few hundred places that move with the
current shape, its trees compare pairs of these values, and the values of the leaves
that are reached are added to the shape (eq. 1). `predict` gives dlib's own points and
no gradient: places are rounded and comparisons are steps. `predict_soft` interpolates
between pixels and takes both branches of every split, with weights.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from inpaint_jax import types
from inpaint_jax.images import pixels
from inpaint_jax.landmarks.cascade import double_float as df
from inpaint_jax.landmarks.cascade import sampling, similarity, trees
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel

Boxes = Int[Array, "batch 4"]
Landmarks = Float[Array, "batch points 2"]
_BatchLast = Float[Array, "points 2 batch"]
_Level = Int[Array, ""]

_MAX_EXTENT = 4095


def predict(model: ShapeModel, image: types.Image, box: Boxes) -> Landmarks:
    """Predicts the same landmarks as dlib; has no gradient.

    There is one exception: for a pixel or point at a half to the last bit, dlib's
    float64 errors decide how it is rounded. Here halves are rounded up.

    Args:
      model: the cascade.
      image: `[batch, H, W, 3]` in [-1, 1]; converted to bytes first, as for dlib.
      box: of each face, (left, top, right, bottom), inclusive, in pixels, `[batch, 4]`.

    Returns:
      Points (x, y) in pixels, before `round_as_dlib`; NaN if the image is not finite,
      or the box does not touch the image or is not 2 to 4096 pixels wide and high.
    """
    model = jax.tree.map(jnp.asarray, model)
    grey = pixels.grey_as_bytes(jax.lax.stop_gradient(image))
    corner, extent = _corner_and_extent(box)
    leaves = model.leaves.reshape(-1, 2 * model.points)
    count, splits = model.first.shape[1:]

    def advance(shape: trees.Shapes, level: _Level) -> tuple[trees.Shapes, None]:
        fitted = similarity.fit_exactly(model.initial, _points(shape))
        place = _feature_places(model, level, shape, fitted)
        scaled = df.product(place, extent)
        value = sampling.at_pixels(grey, df.nearest(scaled) + corner)
        leaf = trees.reached(value, *_tables(model, level))
        tree = level * count + jnp.arange(count, dtype=jnp.int32)
        return trees.add_leaves(
            shape, leaves, leaf + (splits + 1) * tree[:, None]
        ), None

    scaled = df.product(_run(advance, model, len(box)), extent)
    # Rounded down to float32: rounding to the nearest could lift a point to a half.
    point = df.rounded_down(df.add(scaled, df.pair(corner)))
    return _landmarks(point, _is_valid(image, box))


def predict_soft(
    model: ShapeModel, image: types.Image, box: Boxes, *, temperature: float
) -> Landmarks:
    """Predicts landmarks with a smooth cascade, which has a gradient in reverse mode.

    Feature pixels are interpolated between whole pixels, and a split takes both
    branches, the left one with weight sigmoid(difference / temperature).

    Args:
      model: the cascade.
      image: `[batch, H, W, 3]` in [-1, 1].
      box: as in `predict`.
      temperature: in grey levels, above 0; towards 0 the splits become steps.

    Returns:
      Points as from `predict`.
    """
    model = jax.tree.map(jnp.asarray, model)
    valid = _is_valid(image, box)
    # An image that is not finite is replaced first: its gradient would be NaN.
    grey = pixels.grey(jnp.where(valid[:, None, None, None], image, 0.0))
    corners = sampling.corners(jax.lax.stop_gradient(grey))
    soft = jnp.float32(temperature)
    corner, extent = _corner_and_extent(box)
    leaves = model.leaves.reshape(model.leaves.shape[0], -1, 2 * model.points)

    def advance(shape: trees.Shapes, level: _Level) -> tuple[trees.Shapes, None]:
        fitted = similarity.fit(model.initial, _points(shape))
        place = _feature_places(model, level, shape, fitted)
        value = sampling.between_pixels(grey, corners, extent * place + corner)
        moved = trees.soft_sum(value, _tables(model, level), leaves, level, soft)
        return shape + moved, None

    return _landmarks(extent * _run(advance, model, len(box)) + corner, valid)


def round_as_dlib(landmarks: Landmarks) -> Landmarks:
    """Rounds points to whole pixels as dlib does, halves upwards."""
    return df.nearest(df.pair(landmarks))


def _run(
    advance: Callable[[trees.Shapes, _Level], tuple[trees.Shapes, None]],
    model: ShapeModel,
    batch: int,
) -> _BatchLast:
    """Runs all levels, from the mean shape; shapes are in the box's unit square."""
    levels = jnp.arange(model.first.shape[0], dtype=jnp.int32)
    start = jnp.broadcast_to(model.initial.reshape(1, -1), (batch, 2 * model.points))
    shape, _ = jax.lax.scan(advance, start, levels)
    return _batch_last(_points(shape))


def _landmarks(point: _BatchLast, valid: Bool[Array, " batch"]) -> Landmarks:
    return jnp.where(valid[:, None, None], point.transpose(2, 0, 1), jnp.nan)


def _points(shape: trees.Shapes) -> Landmarks:
    return shape.reshape(shape.shape[0], -1, 2)


def _batch_last(points: Landmarks) -> _BatchLast:
    return points.transpose(1, 2, 0)


def _corner_and_extent(
    box: Boxes,
) -> tuple[Float[Array, "1 2 batch"], Float[Array, "1 2 batch"]]:
    sides = box.astype(jnp.float32).T
    return sides[None, :2], sides[None, 2:] - sides[None, :2]


def _tables(model: ShapeModel, level: _Level) -> trees.Tables:
    return model.first[level], model.second[level], model.threshold[level]


def _feature_places(
    model: ShapeModel, level: _Level, shape: trees.Shapes, fitted: similarity.Similarity
) -> sampling.Places:
    """Returns the places of the feature pixels in the unit square of the box."""
    a, b = fitted
    x, y = model.offset[level, :, :1], model.offset[level, :, 1:]
    turned = jnp.stack(
        [
            df.rounded_product(a[None], x) - df.rounded_product(b[None], y),
            df.rounded_product(b[None], x) + df.rounded_product(a[None], y),
        ],
        axis=1,
    )
    return turned + _batch_last(_points(shape))[model.anchor[level]]


def _is_valid(image: types.Image, box: Boxes) -> Bool[Array, " batch"]:
    height, width = image.shape[1:3]
    left, top, right, bottom = box.T
    touches = (right >= 0) & (bottom >= 0) & (left < width) & (top < height)
    extent = jnp.stack([right - left, bottom - top])
    sensible = jnp.all((extent > 0) & (extent <= _MAX_EXTENT), axis=0)
    return touches & sensible & jnp.all(jnp.isfinite(image), axis=(1, 2, 3))
