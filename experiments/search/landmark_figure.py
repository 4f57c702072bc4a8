"""Draws predicted and target landmarks in the course of a search."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw

from experiments.common import reporting
from experiments.search import guidance, targets
from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.images import pixels
from inpaint_jax.landmarks import annotation
from inpaint_jax.landmarks.cascade import prediction
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel
from inpaint_jax.models import landmark_net
from inpaint_jax.search import landmark_term
from inpaint_jax.search.problem import Problem

_ENLARGE = 6
_EXACT, _SOFT, _TARGET = (235, 30, 30), (30, 200, 235), (250, 220, 40)
_TURN = np.linspace(0.0, 2.0 * np.pi, 25)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)])

# Compiled once for all faces.
_exact = jax.jit(prediction.predict)
_soft = jax.jit(prediction.predict_soft, static_argnames="temperature")


@dataclasses.dataclass(frozen=True)
class Figure:
    """Draws the landmarks in the course of a search.

    Attributes:
      target: the landmark net, which predicts the target.
      cascade: the cascade, which predicts the candidates' landmarks.
      temperature: temperature of the soft cascade, in grey levels.
    """

    target: targets.Predicted
    cascade: ShapeModel
    temperature: float

    def draw(
        self, problem: Problem, faces: list[types.Image]
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Draws one search.

        Args:
          problem: the damaged image.
          faces: G(z) of the best restart after each chunk, `[1, H, W, 3]` each.

        Returns:
          One row: the damaged image, then the image with each face in its hole.
        """
        points, whitening = self.target.predict(problem.image, problem.mask)
        shown = [jnp.where(problem.mask > 0, problem.image, face) for face in faces]
        row = [
            draw(
                image,
                points,
                landmark_net.covariance(whitening),
                model=self.cascade,
                box=problem.targets[landmark_term.NAME].box,
                temperature=self.temperature,
            )
            for image in (problem.image, *shown)
        ]
        return reporting.sheet([row])


def of(guides: guidance.Guidance) -> Figure:
    """Returns the `Figure` that draws the landmarks of a search.

    Raises:
      InputError: the search has no soft cascade or no predicted target.
    """
    match guides.landmarks:
        case guidance.Landmarks(
            term=landmark_term.LandmarkTerm(
                settings=landmark_term.Settings(term="soft", temperature=temperature),
                model=ShapeModel() as cascade,
            ),
            finder=targets.Predicted() as target,
        ):
            return Figure(target, cascade, temperature)
    raise InputError(
        "--landmark_figure: draws --landmark_term=soft with "
        "--landmark_target=predicted; give these or leave it out."
    )


def draw(
    image: types.Image,
    target: annotation.Landmarks,
    covariance: Float[Any, "1 68 2 2"],
    *,
    model: ShapeModel,
    box: Int[Any, "1 4"],
    temperature: float,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws the predicted and the target landmarks of one face.

    Args:
      image: `[1, H, W, 3]` in [-1, 1].
      target: target landmarks in pixels, `[1, 68, 2]`.
      covariance: of the target's error, in square pixels.
      model: the cascade.
      box: bounding box in which the cascade predicts landmarks.
      temperature: temperature of the soft cascade, in grey levels.

    Returns:
      The enlarged face: dlib's landmarks in red, the soft cascade's in blue, the
      target's ellipses of one standard deviation in yellow.
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


def _enlarged(points: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    # The centre of pixel 0 becomes the centre of its enlarged square.
    return (points + 0.5) * _ENLARGE - 0.5
