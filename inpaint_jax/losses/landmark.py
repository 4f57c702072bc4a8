"""Landmark losses: how far the landmarks of a face are from their targets.

Landmarks are `[batch, points, 2]`, (x, y) in pixels; the result is `[batch]`. A face
without landmarks has NaN coordinates, and its loss is NaN. Weights are `[batch,
points]`, at least 0, and only their ratios matter; if all are 0, so is the loss. Every
loss but `step` has a useful gradient, finite at all finite points.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.landmarks import annotation

Points = Float[Array, "batch points 2"]
PerPoint = Float[Array, "batch points"]
Weights = PerPoint
Pixels = float | Float[Array, ""] | types.PerExample
"""A length in pixels: one for all faces, or one for each."""

# Mean squared distance, in square pixels, below which points count as one point.
_ONE_POINT = 1e-6
_PARTS = (
    annotation.RIGHT_EYE,
    annotation.LEFT_EYE,
    annotation.NOSE,
    annotation.MOUTH,
)


def step(
    landmarks: Points, target: Points, *, threshold: Pixels = 3.0
) -> types.PerExample:
    """Counts 0.5 for each coordinate that is too far off (eqs. 17 and 18).

    This is a step function: its gradient is zero wherever it exists. It can rank
    candidates; `search.estimators` estimates a gradient for it.

    Args:
      landmarks: (x, y) in pixels, `[batch, points, 2]`.
      target: their target places, same shape.
      threshold: in pixels; a coordinate counts when it is off by more than this.

    Returns:
      `[batch]`, between 0 and the number of points.
    """
    distance = jnp.abs(landmarks - target)
    off = distance > _per_point(threshold, distance)[..., None]
    count = 0.5 * jnp.sum(off, axis=(1, 2), dtype=landmarks.dtype)
    unknown = jnp.any(jnp.isnan(distance), axis=(1, 2))
    return jnp.where(unknown, jnp.nan, count)


def hinge(
    landmarks: Points, target: Points, weights: Weights, *, threshold: Pixels
) -> types.PerExample:
    """Computes how far the points lie beyond a threshold: `step` made differentiable.

    Args:
      landmarks: (x, y) in pixels, `[batch, points, 2]`.
      target: their target places, same shape.
      weights: of the points, `[batch, points]`.
      threshold: in pixels, at least 0; a point within this Euclidean distance costs
        nothing.

    Returns:
      `[batch]`, in pixels: the weighted mean of max(distance - threshold, 0).
    """
    return _mean(_excess(landmarks, target, threshold), weights)


def huber(
    landmarks: Points,
    target: Points,
    weights: Weights,
    *,
    threshold: Pixels,
    delta: Pixels,
) -> types.PerExample:
    """Computes the hinge loss with a smooth start (Huber 1964).

    With e = max(distance - threshold, 0), a point costs e^2 / (2 delta) up to
    e = delta, and e - delta / 2 from there on, where the slope is 1 as in `hinge`.

    Args:
      landmarks: (x, y) in pixels, `[batch, points, 2]`.
      target: their target places, same shape.
      weights: of the points, `[batch, points]`.
      threshold: in pixels, at least 0, as in `hinge`.
      delta: e in pixels, above 0, from which the cost is linear.

    Returns:
      `[batch]`, in pixels: the weighted mean of these costs.

    Raises:
      ValueError: delta is not above 0.
    """
    if isinstance(delta, float) and not delta > 0.0:
        raise ValueError(f"delta must be above 0 pixels, got {delta}")
    excess = _excess(landmarks, target, threshold)
    delta = _per_point(delta, excess)
    curved = jnp.minimum(excess, delta)
    return _mean(curved**2 / (2.0 * delta) + (excess - curved), weights)


def fraction_of_eye_distance(
    target: annotation.Landmarks, fraction: float
) -> types.PerExample:
    """Converts a fraction of the distance between the eyes into pixels.

    A threshold in this unit does not depend on the size of the face.

    Args:
      target: landmarks of the faces, `[batch, 68, 2]`, (x, y) in pixels.
      fraction: of the distance between the centres of the eyes.

    Returns:
      `[batch]`, in pixels: a threshold for the losses.
    """
    return fraction * annotation.eye_distance(target)


def procrustes(
    landmarks: annotation.Landmarks, target: annotation.Landmarks, weights: Weights
) -> types.PerExample:
    """Computes the distance of two shapes after the best shift, rotation and scaling.

    This is Procrustes analysis (Gower 1975): the best similarity w -> a w + b, on
    points as complex numbers, maps the landmarks to the target. With both faces
    centred, a is their weighted inner product over the weighted square of the
    landmarks.

    Args:
      landmarks: (x, y) in pixels, `[batch, 68, 2]`.
      target: landmarks of the target shape, same shape.
      weights: of the points, `[batch, 68]`, in the fit and in the loss.

    Returns:
      `[batch]`: the weighted mean squared distance after the fit, over the squared
      distance between the target's eyes; no unit.
    """
    x, y = _centred(landmarks, weights)
    u, v = _centred(target, weights)
    # Below this size a shape is rounding error, which the fit would magnify.
    square = jnp.maximum(_mean(x**2 + y**2, weights), _ONE_POINT)
    real = (_mean(x * u + y * v, weights) / square)[:, None]
    imaginary = (_mean(x * v - y * u, weights) / square)[:, None]
    left = (real * x - imaginary * y - u) ** 2 + (imaginary * x + real * y - v) ** 2
    unit = jnp.maximum(annotation.eye_distance(target) ** 2, _ONE_POINT)
    return _mean(left, weights) / unit


def proportions(
    landmarks: annotation.Landmarks, target: annotation.Landmarks
) -> types.PerExample:
    """Compares the sizes of eyes, nose and mouth, each relative to the whole face.

    The thesis finds that its landmark loss places the parts of a face but ignores their
    size "with respect to the size of the whole face" (section 4.6). The size of a part
    is the root mean square distance of its points from their centre. Sizes are compared
    by their logarithms, so that twice too large and twice too small cost the same, and
    small parts count as much as large ones.

    Args:
      landmarks: (x, y) in pixels, `[batch, 68, 2]`.
      target: landmarks with the target proportions, same shape.

    Returns:
      `[batch]`: the sum over both eyes, nose and mouth of the squared difference
      between landmarks and target in log(size of the part / size of the face); no unit.
    """
    difference = _log_relative_sizes(landmarks) - _log_relative_sizes(target)
    return jnp.sum(difference**2, axis=-1)


def _excess(landmarks: Points, target: Points, threshold: Pixels) -> PerPoint:
    square = jnp.sum((landmarks - target) ** 2, axis=-1)
    # The square root has no derivative at 0; a point at its target gets gradient 0.
    met = square == 0.0
    distance = jnp.where(met, 0.0, jnp.sqrt(jnp.where(met, 1.0, square)))
    return jax.nn.relu(distance - _per_point(threshold, distance))


def _per_point(pixels: Pixels, like: jax.Array) -> Float[Array, "one_or_batch 1"]:
    return jnp.reshape(jnp.asarray(pixels, like.dtype), (-1, 1))


def _mean(values: PerPoint, weights: Weights) -> types.PerExample:
    # The weighted mean over the points; 0 if all weights are 0.
    total = jnp.sum(weights, axis=1, keepdims=True)
    weights = weights / jnp.where(total > 0.0, total, 1.0)
    return jnp.sum(weights * values, axis=1)


def _centred(points: Points, weights: Weights) -> tuple[PerPoint, PerPoint]:
    x, y = points[..., 0], points[..., 1]
    return x - _mean(x, weights)[:, None], y - _mean(y, weights)[:, None]


def _log_relative_sizes(
    landmarks: annotation.Landmarks,
) -> Float[Array, "batch parts"]:
    parts = [_log_size(landmarks[:, part]) for part in _PARTS]
    return jnp.stack(parts, axis=-1) - _log_size(landmarks)[:, None]


def _log_size(points: Points) -> types.PerExample:
    from_centre = points - jnp.mean(points, axis=1, keepdims=True)
    square = jnp.mean(jnp.sum(from_centre**2, axis=-1), axis=1)
    return 0.5 * jnp.log(jnp.maximum(square, _ONE_POINT))
