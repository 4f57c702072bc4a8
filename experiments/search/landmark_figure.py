"""A picture of what the landmark term sees while a search goes on."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw

from inpaint_jax import types
from inpaint_jax.images import pixels
from inpaint_jax.landmarks import annotation
from inpaint_jax.landmarks.cascade import prediction
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel

_ENLARGE = 6
_EXACT, _SOFT, _TARGET = (235, 30, 30), (30, 200, 235), (250, 220, 40)
_TURN = np.linspace(0.0, 2.0 * np.pi, 25)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)])

# Compiled once for all faces.
_exact = jax.jit(prediction.predict)
_soft = jax.jit(prediction.predict_soft, static_argnames="temperature")


def draw(
    image: types.Image,
    target: annotation.Landmarks,
    covariance: Float[Any, "1 68 2 2"],
    *,
    model: ShapeModel,
    box: Int[Any, "1 4"],
    temperature: float,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws the landmarks of one face and where they should be.

    Args:
      image: `[1, H, W, 3]`.
      target: where the points should be, in pixels.
      covariance: of the target's error, in square pixels.
      model: the cascade.
      box: in which it places the points.
      temperature: of the soft cascade.

    Returns:
      The face, enlarged: dlib's points red, the soft cascade's blue, the target's
      ellipses of one standard deviation yellow.
    """
    exact = np.asarray(_exact(model, image, box))[0]
    soft = np.asarray(_soft(model, image, box, temperature=temperature))[0]
    picture = Image.fromarray(np.asarray(pixels.to_bytes(jnp.asarray(image)))[0])
    size = (_ENLARGE * picture.width, _ENLARGE * picture.height)
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    canvas = ImageDraw.Draw(picture)
    roots = np.linalg.cholesky(np.asarray(covariance)[0])
    for centre, root in zip(np.asarray(target)[0], roots, strict=True):
        outline = _enlarged(centre[:, None] + root @ _CIRCLE)
        canvas.line([tuple(p) for p in outline.T], fill=_TARGET, width=1)
    for points, colour in ((soft, _SOFT), (exact, _EXACT)):
        for x, y in _enlarged(points.T).T:
            canvas.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
    return np.asarray(picture)


def _enlarged(points):
    # The centre of pixel 0 becomes the centre of its enlarged square.
    return (points + 0.5) * _ENLARGE - 0.5
