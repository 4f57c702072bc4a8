"""Labels undamaged faces with dlib's landmarks, for training and evaluation."""

import threading
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from inpaint_jax import runtime, types
from inpaint_jax.landmarks import dlib_host

# dlib returns whole pixels, and they depend on the exact place of the box. The mean
# over boxes that are shifted by a pixel, or a pixel larger or smaller, reduces both
# effects: (shift to the right, shift down, growth).
_NUDGES = (
    (0, 0, 0),
    (1, 0, 0),
    (-1, 0, 0),
    (0, 1, 0),
    (0, -1, 0),
    (0, 0, 1),
    (0, 0, -1),
)


class Labels(NamedTuple):
    """Landmarks of faces, and the boxes in which dlib predicted them.

    Attributes:
      landmarks: `[count, 68, 2]`, (x, y) in pixels; NaN where dlib failed.
      box: `[count, 4]`, (left, top, right, bottom) in pixels, the box of each face.
      detected: `[count]`, whether dlib detected exactly one face; otherwise the box is
        the usual one of aligned CelebA pictures.
    """

    landmarks: Float[np.ndarray, "count 68 2"]
    box: Int[np.ndarray, "count 4"]
    detected: Bool[np.ndarray, " count"]


def label(
    predictor: dlib_host.Predictor,
    images: UInt8[np.ndarray, "count height width 3"],
    *,
    crop: int,
    nudged: bool,
    watch: types.Watch = types.unwatched,
) -> Labels:
    """Detects the face in each image and predicts its landmarks with dlib.

    Args:
      predictor: dlib's model.
      images: RGB bytes, undamaged.
      crop: side of the crop in CelebA pixels, see `framing.aligned_box`.
      nudged: True averages over seven boxes a pixel apart, for training; False gives
        dlib's own points in one box, whole pixels, for evaluation.
      watch: reports progress.

    Returns:
      The landmarks of all images.
    """
    box, detected = _boxes(images, crop, watch)
    nudges = _NUDGES if nudged else _NUDGES[:1]
    total = np.zeros((len(images), dlib_host.POINTS, 2), np.float32)
    for right, down, grown in nudges:
        change = [right - grown, down - grown, right + grown, down + grown]
        total += predictor.predict(images, box + np.array(change, np.int32))[0]
    return Labels(total / np.float32(len(nudges)), box, detected)


def _boxes(
    images: UInt8[np.ndarray, "count height width 3"], crop: int, watch: types.Watch
) -> tuple[Int[np.ndarray, "count 4"], Bool[np.ndarray, " count"]]:
    # dlib's detector lets other threads run, but each thread needs its own detector.
    own = threading.local()

    def find(
        image: UInt8[np.ndarray, "height width 3"],
    ) -> tuple[Int[np.ndarray, "4"], str]:
        if not hasattr(own, "detector"):
            own.detector = dlib_host.Detector()
        return dlib_host.face_box(own.detector, image, crop=crop)

    found = runtime.in_threads(find, list(images), watch=watch)
    box = np.stack([box for box, _ in found]).astype(np.int32)
    return box, np.array([source == "detected" for _, source in found])
