"""Measures the landmark error of a completion against its original."""

import dataclasses

from experiments.common import cases
from experiments.search import targets
from inpaint_jax import types
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import pixels


@dataclasses.dataclass(frozen=True)
class Scorer:
    """Compares dlib's landmarks of original and completion, in the original's box.

    Attributes:
      dlib: dlib's detector and cascade.
    """

    dlib: targets.Dlib

    def error(
        self, original: cases.Picture, completed: types.Image, *, crop: int
    ) -> float:
        """Returns the mean landmark error over the distance between the eyes.

        Args:
          original: the undamaged picture.
          completed: `[1, H, W, 3]`.
          crop: side of the picture in CelebA pixels.
        """
        box, _ = self.dlib.box(original, crop=crop)
        truth, found = (
            self.dlib.points(image, box)
            for image in (pixels.from_bytes(original)[None], completed)
        )
        return float(metrics.nme(found, truth)[0])
