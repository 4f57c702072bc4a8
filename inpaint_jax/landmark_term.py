"""The landmark loss of a damaged face (thesis 3.2.2): dlib meets eqs. 17 and 18."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from inpaint_jax import landmark_losses, pixels, types
from inpaint_jax.errors import InputError
from inpaint_jax.landmarks import host


class Target(NamedTuple):
    """Where the points of a damaged face are taken to be.

    Attributes:
      points: `[68, 2]`, dlib's on the damaged image, those in the hole guessed.
      box: (left, top, right, bottom) that all its candidates are measured in.
      box_source: "detected" or "aligned", see `host.face_box`.
    """

    points: Float[np.ndarray, "68 2"]
    box: Int[np.ndarray, "4"]
    box_source: str


def masked_target(
    detector: host.Detector,
    predictor: host.Predictor,
    image: types.Image,
    mask: types.Mask,
    *,
    crop: int,
) -> Target:
    """Takes dlib's points on the damaged image for the truth, as the thesis does.

    Args:
      detector: of faces.
      predictor: of points.
      image: `[1, H, W, 3]`; only its known pixels are used.
      mask: `[1, H, W, 1]`, 1 = known.
      crop: side of the crop in CelebA pixels, for the constant box.

    Raises:
      InputError: dlib failed.
    """
    damaged = np.asarray(pixels.to_bytes(mask * image))
    box, source = host.face_box(detector, damaged[0], crop=crop)
    points, status = predictor.predict(damaged, box[None])
    if status[0] != 0:
        raise InputError(f"dlib places no landmarks in the box {box.tolist()}.")
    return Target(points[0], box, source)


def counter(
    predictor: host.Predictor,
    target: Target,
    image: types.Image,
    mask: types.Mask,
    *,
    composite: bool = False,
    threshold: float = 3.0,
) -> Callable[[types.Image], types.PerExample]:
    """Returns the landmark count as a function of generated faces.

    Args:
      predictor: of points.
      target: where the points should be.
      image: `[1, H, W, 3]`.
      mask: `[1, H, W, 1]`, 1 = known.
      composite: measure G(z) in the hole of the image; otherwise G(z) under the mask,
        as the thesis does.
      threshold: in pixels, see `landmark_losses.step`.

    Returns:
      G(z) `[batch, H, W, 3]` -> count `[batch]`, by dlib on the host.
    """

    def count(generated):
        if composite:
            measured = jnp.where(mask > 0, image, generated)
        else:
            measured = mask * generated
        boxes = np.broadcast_to(target.box, (len(generated), 4))
        points, _ = predictor.predict(np.asarray(pixels.to_bytes(measured)), boxes)
        return landmark_losses.step(
            jnp.asarray(points),
            jnp.broadcast_to(target.points, points.shape),
            threshold=threshold,
        )

    return count
