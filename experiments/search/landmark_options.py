"""Options of landmarks, and the landmark loss and scorer that they describe."""

import dataclasses
import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from experiments.common import options
from experiments.common.fields import About
from experiments.common.options import option
from experiments.search import guidance, landmark_scores, targets
from inpaint_jax.errors import InputError, naming
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel
from inpaint_jax.pretrained import landmark_predictor, networks
from inpaint_jax.search import landmark_term

_Term = landmark_term.Settings  # a field has the name of the module


@dataclasses.dataclass(frozen=True)
class LandmarkOptions:
    """How landmarks guide a search."""

    landmark_term: Literal["none", "step", "soft", "net"] = option(
        _Term.term,
        "Landmark loss: none (semantic inpainting, SI, of Yeh et al.); step: number of "
        "landmark coordinates that are too far off (eqs. 17 and 18); soft: a smooth "
        "loss with a differentiable version of dlib's cascade; net: a smooth loss with "
        "the landmark net.",
    )
    landmark_target: Literal["masked", "predicted", "oracle"] = option(
        "predicted",
        "Source of the target landmarks: masked: dlib on the damaged image, as in the "
        "thesis; predicted: the landmark net; oracle: dlib on the undamaged image, an "
        "upper bound that needs --allow_oracle.",
    )
    allow_oracle: bool = option(
        False, "Allow --landmark_target=oracle to use the undamaged image."
    )
    landmark_model: str | None = option(
        None, "File of dlib's 68-point model; by default the installed one."
    )
    landmark_net: str = option(
        "release",
        "Landmark net: a --run_dir of experiments.train_landmarks, or a release.",
    )
    landmark_scores: bool = option(
        False,
        "Report the landmark error of each completion whose original is known.",
    )
    settings: _Term = options.nested(
        _Term(),
        prefix="landmark_",
        without=("term",),
        threshold=About(
            "Distance by which a point (for step, a coordinate) may be off, in "
            "--landmark_threshold_unit.",
            least=0.0,
        ),
        temperature=About(least=1e-3),
        pairs=About(least=1, most=1000),
        radius=About(least=1e-3),
    )

    @property
    def used(self) -> _Term | None:
        """The options of the landmark loss, or None without it."""
        if self.landmark_term == "none":
            return None
        return dataclasses.replace(self.settings, term=self.landmark_term)


class Loaded(NamedTuple):
    """The landmark loss and the scorer, with their models.

    Attributes:
      landmarks: the landmark loss of a search; None without it.
      models: {name: hash} of the model files that were read.
      scorer: measures landmark errors of completions; None if not wanted.
    """

    landmarks: guidance.Landmarks | None
    models: dict[str, Any]
    scorer: landmark_scores.Scorer | None


def load(asked: LandmarkOptions, *, size: int, crop: int, weight: float) -> Loaded:
    """Loads the models that the options need, and no others.

    Args:
      asked: options of landmarks.
      size: height and width of the generator's images.
      crop: side of its training crops in CelebA pixels.
      weight: of the landmark loss, --lambda_landmark.

    Raises:
      InputError: options contradict each other, or a model is missing or does not fit.
    """
    _check(asked)
    options.check_there(asked, "landmark_net", "landmark_model")
    settings = asked.used
    models = _Models(asked.landmark_model, asked.landmark_net, size=size, crop=crop)
    scorer = landmark_scores.Scorer(models.dlib) if asked.landmark_scores else None
    if settings is None:
        return Loaded(None, models.hashes(), scorer)
    by_net = settings.term == "net"
    cascade = None if by_net else models.cascade
    called = models.predictor if settings.detector == "dlib" else None
    target = _target(asked.landmark_target, models, cascade)
    predict = landmark_predictor.predict(models.net) if by_net else None
    term = landmark_term.LandmarkTerm(settings, cascade, predict, called)
    landmarks = guidance.Landmarks(weight, term, target)
    return Loaded(landmarks, models.hashes(), scorer)


class _Models:
    """The models that flags name; each is read at its first use."""

    def __init__(self, cascade: str | None, net: str, *, size: int, crop: int) -> None:
        self._cascade, self._net = cascade, net
        self._size, self._crop = size, crop

    @functools.cached_property
    def cascade(self) -> ShapeModel:
        return _read_cascade(self._cascade)[0]

    @functools.cached_property
    def dlib(self) -> targets.Dlib:
        cascade = self.cascade
        return targets.Dlib(dlib_host.Detector(), cascade)

    @property
    def predictor(self) -> dlib_host.Predictor:
        return _read_predictor(self._cascade)

    @functools.cached_property
    def net(self) -> networks.Pretrained:
        net = _read_net(self._net)
        _check_fits(net, self._net, size=self._size, crop=self._crop)
        return net

    def hashes(self) -> dict[str, Any]:
        """Returns {model: hash or source} of the models that were read."""
        found = {}
        if "cascade" in vars(self):
            found["cascade"] = _read_cascade(self._cascade)[1]
        if "net" in vars(self):
            found["net"] = self.net.source
        return found


# Read once for all searches of a process.
@functools.cache
def _read_cascade(path: str | None) -> tuple[ShapeModel, str]:
    with naming("--landmark_model", path):
        model, sha256 = dlib_host.read_model(dlib_host.find_model(path))
    return jax.tree.map(jnp.asarray, model), sha256


@functools.cache
def _read_predictor(path: str | None) -> dlib_host.Predictor:
    with naming("--landmark_model", path):
        return dlib_host.Predictor(path)


@functools.cache
def _read_net(path: str) -> networks.Pretrained:
    with naming("--landmark_net", path):
        return networks.load(path, model="landmark_net")


def _target(name: str, models: _Models, cascade: ShapeModel | None) -> targets.Target:
    if name == "masked":
        return targets.Masked(models.dlib)
    if name == "oracle":
        return targets.Oracle(models.dlib)
    return targets.Predicted(landmark_predictor.predict(models.net), cascade)


def _check(asked: LandmarkOptions) -> None:
    if asked.used is None:
        return
    gradient = asked.settings.gradient
    if gradient != "none" and asked.landmark_term != "step":
        raise InputError(
            f"--landmark_gradient={gradient}: only the count needs an estimated "
            "gradient; give --landmark_term=step or leave it out."
        )
    detector = asked.settings.detector
    if detector == "dlib" and asked.landmark_term != "step":
        raise InputError(
            f"--landmark_detector={detector}: only the count can be taken of dlib's "
            "points, which have no gradient; give --landmark_term=step or leave it out."
        )
    if asked.landmark_target == "oracle" and not asked.allow_oracle:
        raise InputError(
            "--landmark_target=oracle: looks at the undamaged image, as no completion "
            "can; add --allow_oracle to compute this upper bound."
        )


def _check_fits(net: networks.Pretrained, path: str, *, size: int, crop: int) -> None:
    points = net.architecture.points
    if points != dlib_host.POINTS:
        raise InputError(
            f"--landmark_net={path}: places {points} points; give a net of "
            f"{dlib_host.POINTS}."
        )
    found = net.architecture.image_size, net.crop
    if found != (size, crop):
        raise InputError(
            f"--landmark_net={path}: was trained on images of {found[0]} pixels "
            f"and crops of {found[1]}, the generator on {size} and {crop}; give a net "
            "for these, or --landmark_term=none."
        )
