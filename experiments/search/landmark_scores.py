"""How far the landmarks of a completion are from those of the original."""

import dataclasses

from experiments.common import cases
from experiments.search import targets
from inpaint_jax import types
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import pixels


@dataclasses.dataclass(frozen=True)
class Scorer:
    """Measures original and completion by dlib, in the box of the original's face."""

    dlib: targets.Dlib

    def error(
        self, original: cases.Picture, completed: types.Image, *, crop: int
    ) -> float:
        """Returns the error of a completion over the distance between the eyes.

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
