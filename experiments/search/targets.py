"""Where the landmarks of an image should be: what different targets make of it."""

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
"""What the report says of one image."""

Found = tuple[landmark_term.Target, Entry]
Box = Int[jax.Array, "1 4"]


@dataclasses.dataclass(frozen=True)
class Dlib:
    """What dlib makes of a face: first a box, then the points in it.

    Attributes:
      detector: finds the box.
      cascade: places the points.
    """

    detector: dlib_host.Detector
    cascade: ShapeModel

    def box(self, picture: cases.Picture, *, crop: int) -> tuple[Box, str]:
        """Returns the box of a face and where it is from, see `dlib_host.face_box`."""
        box, source = dlib_host.face_box(self.detector, picture, crop=crop)
        return jnp.asarray(box, jnp.int32)[None], source

    def points(self, image: types.Image, box: Box) -> annotation.Landmarks:
        """Returns the points in whole pixels, as dlib does."""
        return _points(self.cascade, image, box)

    def target(self, picture: cases.Picture, *, crop: int) -> Found:
        """Takes the points on a picture for the truth."""
        box, source = self.box(picture, crop=crop)
        image = pixels.from_bytes(picture)[None]
        target = _target_of_cascade(self.cascade, image, box)
        return target, {"face_box": source}


class Target(Protocol):
    """Says where the points of one image should be.

    Attributes:
      name: for the report.
      sees_original: whether it looks at the undamaged image, as no completion can.
    """

    name: ClassVar[str]
    sees_original: ClassVar[bool]

    def of(self, case: cases.Case, image: types.Image) -> Found:
        """Finds the points.

        Args:
          case: the input.
          image: `[1, H, W, 3]`, its hole grey.

        Raises:
          InputError: there is no telling.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Masked:
    """dlib's points on the damaged image, as in the thesis."""

    name: ClassVar[str] = "masked"
    sees_original: ClassVar[bool] = False
    dlib: Dlib

    def of(self, case: cases.Case, image: types.Image) -> Found:
        """See `Target`."""
        return self.dlib.target(np.asarray(pixels.to_bytes(image[0])), crop=case.crop)


@dataclasses.dataclass(frozen=True)
class Oracle:
    """dlib's points on the undamaged image, an upper bound."""

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
    """What the landmark net makes of the damaged image.

    Attributes:
      predictor: the net, a pytree.
      cascade: that is to place the candidates' points, if one is.
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
        """Returns the points, and what whitens their errors."""
        return _predict(self.predictor, image, mask)


# Compiled once for all images.
_predict = jax.jit(lambda predictor, image, mask: predictor(image, mask))
_target_of_cascade = jax.jit(landmark_term.target_of_cascade)


@jax.jit
def _points(cascade: ShapeModel, image: types.Image, box: Box) -> annotation.Landmarks:
    return prediction.round_as_dlib(prediction.predict(cascade, image, box))
