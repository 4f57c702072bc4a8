"""The landmark loss of a search: three choices, kept apart (thesis 3.2.2, eqs. 17, 18).

What is measured: G(z) under the mask, as the thesis does, or G(z) in the hole of the
image. How it pulls: the thesis's count of coordinates that are off, which ranks
restarts and moves z only through an estimated gradient; a smooth loss of the soft
cascade; or the same of the landmark net. Towards what: dlib's points on the damaged
image, as the thesis does; the landmark net's, those that it is unsure of pulling less;
or the true points, which only an evaluation knows.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from inpaint_jax import losses, types
from inpaint_jax.landmarks import annotation
from inpaint_jax.landmarks.cascade import prediction
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel
from inpaint_jax.models import landmark_net
from inpaint_jax.search import estimators
from inpaint_jax.search.problem import Problem

# Below this a point's uncertainty, in pixels, says nothing about its worth.
_LEAST_DEVIATION = 0.25
_HUBER_DELTA = 1.0
_Points = Float[Array, "restarts points 2"]
_ESTIMATORS = {"spsa": estimators.spsa, "es": estimators.evolution_strategies}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the landmark loss is built.

    Attributes:
      term: "step" is the thesis's count, by the exact cascade; "soft" a smooth loss of
        the soft cascade's points; "net" the same of the landmark net's.
      gradient: for "step", how z is moved: "none", "spsa" or "es", see `estimators`.
      input: what is measured, "masked" or "composite".
      loss: of "soft" and "net", see `losses.landmark`.
      threshold: a point (for "step", a coordinate) may be off by as much.
      threshold_unit: "pixels", or "eyes": share of the distance between the eyes.
      temperature: of the soft cascade, in grey levels.
      pairs: of the estimators.
      radius: of the estimators.
    """

    term: Literal["step", "soft", "net"] = "soft"
    gradient: Literal["none", "spsa", "es"] = "none"
    input: Literal["masked", "composite"] = "composite"
    loss: Literal["hinge", "huber", "shape", "proportions"] = "hinge"
    threshold: float = 0.5
    threshold_unit: Literal["pixels", "eyes"] = "pixels"
    temperature: float = 4.0
    pairs: int = 8
    radius: float = 0.1

    @property
    def has_gradient(self) -> bool:
        """Whether the loss has a gradient."""
        return self.term != "step" or self.gradient != "none"


class Target(NamedTuple):
    """Where the points of one face should be.

    Attributes:
      landmarks: `[1, 68, 2]`, (x, y) in pixels.
      deviation: `[1, 68]`, standard deviation of each point along an axis, in pixels;
        all equal where nothing is known about it.
      box: `[1, 4]`, in which the cascade places the points of all candidates.
    """

    landmarks: annotation.Landmarks
    deviation: Float[Array, "1 68"]
    box: Int[Array, "1 4"]


Predict = Callable[..., tuple[landmark_net.Landmarks, landmark_net.Whitening]]
"""(image, mask) -> (points, whitening): the landmark net with its weights."""


def target_of_cascade(
    model: ShapeModel, image: types.Image, box: Int[Array, "1 4"]
) -> Target:
    """Takes dlib's whole-pixel points on an image for the truth.

    Args:
      model: dlib's cascade.
      image: `[1, H, W, 3]`: damaged, as in the thesis, or for an evaluation undamaged.
      box: of its face.

    Returns:
      The target; NaN where the cascade fails.
    """
    landmarks = prediction.round_as_dlib(prediction.predict(model, image, box))
    return Target(landmarks, jnp.ones(landmarks.shape[:2]), box)


def target_of_net(
    landmarks: annotation.Landmarks,
    whitening: landmark_net.Whitening,
    model: ShapeModel | None,
) -> Target:
    """Takes what the landmark net predicts for the truth.

    Args:
      landmarks: `[1, 68, 2]`.
      whitening: of their errors, to unit variance.
      model: the cascade that is to place the candidates' points, if one is.

    Returns:
      The target; NaN where its points are no face that a box could hold.
    """
    variance = landmark_net.covariance(whitening)
    mean_variance = 0.5 * (variance[..., 0, 0] + variance[..., 1, 1])
    if model is None:
        box = jnp.zeros((1, 4), jnp.int32)
    else:
        box = box_around(model, landmarks)
        extended = jnp.all(box[:, 2:] > box[:, :2])
        landmarks = jnp.where(extended, landmarks, jnp.nan)
    return Target(landmarks, jnp.sqrt(mean_variance), box)


