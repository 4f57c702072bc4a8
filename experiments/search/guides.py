"""What guides the landmarks of a search: flags, models, and a target for each image."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jaxtyping import UInt8

from experiments.common import application, cases, reporting
from experiments.search import landmark_figure
from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import pixels
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.landmarks.cascade import prediction
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel
from inpaint_jax.models import landmark_net
from inpaint_jax.pretrained import landmark_predictor
from inpaint_jax.search import landmark_term, problem

_DEFAULTS = landmark_term.Settings()
_TERM = flags.DEFINE_enum(
    "landmark_term",
    _DEFAULTS.term,
    ["none", "step", "soft", "net"],
    "none: as SI; step: the count of eqs. 17 and 18; soft: a smooth loss by dlib's "
    "cascade; net: by the landmark net.",
)
_TARGET = flags.DEFINE_enum(
    "landmark_target",
    "predicted",
    ["masked", "predicted", "oracle"],
    "Where the points should be: dlib on the damaged image (thesis), the landmark net, "
    "or dlib on the undamaged image (an upper bound, with --allow_oracle).",
)
_ALLOW_ORACLE = flags.DEFINE_bool(
    "allow_oracle", False, "Let --landmark_target=oracle look at the undamaged image."
)
_MODEL = flags.DEFINE_string(
    "landmark_model", None, "dlib's 68-point model; by default the installed one."
)
_NET = flags.DEFINE_string(
    "landmark_net",
    "release",
    "A --run_dir of experiments.train_landmarks, or a release.",
)
_SCORES = flags.DEFINE_bool(
    "landmark_scores", False, "Report the landmark error where the original is known."
)
SETTINGS = {
    "gradient": flags.DEFINE_enum(
        "landmark_gradient",
        _DEFAULTS.gradient,
        ["none", "spsa", "es"],
        "How the count moves z: not at all, or by an estimated gradient.",
    ),
    "input": flags.DEFINE_enum(
        "landmark_input",
        _DEFAULTS.input,
        ["masked", "composite"],
        "What is measured: G(z) under the mask, or G(z) in the hole of the image.",
    ),
    "loss": flags.DEFINE_enum(
        "landmark_loss",
        _DEFAULTS.loss,
        ["hinge", "huber", "shape", "proportions"],
        "Of soft and net, see landmark_losses.",
    ),
    "threshold": flags.DEFINE_float(
        "landmark_threshold", _DEFAULTS.threshold, "How far off is free.", 0.0
    ),
    "threshold_unit": flags.DEFINE_enum(
        "landmark_threshold_unit",
        _DEFAULTS.threshold_unit,
        ["pixels", "eyes"],
        "Pixels, or shares of the distance between the eyes.",
    ),
    "temperature": flags.DEFINE_float(
        "landmark_temperature", _DEFAULTS.temperature, "Of soft, in grey levels.", 1e-3
    ),
    "pairs": flags.DEFINE_integer(
        "landmark_pairs", _DEFAULTS.pairs, "Of points, for spsa and es.", 1
    ),
    "radius": flags.DEFINE_float(
        "landmark_radius", _DEFAULTS.radius, "Of the points, for spsa and es.", 1e-3
    ),
}


@dataclasses.dataclass(frozen=True)
class Guides:
    """The models that the landmark term and its scores need, loaded once.

    Attributes:
      settings: of the landmark term, or None without it.
      target: where its points come from.
      detector: dlib's, where a box must be found.
      model: dlib's cascade, where one is needed.
      predictor: the landmark net, where it is needed.
      scored: whether completions are scored by their landmarks.
      hashes: of the model files, for the report.
    """

    settings: landmark_term.Settings | None
    target: str
    detector: dlib_host.Detector | None
    model: ShapeModel | None
    predictor: landmark_predictor.LandmarkPredictor | None
    scored: bool
    hashes: dict[str, Any]

    def loss(self) -> problem.LandmarkLoss | None:
        """Returns the landmark loss of all searches, or None without the term."""
        if self.settings is None:
            return None
        used = self.settings.term
        term = landmark_term.LandmarkTerm(
            self.settings,
            model=self.model if used != "net" else None,
            place=self.predictor.place if self.predictor and used == "net" else None,
        )
        return problem.LandmarkLoss(term, self.settings.moves)

    def guide(
        self, case: cases.Case, image: types.Image
    ) -> tuple[landmark_term.Target | None, dict[str, Any]]:
        """Finds out where the landmarks of one image should be.

        Args:
          case: the input.
          image: `[1, H, W, 3]`, its hole grey.

        Returns:
          The target, and what the report says of it.

        Raises:
          InputError: there is no telling, or the original is asked for and unknown.
        """
        if self.settings is None:
            return None, {}
        target, entry = self._target(case, image)
        if not bool(jnp.isfinite(target.landmarks).all()):
            raise InputError(
                f"{case.name}: no landmarks can be placed in the box "
                f"{target.box[0].tolist()}."
            )
        return target, entry

    def scene(self, case: cases.Case) -> tuple[problem.Problem, dict[str, Any]]:
        """Returns what the search for one picture knows; as `guide` otherwise."""
        image = pixels.from_bytes(case.picture)[None] * case.mask
        target, entry = self.guide(case, image)
        return problem.Problem(image, case.mask, target), entry

    def error(self, case: cases.Case, completed: types.Image) -> float | None:
        """Returns the landmark error of a completion, or None if it is not scored.

        Both images are measured by dlib's cascade in the box of the original's face,
        and the error is over the distance between its eyes.
        """
        if not self.scored or case.original is None:
            return None
        assert self.detector is not None and self.model is not None
        box, _ = dlib_host.face_box(self.detector, case.original, crop=case.crop)
        original = pixels.from_bytes(case.original)[None]
        truth, found = (
            _points(self.model, image, box) for image in (original, completed)
        )
        return float(metrics.nme(found, truth)[0])

    def check_figure(
        self,
    ) -> tuple[
        landmark_term.Settings, landmark_predictor.LandmarkPredictor, ShapeModel
    ]:
        """Returns what a figure is drawn with: settings, landmark net, cascade.

        Raises:
          InputError: there is no cascade or no predicted target to draw.
        """
        settings, predictor, model = self.settings, self.predictor, self.model
        if not settings or settings.term != "soft" or not predictor or not model:
            raise InputError(
                "--landmark_figure: draws --landmark_term=soft with "
                "--landmark_target=predicted; give these or leave it out."
            )
        return settings, predictor, model

    def figure(
        self, scene: problem.Problem, faces: list[types.Image]
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Draws the landmarks through a search.

        Args:
          scene: of the image.
          faces: G(z) of the best restart as the search went on.

        Returns:
          The damaged image, then those faces in its hole, in one row.

        Raises:
          InputError: there is no cascade or no predicted target to draw.
        """
        settings, predictor, model = self.check_figure()
        points, whitening = _predict(predictor.place, scene.image, scene.mask)
        shown = [jnp.where(scene.mask > 0, scene.image, face) for face in faces]
        row = [
            landmark_figure.draw(
                image,
                points,
                landmark_net.covariance(whitening),
                model=model,
                box=scene.target.box,
                temperature=settings.temperature,
            )
            for image in (scene.image, *shown)
        ]
        return reporting.sheet([row])

    def describe(self) -> dict[str, Any] | None:
        """Returns what the report says of the landmark term and the models."""
        if self.settings is None:
            return {"models": self.hashes} if self.hashes else None
        description = dataclasses.asdict(self.settings)
        description |= {"target": self.target, "models": self.hashes}
        if self.target == "oracle":
            description["note"] = "upper bound: the target is the undamaged image's"
        return description

    def _target(self, case, image):
        if self.target == "predicted":
            assert self.predictor is not None and self.settings is not None
            points, whitening = _predict(self.predictor.place, image, case.mask)
            model = self.model if self.settings.term != "net" else None
            target = landmark_term.target_of_net(points, whitening, model)
            deviation = float(target.deviation.mean())
            return target, {"face_box": "predicted", "deviation": deviation}
        if self.target == "oracle":
            if case.original is None:
                raise InputError(
                    f"{case.name}: --landmark_target=oracle needs the undamaged image."
                )
            picture = case.original
        else:
            picture = np.asarray(pixels.to_bytes(image[0]))
        assert self.detector is not None and self.model is not None
        box, source = dlib_host.face_box(self.detector, picture, crop=case.crop)
        seen = pixels.from_bytes(picture)[None]
        box = jnp.asarray(box, jnp.int32)[None]
        return _target_of_cascade(self.model, seen, box), {"face_box": source}


