"""The landmark loss of a search (thesis 3.2.2, eqs. 17 and 18), with three choices.

The image on which landmarks are predicted: G(z) under the mask, as in the thesis, or
G(z) in the hole of the image. The loss: the thesis's count of coordinates that are too
far off, which ranks restarts and needs an estimated gradient to move z; or a smooth
loss, of the landmarks of the soft cascade or of the landmark net. The target: dlib's
landmarks on the damaged image, as in the thesis; the landmark net's, in which uncertain
points have less weight; or the true landmarks, which only an evaluation knows.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from inpaint_jax import losses, types
from inpaint_jax.landmarks import annotation, dlib_host
from inpaint_jax.landmarks.cascade import prediction
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel
from inpaint_jax.models import landmark_net
from inpaint_jax.search import estimators
from inpaint_jax.search.problem import Networks, Problem

NAME = "landmark"
"""Of the term, and of its target in `Problem.targets`."""

# Below this uncertainty, in pixels, the weight of a point no longer grows.
_LEAST_DEVIATION = 0.25
_HUBER_DELTA = 1.0
_Points = Float[Array, "restarts points 2"]
_ESTIMATORS = {"spsa": estimators.spsa, "es": estimators.evolution_strategies}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of the landmark loss.

    Attributes:
      term: "step" counts wrong coordinates by dlib's exact cascade, as in the thesis;
        "soft" is a smooth loss by the soft cascade, "net" one by the landmark net.
      detector: what places the points of "step": "cascade", dlib's cascade inside the
        program, or "dlib" itself, called on the host; the points are the same.
      gradient: estimator of the gradient of "step": "spsa" (simultaneous perturbation),
        "es" (evolution strategies), or "none", which only ranks restarts.
      input: image on which landmarks are predicted: "masked", the generated face under
        the mask, or "composite", the generated face in the hole of the image.
      loss: smooth loss of "soft" and "net": distances beyond the threshold ("hinge", or
        "huber" with a smooth start), the face's "shape", or its "proportions".
      threshold: distance by which a point (for "step", a coordinate) may be off.
      threshold_unit: unit of the threshold: "pixels", or "eyes" for the distance
        between the eyes.
      temperature: temperature of the soft cascade's splits, in grey levels.
      pairs: number of pairs of points that "spsa" and "es" evaluate.
      radius: size of the random steps from z to these points, for "spsa" and "es".
    """

    term: Literal["step", "soft", "net"] = "soft"
    detector: Literal["cascade", "dlib"] = "cascade"
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
        """Whether the loss has a gradient, exact or estimated."""
        return self.term != "step" or self.gradient != "none"


class Target(NamedTuple):
    """The target landmarks of one face.

    Attributes:
      landmarks: `[1, 68, 2]`, (x, y) in pixels.
      deviation: `[1, 68]`, standard deviation of each point along an axis, in pixels;
        all equal if unknown.
      box: `[1, 4]`, bounding box in which the cascade predicts the landmarks of all
        candidates.
    """

    landmarks: annotation.Landmarks
    deviation: Float[Array, "1 68"]
    box: Int[Array, "1 4"]


Predict = Callable[..., tuple[landmark_net.Landmarks, landmark_net.Whitening]]
"""The landmark net with its weights: (image, mask) -> (points, whitening)."""


def target_of_cascade(
    model: ShapeModel, image: types.Image, box: Int[Array, "1 4"]
) -> Target:
    """Returns dlib's whole-pixel landmarks on an image as the target.

    Args:
      model: dlib's cascade.
      image: `[1, H, W, 3]`: damaged, as in the thesis, or undamaged in an evaluation.
      box: bounding box of its face, `[1, 4]`.

    Returns:
      The target; NaN if the cascade fails.
    """
    landmarks = prediction.round_as_dlib(prediction.predict(model, image, box))
    return Target(landmarks, jnp.ones(landmarks.shape[:2]), box)


def target_of_net(
    landmarks: annotation.Landmarks,
    whitening: landmark_net.Whitening,
    model: ShapeModel | None,
) -> Target:
    """Returns the landmark net's prediction as the target.

    Args:
      landmarks: predicted, `[1, 68, 2]`, (x, y) in pixels.
      whitening: matrices that whiten their errors to unit variance, `[1, 68, 2, 2]`.
      model: the cascade that predicts the candidates' landmarks; None if the net does.

    Returns:
      The target; NaN if no box fits the cascade's mean shape to the landmarks.
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
    """Returns the bounding box in which a cascade's mean shape fits landmarks best.

    The cascade starts from its mean shape, scaled to the box. The fit is by least
    squares over scale and place.

    Args:
      model: the cascade.
      landmarks: `[1, 68, 2]`, (x, y) in pixels.
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
    meta_fields=["settings", "dlib"],
)
@dataclasses.dataclass(frozen=True)
class LandmarkTerm:
    """The landmark loss with its models; a pytree, so that weights are arguments.

    Attributes:
      settings: options of the loss.
      model: the cascade, for "step" and "soft".
      predict: the landmark net as a pytree, see `Predict`; for "net".
      dlib: dlib's own predictor of the same model; for the detector "dlib".
    """

    settings: Settings
    model: ShapeModel | None = None
    predict: Any = None
    dlib: dlib_host.Predictor | None = None

    def __call__(
        self,
        key: types.PRNGKey,
        z: types.Latent,
        generated: types.Image,
        problem: Problem,
        networks: Networks,
    ) -> types.PerExample:
        """Returns the loss of each restart, `[restarts]`.

        Args:
          key: random key of the estimators.
          z: `[restarts, z_dim]`.
          generated: G(z), `[restarts, H, W, 3]`.
          problem: the damaged image, with its `Target` as the target "landmark".
          networks: their G draws faces around z for the estimators.
        """
        if self.settings.gradient == "none":
            return self._loss(generated, problem)
        return _ESTIMATORS[self.settings.gradient](
            key,
            z,
            score=lambda z: self._loss(networks.generate(z), problem),
            pairs=self.settings.pairs,
            radius=self.settings.radius,
        )

    def _loss(self, generated: types.Image, problem: Problem) -> types.PerExample:
        target = problem.targets[NAME]
        points = self._measure(generated, problem, target)
        return _compare(self.settings, points, target)

    def _measure(
        self, generated: types.Image, problem: Problem, target: Target
    ) -> _Points:
        """Predicts the candidates' landmarks, [restarts, 68, 2]."""
        settings = self.settings
        mask = problem.mask.repeat(len(generated), axis=0)
        if settings.input == "composite":
            image = jnp.where(mask > 0, problem.image, generated)
            mask = jnp.ones_like(mask)
        else:
            image = mask * generated
        if settings.term == "net":
            return self.predict(image, mask)[0]
        box = target.box.repeat(len(generated), axis=0)
        if settings.detector == "dlib":
            assert self.dlib is not None
            return dlib_host.predict_in_graph(self.dlib, image, box)[0]
        assert self.model is not None
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
        return losses.landmark.procrustes(points, wanted, weights)
    if settings.loss == "proportions":
        return losses.landmark.proportions(points, wanted)
    if settings.loss == "huber":
        return losses.landmark.huber(
            points, wanted, weights, threshold=threshold, delta=_HUBER_DELTA
        )
    return losses.landmark.hinge(points, wanted, weights, threshold=threshold)
