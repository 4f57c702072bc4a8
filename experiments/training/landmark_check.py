"""Evaluates the landmark net on damaged faces, beside three simpler predictors."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from experiments.common import progress
from experiments.training import labelling
from inpaint_jax.images import masks, pixels
from inpaint_jax.io import data
from inpaint_jax.landmarks import annotation, dlib_host
from inpaint_jax.landmarks.cascade import prediction
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel
from inpaint_jax.models import landmark_net
from inpaint_jax.pretrained import landmark_predictor, networks
from inpaint_jax.search import landmark_term

MASKS = ("centre", "left", "right", "random80")
_BATCH = 100
_PENALTIES = (1e1, 1e2, 1e3, 1e4)

Faces = Float[np.ndarray, "count height width 3"]
Masks = Float[Array, "count height width 1"]
Points = Float[np.ndarray, "count 68 2"]
Whitening = Float[np.ndarray, "count 68 2 2"]
_Hidden = Bool[np.ndarray, "count 68"]
_Grey = Float[np.ndarray, "count pixels"]


def check(
    key: jax.Array,
    predictor: networks.Pretrained,
    dlib_predictor: dlib_host.Predictor,
    faces: data.Faces,
    *,
    known: tuple[data.Faces, Points],
) -> dict[str, Any]:
    """Measures the errors of the net and of simpler predictors on held-out faces.

    True landmarks are dlib's on the undamaged face, in whole pixels; errors are over
    the distance between the eyes.

    Args:
      key: random key of the masks.
      predictor: the net.
      dlib_predictor: dlib's 68-point model.
      faces: held-out faces.
      known: (faces, their landmarks), to which the simpler predictors are fitted.

    Returns:
      "nme": {mask: {predictor: {"all", "hidden", "visible"}}}, and "within": the
      fraction of points inside the net's ellipses of one and two standard deviations.
    """
    crop = predictor.crop
    truth = labelling.label(dlib_predictor, faces, crop=crop, nudged=False)
    true, predict = truth.landmarks, landmark_predictor.predict(predictor)
    model = jax.tree.map(jnp.asarray, dlib_predictor.model)
    images, train_images = (_floats(f.images) for f in (faces, known[0]))
    found: dict[str, Any] = {"nme": {}, "within": {}, "faces": len(images)}
    families = progress.over(MASKS, len(MASKS), what="checking", unit="masks")
    for number, name in enumerate(families):
        key_test, key_train = jax.random.split(jax.random.fold_in(key, number))
        mask = _masks(key_test, name, images)
        train_mask = _masks(key_train, name, train_images)
        points, whitening = _predicted(predict, images, mask)
        guesses = {
            "net": points,
            "dlib_on_damaged": _dlib_on_damaged(model, images, mask, crop),
            "mean_shape": np.broadcast_to(known[1].mean(axis=0), points.shape),
            "ridge": _ridge(train_images, train_mask, known[1], images, mask),
        }
        hidden = _is_hidden(true, mask)
        found["nme"][name] = {g: _nme(p, true, hidden) for g, p in guesses.items()}
        found["within"][name] = _within(_radius(points, whitening, true), hidden)
    return {
        **found,
        "detected": float(truth.detected.mean()),
        "learned_from": len(train_images),
    }


def fitted_spread(
    key: jax.Array,
    predict: landmark_term.Predict,
    faces: data.Faces,
    truth: Points,
) -> float:
    """Fits the size of the net's uncertainty ellipses on held-out faces.

    Args:
      key: random key of the masks, of all families in turn.
      predict: the net, with a spread of 1.
      faces: held-out faces.
      truth: their landmarks.

    Returns:
      The factor on all ellipses with which half of the true points lie inside the
      ellipses that should contain half of them.
    """
    images = _floats(faces.images)
    radii = []
    for number, name in enumerate(MASKS):
        mask = _masks(jax.random.fold_in(key, number), name, images)
        points, whitening = _predicted(predict, images, mask)
        radii.append(_radius(points, whitening, truth))
    # The net's density has P(|u| < r) = 1 - (1 + r) exp(-r), which is 1/2 at 1.67835.
    half = 1.67835 / landmark_net.LAPLACE_DEVIATION
    return float(np.median(np.stack(radii)) / half)


def _floats(images: UInt8[np.ndarray, "count height width 3"]) -> Faces:
    return np.asarray(pixels.from_bytes(images))


def _masks(key: jax.Array, name: str, images: Faces) -> Masks:
    make = masks.named(name)[1]
    keys = jax.random.split(key, len(images))
    return jax.vmap(lambda key: make(key, images.shape[1:3]))(keys)


def _in_batches(function: Callable[..., Any], *arrays: Any) -> Any:
    count = len(arrays[0])
    parts = [
        jax.tree.map(np.asarray, function(*(a[i : i + _BATCH] for a in arrays)))
        for i in range(0, count, _BATCH)
    ]
    return jax.tree.map(lambda *each: np.concatenate(each), *parts)


def _predicted(
    predict: landmark_term.Predict, images: Faces, mask: Masks
) -> tuple[Points, Whitening]:
    return _in_batches(jax.jit(predict), images, mask)


def _dlib_on_damaged(
    model: ShapeModel, images: Faces, mask: Masks, crop: int
) -> Points:
    damaged = np.asarray(pixels.to_bytes(mask * images))
    detector = dlib_host.Detector()
    boxes = [dlib_host.face_box(detector, image, crop=crop)[0] for image in damaged]
    predict = jax.jit(lambda image, box: prediction.predict(model, image, box))
    box = np.stack(boxes).astype(np.int32)
    return np.floor(_in_batches(predict, _floats(damaged), box) + 0.5)


def _ridge(
    train_images: Faces,
    train_mask: Masks,
    train_points: Points,
    images: Faces,
    mask: Masks,
) -> Points:
    """Predicts landmarks by ridge regression from grey levels; hidden ones are mean."""
    grey = _grey(train_images)
    mean, points_mean = grey.mean(axis=0), train_points.mean(axis=0)
    visible = np.asarray(train_mask).reshape(grey.shape)
    x = (grey - mean) * visible
    y = (train_points - points_mean).reshape(len(x), -1)
    part = len(x) - len(x) // 10
    held = slice(part, None)
    gram, moment = x[:part].T @ x[:part], x[:part].T @ y[:part]
    # The penalty is chosen on a held-out tenth of the faces.
    scale = np.trace(gram) / len(gram) * 1e-3
    best = min(
        (_solved(gram, moment, scale * p) for p in _PENALTIES),
        key=lambda w: float(np.mean((x[held] @ w - y[held]) ** 2)),
    )
    seen = _grey(images) - mean
    seen = seen * np.asarray(mask).reshape(seen.shape)
    return points_mean + (seen @ best).reshape(len(images), -1, 2)


def _grey(images: Faces) -> _Grey:
    return np.asarray(pixels.grey(jnp.asarray(images))).reshape(len(images), -1)


def _solved(
    gram: Float[np.ndarray, "pixels pixels"],
    moment: Float[np.ndarray, "pixels coordinates"],
    penalty: float,
) -> Float[np.ndarray, "pixels coordinates"]:
    identity = np.eye(len(gram), dtype=gram.dtype)
    return np.linalg.solve(gram + np.float32(penalty) * identity, moment)


def _is_hidden(points: Points, mask: Masks) -> _Hidden:
    height, width = mask.shape[1:3]
    x = np.clip(np.round(points[..., 0]), 0, width - 1).astype(int)
    y = np.clip(np.round(points[..., 1]), 0, height - 1).astype(int)
    return np.asarray(mask)[np.arange(len(mask))[:, None], y, x, 0] == 0


def _parts(hidden: _Hidden) -> dict[str, _Hidden]:
    return {"all": np.ones_like(hidden), "hidden": hidden, "visible": ~hidden}


def _nme(points: Points, truth: Points, hidden: _Hidden) -> dict[str, float]:
    unit = np.asarray(annotation.eye_distance(jnp.asarray(truth)))
    error = np.linalg.norm(points - truth, axis=-1) / unit[:, None]
    return {part: float(error[where].mean()) for part, where in _parts(hidden).items()}


def _within(
    radius: Float[np.ndarray, "count 68"], hidden: _Hidden
) -> dict[str, list[float]]:
    """Returns the fractions of points inside one and two standard deviations."""
    return {
        part: [float(np.mean(radius[where] <= sigma)) for sigma in (1.0, 2.0)]
        for part, where in _parts(hidden).items()
    }


def _radius(
    points: Points, whitening: Whitening, truth: Points
) -> Float[np.ndarray, "count 68"]:
    u = landmark_net.whiten(jnp.asarray(truth - points), jnp.asarray(whitening))
    return np.linalg.norm(np.asarray(u), axis=-1)
