"""Finds the target landmarks of an image, by dlib or by the landmark net."""

import dataclasses
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from experiments.common import cases
from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.images import pixels
from inpaint_jax.landmarks import annotation, dlib_host
from inpaint_jax.landmarks.cascade import prediction
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel
from inpaint_jax.models import landmark_net
from inpaint_jax.search import landmark_term

Entry = dict[str, Any]
"""The report's entry about the landmarks of one image, as JSON values."""

Found = tuple[landmark_term.Target, Entry]
Box = Int[jax.Array, "1 4"]


@dataclasses.dataclass(frozen=True)
class Dlib:
    """dlib's detector and landmark cascade.

    Attributes:
      detector: detects the bounding box of a face.
      cascade: predicts the landmarks in a box.
    """

    detector: dlib_host.Detector
    cascade: ShapeModel

    def box(self, picture: cases.Picture, *, crop: int) -> tuple[Box, str]:
        """Returns (bounding box of a face, its source), see `dlib_host.face_box`."""
        box, source = dlib_host.face_box(self.detector, picture, crop=crop)
        return jnp.asarray(box, jnp.int32)[None], source

    def points(self, image: types.Image, box: Box) -> annotation.Landmarks:
        """Returns the landmarks in whole pixels, as dlib does."""
        return _points(self.cascade, image, box)

    def target(self, picture: cases.Picture, *, crop: int) -> Found:
        """Returns dlib's landmarks on a picture as the target, and its entry."""
        box, source = self.box(picture, crop=crop)
        image = pixels.from_bytes(picture)[None]
        target = _target_of_cascade(self.cascade, image, box)
        return target, {"face_box": source}


class Target(Protocol):
    """Finds the target landmarks of images.

    Attributes:
      name: name in the report.
      sees_original: whether it uses the undamaged image, so that results are an upper
        bound.
    """

    name: ClassVar[str]
    sees_original: ClassVar[bool]

    def of(self, case: cases.Case, image: types.Image) -> Found:
        """Returns (target landmarks of one image, entry for the report).

        Args:
          case: the input.
          image: the damaged image, `[1, H, W, 3]`, with a grey hole.

        Raises:
          InputError: the target cannot be found.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Masked:
    """The target is dlib's landmarks on the damaged image, as in the thesis."""

    name: ClassVar[str] = "masked"
    sees_original: ClassVar[bool] = False
    dlib: Dlib

    def of(self, case: cases.Case, image: types.Image) -> Found:
        """See `Target`."""
        return self.dlib.target(np.asarray(pixels.to_bytes(image[0])), crop=case.crop)


@dataclasses.dataclass(frozen=True)
class Oracle:
    """The target is dlib's landmarks on the undamaged image: an upper bound."""

    name: ClassVar[str] = "oracle"
    sees_original: ClassVar[bool] = True
    dlib: Dlib

    def of(self, case: cases.Case, image: types.Image) -> Found:
        """See `Target`."""
        del image
        if case.original is None:
            raise InputError(
                f"{case.name}: --landmark_target=oracle needs the undamaged image."
            )
        return self.dlib.target(case.original, crop=case.crop)


@dataclasses.dataclass(frozen=True)
class Predicted:
    """The target is the landmark net's prediction from the damaged image.

    Attributes:
      predictor: the landmark net, a pytree.
      cascade: the cascade that predicts the candidates' landmarks; None if the net
        does.
    """

    name: ClassVar[str] = "predicted"
    sees_original: ClassVar[bool] = False
    predictor: landmark_term.Predict
    cascade: ShapeModel | None

    def of(self, case: cases.Case, image: types.Image) -> Found:
        """See `Target`."""
        target = landmark_term.target_of_net(
            *self.predict(image, case.mask), self.cascade
        )
        deviation = float(target.deviation.mean())
        return target, {"face_box": "predicted", "deviation": deviation}

    def predict(
        self, image: types.Image, mask: types.Mask
    ) -> tuple[landmark_net.Landmarks, landmark_net.Whitening]:
        """Returns (landmarks, matrices that whiten their errors)."""
        return _predict(self.predictor, image, mask)


# Compiled once for all images.
_predict = jax.jit(lambda predictor, image, mask: predictor(image, mask))
_target_of_cascade = jax.jit(landmark_term.target_of_cascade)


@jax.jit
def _points(cascade: ShapeModel, image: types.Image, box: Box) -> annotation.Landmarks:
    return prediction.round_as_dlib(prediction.predict(cascade, image, box))