def box_around(model: ShapeModel, landmarks: annotation.Landmarks) -> Int[Array, "1 4"]:
    """Returns the box in which a cascade's mean shape lies best on given points.

    The cascade starts from its mean shape, and the box says where that is. Least
    squares over scale and place.

    Args:
      model: the cascade.
      landmarks: `[1, 68, 2]` in pixels.
    """
    mean, place = jnp.mean(model.initial, axis=0), jnp.mean(landmarks[0], axis=0)
    shape = model.initial - mean[None]
    scale = jnp.sum(shape * (landmarks[0] - place[None])) / jnp.sum(shape**2)
    corner = place - scale * mean
    box = jnp.concatenate([corner, corner + scale])
    return jnp.round(box).astype(jnp.int32)[None]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["model", "predict"],
    meta_fields=["settings"],
)
@dataclasses.dataclass(frozen=True)
class LandmarkTerm:
    """The landmark loss with its models; a pytree, so that these are no constants.

    Attributes:
      settings: see `Settings`.
      model: the cascade, for "step" and "soft".
      predict: see `Predict`, a pytree; for "net".
    """

    settings: Settings
    model: ShapeModel | None = None
    predict: Any = None

    def __call__(
        self,
        key: types.PRNGKey,
        z: types.Latent,
        generated: types.Image,
        problem: Problem,
        generate: types.Generate,
    ) -> types.PerExample:
        """Returns the loss of each restart.

        Args:
          key: of the estimators.
          z: `[restarts, z_dim]`.
          generated: G(z).
          problem: with the image, the mask, and a `Target`.
          generate: G, which the estimators ask for faces around z.
        """
        if self.settings.gradient == "none":
            return self._loss(generated, problem)
        return _ESTIMATORS[self.settings.gradient](
            key,
            z,
            score=lambda z: self._loss(generate(z), problem),
            pairs=self.settings.pairs,
            radius=self.settings.radius,
        )

    def _loss(self, generated: types.Image, problem: Problem) -> types.PerExample:
        return _compare(
            self.settings, self._measure(generated, problem), problem.target
        )

    def _measure(self, generated: types.Image, problem: Problem) -> _Points:
        """Points of the candidates, [restarts, 68, 2]."""
        settings, target = self.settings, problem.target
        mask = problem.mask.repeat(len(generated), axis=0)
        if settings.input == "composite":
            image = jnp.where(mask > 0, problem.image, generated)
            mask = jnp.ones_like(mask)
        else:
            image = mask * generated
        if settings.term == "net":
            return self.predict(image, mask)[0]
        assert self.model is not None
        box = target.box.repeat(len(generated), axis=0)
        if settings.term == "soft":
            soft = settings.temperature
            return prediction.predict_soft(self.model, image, box, temperature=soft)
        return prediction.round_as_dlib(prediction.predict(self.model, image, box))


def _compare(settings: Settings, points: _Points, target: Target) -> types.PerExample:
    wanted = jnp.broadcast_to(target.landmarks, points.shape)
    weights = 1.0 / jnp.maximum(target.deviation, _LEAST_DEVIATION)
    weights = jnp.broadcast_to(weights, points.shape[:2])
    threshold = settings.threshold
    if settings.threshold_unit == "eyes":
        threshold = losses.landmark.fraction_of_eye_distance(wanted, threshold)
    if settings.term == "step":
        return losses.landmark.step(points, wanted, threshold=threshold)
    if settings.loss == "shape":
        return losses.landmark.shape(points, wanted, weights)
    if settings.loss == "proportions":
        return losses.landmark.proportions(points, wanted)
    if settings.loss == "huber":
        return losses.landmark.huber(
            points, wanted, weights, threshold=threshold, delta=_HUBER_DELTA
        )
    return losses.landmark.hinge(points, wanted, weights, threshold=threshold)
