"""Finds faces with dlib and the landmark net, which are loaded when first needed."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8

from experiments.common import chosen_faces, identity
from inpaint_jax.errors import InputError
from inpaint_jax.images import alignment, pixels
from inpaint_jax.landmarks import dlib_host, face_finding, frame_settling
from inpaint_jax.pretrained import landmark_predictor, networks


@functools.cache
def _net() -> networks.Pretrained:
    return networks.load("release", model="landmark_net")


@functools.cache
def models() -> dict[str, Any]:
    """Returns the hashes of the models that find faces; None for one that is missing.

    Nothing of dlib is loaded.
    """
    net = _net()
    try:
        cascade = identity.of_file(dlib_host.find_model(None))
    except InputError:
        cascade = None
    return {"cascade": cascade, "net": identity.of_model(net.source)}


class Finder:
    """Finds the frames of the faces in photographs, see `chosen_faces.FaceFinder`."""

    def __init__(
        self, crop: int, size: int, *, check: Callable[[], None] = lambda: None
    ) -> None:
        """Loads nothing yet.

        Args:
          crop: side of the frames in CelebA pixels.
          size: side of the frames in pixels.
          check: is called again and again, and may end it all by an error.
        """
        self._crop, self._size, self._check = crop, size, check

    @functools.cached_property
    def _dlib(self) -> tuple[dlib_host.Detector, dlib_host.Predictor]:
        return dlib_host.Detector(), dlib_host.Predictor()

    @functools.cached_property
    def _locate(self) -> frame_settling.Locate | None:
        """The landmark net, if it knows such frames."""
        net = _net()
        if (net.architecture.image_size, net.crop) != (self._size, self._crop):
            return None
        return _locating(net, self._check)

    def faces(
        self,
        picture: UInt8[np.ndarray, "height width 3"],
        hole: Bool[np.ndarray, "height width"] | None,
        given: Sequence[alignment.Similarity] = (),
    ) -> Sequence[chosen_faces.Framed]:
        """Finds faces, see `chosen_faces.FaceFinder`.

        Raises:
          InputError: dlib or its model is not installed.
        """
        detector, predictor = self._dlib
        faces = face_finding.find(
            picture,
            hole,
            detector=detector,
            predictor=predictor,
            crop=self._crop,
            size=self._size,
            locate=self._locate,
            given=given,
        )
        return [
            chosen_faces.Framed(face.similarity, face_finding.is_guessed(face))
            for face in faces
        ]

    def settled(
        self,
        picture: UInt8[np.ndarray, "height width 3"],
        hole: Bool[np.ndarray, "height width"] | None,
        frame: alignment.Similarity,
    ) -> alignment.Similarity:
        """Corrects a frame, see `chosen_faces.FaceFinder`; not without a net."""
        return (
            frame_settling.Frames(picture, hole, self._locate, self._crop, self._size)
            .settled(frame)
            .similarity
        )


def _locating(
    net: networks.Pretrained, check: Callable[[], None]
) -> frame_settling.Locate:
    predict = jax.jit(landmark_predictor.predict(net))

    def locate(
        frame: UInt8[np.ndarray, "size size 3"],
        hidden: Bool[np.ndarray, "size size"],
    ) -> tuple[Float[np.ndarray, "68 2"], Float[np.ndarray, " 68"]]:
        check()
        mask = jnp.asarray(~hidden, jnp.float32)[None, ..., None]
        points, whitening = predict(pixels.from_bytes(frame)[None], mask)
        sure = np.abs(np.linalg.det(np.asarray(whitening[0], np.float64)))
        return np.asarray(points[0], np.float64), sure

    return locate
