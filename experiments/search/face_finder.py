"""Finds faces with dlib and the landmark net, which are loaded when first needed."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8

from experiments.common import identity
from inpaint_jax.errors import InputError
from inpaint_jax.images import alignment, pixels
from inpaint_jax.landmarks import dlib_host, face_finding
from inpaint_jax.pretrained import landmark_predictor, networks


@functools.cache
def models() -> dict[str, Any]:
    """Returns the hashes of the models that find faces; None for one that is missing.

    Nothing of dlib is loaded.
    """
    net = networks.load("release", model="landmark_net")
    try:
        cascade = identity.of_file(dlib_host.find_model(None))
    except InputError:
        cascade = None
    return {"cascade": cascade, "net": identity.of_model(net.source)}


class _Models(NamedTuple):
    detector: dlib_host.Detector
    predictor: dlib_host.Predictor
    locate: face_finding.Locate | None


class Finder:
    """Finds the frames of the faces in photographs, see `photo_cases.FindFaces`."""

    def __init__(self, *, crop: int, size: int) -> None:
        """Loads nothing yet.

        Args:
          crop: side of the frames in CelebA pixels.
          size: side of the frames in pixels.
        """
        self._crop, self._size = crop, size
        self._models: _Models | None = None

    def __call__(
        self,
        picture: UInt8[np.ndarray, "height width 3"],
        hole: Bool[np.ndarray, "height width"] | None,
    ) -> Sequence[alignment.Similarity]:
        """Finds faces.

        Args:
          picture: RGB bytes.
          hole: True in the hole; None without one.

        Raises:
          InputError: dlib or its model is not installed.
        """
        if self._models is None:
            self._models = _Models(
                dlib_host.Detector(), dlib_host.Predictor(), self._locate()
            )
        faces = face_finding.find(
            picture, hole, crop=self._crop, size=self._size, **self._models._asdict()
        )
        return [face.similarity for face in faces]

    def _locate(self) -> face_finding.Locate | None:
        """Returns the landmark net, if it knows such frames."""
        net = networks.load("release", model="landmark_net")
        if (net.architecture.image_size, net.crop) != (self._size, self._crop):
            return None
        predict = jax.jit(landmark_predictor.predict(net))

        def locate(
            frame: UInt8[np.ndarray, "size size 3"],
            hidden: Bool[np.ndarray, "size size"],
        ) -> tuple[Float[np.ndarray, "68 2"], Float[np.ndarray, " 68"]]:
            mask = jnp.asarray(~hidden, jnp.float32)[None, ..., None]
            points, whitening = predict(pixels.from_bytes(frame)[None], mask)
            sure = np.abs(np.linalg.det(np.asarray(whitening[0], np.float64)))
            return np.asarray(points[0], np.float64), sure

        return locate
