"""Flags of landmarks, and the guide of a search and the scorer that they ask for."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from absl import flags

from experiments.common import application
from experiments.search import guiding, landmark_scores, targets
from inpaint_jax.errors import InputError
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel
from inpaint_jax.pretrained import landmark_predictor, networks
from inpaint_jax.search import landmark_term

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


class Landmarks(NamedTuple):
    """What the flags ask for.

    Attributes:
      guide: of a search.
      scorer: of completions, if their landmarks are to be scored.
    """

    guide: guiding.Guide
    scorer: landmark_scores.Scorer | None


def from_flags(*, size: int, crop: int) -> Landmarks:
    """Loads what the flags ask for, and nothing else.

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
        _check(settings, target=_TARGET.value, oracle_allowed=_ALLOW_ORACLE.value)
    models = _Models(_MODEL.value, _NET.value, size=size, crop=crop)
    scorer = landmark_scores.Scorer(models.dlib) if _SCORES.value else None
    if settings is None:
        return Landmarks(guiding.Unguided(models.hashes()), scorer)
    by_net = settings.term == "net"
    cascade = None if by_net else models.cascade
    target = _target(_TARGET.value, models, cascade)
    place = landmark_predictor.place(models.net) if by_net else None
    term = landmark_term.LandmarkTerm(settings, cascade, place)
    return Landmarks(guiding.Guided(term, target, models.hashes()), scorer)


class _Models:
    """The models that flags name; each is read when it is first asked for."""

    def __init__(self, cascade: str | None, net: str, *, size: int, crop: int):
        self._cascade, self._net = cascade, net
        self._size, self._crop = size, crop

    @functools.cached_property
    def cascade(self) -> ShapeModel:
        return _read_cascade(self._cascade)[0]

    @functools.cached_property
    def dlib(self) -> targets.Dlib:
        cascade = self.cascade
        return targets.Dlib(dlib_host.Detector(), cascade)

    @functools.cached_property
    def net(self) -> networks.Pretrained:
        net = _read_net(self._net)
        _check_fits(net, self._net, size=self._size, crop=self._crop)
        return net

    def hashes(self) -> dict[str, Any]:
        """Of the files that were read."""
        found = {}
        if "cascade" in vars(self):
            found["cascade"] = _read_cascade(self._cascade)[1]
        if "net" in vars(self):
            found["net"] = self.net.source
        return found


# Read once, however many searches of a process use them.
@functools.cache
def _read_cascade(path: str | None) -> tuple[ShapeModel, str]:
    model, sha256 = dlib_host.read_model(dlib_host.find_model(path))
    return jax.tree.map(jnp.asarray, model), sha256


_read_net = functools.cache(functools.partial(networks.load, model="landmark_net"))


def _target(name: str, models: _Models, cascade: ShapeModel | None) -> targets.Target:
    if name == "masked":
        return targets.Masked(models.dlib)
    if name == "oracle":
        return targets.Oracle(models.dlib)
    return targets.Predicted(landmark_predictor.place(models.net), cascade)


def _check(
    settings: landmark_term.Settings, *, target: str, oracle_allowed: bool
) -> None:
    if settings.gradient != "none" and settings.term != "step":
        raise InputError(
            f"--landmark_gradient={settings.gradient}: only the count needs an "
            "estimated gradient; give --landmark_term=step or leave it out."
        )
    if target == "oracle" and not oracle_allowed:
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
            "for these."
        )
