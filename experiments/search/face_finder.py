"""Finds faces with dlib and the landmark net, which are loaded when first needed."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from inpaint_jax.images import alignment
from inpaint_jax.landmarks import dlib_host, face_finding


class Finder:
    """Finds the frames of the faces in photographs, see `photo_cases.FindFaces`."""

    def __init__(self, *, crop: int, size: int) -> None:
        """Loads nothing yet.

        Args:
          crop: side of the frames in CelebA pixels.
          size: side of the frames in pixels.
        """
        self._crop, self._size = crop, size
        self._models: tuple[dlib_host.Detector, dlib_host.Predictor] | None = None

    def __call__(
        self,
        picture: UInt8[np.ndarray, "height width 3"],
        hole: Bool[np.ndarray, "height width"] | None,
    ) -> Sequence[alignment.Similarity]:
        """Finds faces.

        Raises:
          InputError: dlib or its model is not installed.
        """
        if self._models is None:
            self._models = dlib_host.Detector(), dlib_host.Predictor()
        detector, predictor = self._models
        faces = face_finding.find(
            picture,
            hole,
            detector=detector,
            predictor=predictor,
            crop=self._crop,
            size=self._size,
        )
        return [face.similarity for face in faces]