def from_flags(*, size: int, crop: int) -> Guides:
    """Loads what the flags ask for.

    Args:
      size: height and width of the generator's images.
      crop: side of its training crops in CelebA pixels.

    Raises:
      InputError: flags contradict each other, or a model is missing or does not fit.
    """
    application.check_numbers(*SETTINGS.values())
    settings = None
    if _TERM.value != "none":
        values: dict[str, Any] = {"term": _TERM.value}
        values |= {name: flag.value for name, flag in SETTINGS.items()}
        settings = landmark_term.Settings(**values)
    _check(settings)
    target, scored = _TARGET.value if settings else "none", bool(_SCORES.value)
    hashes, model, predictor, detector = {}, None, None, None
    finds_faces = scored or target in ("masked", "oracle")
    if finds_faces or (settings and settings.term != "net"):
        model, hashes["cascade"] = _cascade(_MODEL.value)
    if finds_faces:
        detector = dlib_host.Detector()
    if target == "predicted" or (settings and settings.term == "net"):
        predictor = _landmark_net(_NET.value)
        hashes["net"] = predictor.source
        _check_fits(predictor, size, crop)
    return Guides(settings, target, detector, model, predictor, scored, hashes)


# Read once, however many searches of a process use them.
@functools.cache
def _cascade(path):
    model, hashes = dlib_host.read_model(dlib_host.find_model(path))
    return jax.tree.map(jnp.asarray, model), hashes


_landmark_net = functools.cache(landmark_predictor.load)


def _check(settings):
    if settings is None:
        return
    if settings.gradient != "none" and settings.term != "step":
        raise InputError(
            f"--landmark_gradient={settings.gradient}: only the count needs an "
            "estimated gradient; give --landmark_term=step or leave it out."
        )
    if _TARGET.value == "oracle" and not _ALLOW_ORACLE.value:
        raise InputError(
            "--landmark_target=oracle: looks at the undamaged image, as no completion "
            "can; add --allow_oracle to compute this upper bound."
        )


def _check_fits(predictor, size, crop):
    points = predictor.architecture.points
    if points != dlib_host.POINTS:
        raise InputError(
            f"--landmark_net={_NET.value}: places {points} points; give a net of "
            f"{dlib_host.POINTS}."
        )
    found = predictor.architecture.image_size, predictor.crop
    if found != (size, crop):
        raise InputError(
            f"--landmark_net={_NET.value}: was trained on images of {found[0]} pixels "
            f"and crops of {found[1]}, the generator on {size} and {crop}; give a net "
            "for these."
        )


@jax.jit
def _points(model, image, box):
    box = jnp.asarray(box, jnp.int32)[None]
    return prediction.round_as_dlib(prediction.predict(model, image, box))


# Compiled once for all images.
_predict = jax.jit(lambda place, image, mask: place(image, mask))
_target_of_cascade = jax.jit(landmark_term.target_of_cascade)
