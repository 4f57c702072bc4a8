"""Views of a photograph for dlib's detector, and what it and the predictor must do.

The detector knows faces that are nearly upright and have about 80 pixels or more. A
view is a square picture with its similarity from the photograph; its hole is filled
smoothly.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float, Int, UInt8

from inpaint_jax.images import alignment, smooth_fill

_Picture = UInt8[np.ndarray, "height width 3"]
_Hole = Bool[np.ndarray, "height width"]


@runtime_checkable
class Detector(Protocol):
    """Finds upright faces; `dlib_host.Detector` is one."""

    def scored(
        self, image: _Picture, *, threshold: float
    ) -> tuple[Int[np.ndarray, "faces 4"], Float[np.ndarray, " faces"]]:
        """Returns boxes and scores; see `dlib_host.Detector.scored`."""
        ...


@runtime_checkable
class Predictor(Protocol):
    """Places the 68 landmarks in a box; `dlib_host.Predictor` is one."""

    def predict(
        self,
        images: UInt8[np.ndarray, "batch height width 3"],
        boxes: Int[np.ndarray, "batch 4"],
    ) -> tuple[Float[np.ndarray, "batch 68 2"], Int[np.ndarray, " batch"]]:
        """Returns points and status; see `dlib_host.Predictor.predict`."""
        ...


class Photograph(NamedTuple):
    """A photograph and its hole, which is not everywhere."""

    picture: _Picture
    hole: _Hole


class View(NamedTuple):
    """A square picture of a part of the photograph, with its hole filled."""

    picture: _Picture
    hole: _Hole
    similarity: alignment.Similarity


def square(
    middle: Float[np.ndarray, "2"], *, side: float, turn: float, pixels: int
) -> alignment.Similarity:
    """Returns the similarity to a view of a square of the photograph.

    Args:
      middle: (x, y) of the square's centre in the photograph.
      side: of the square, in pixels of the photograph.
      turn: degrees by which the photograph is turned clockwise.
      pixels: side of the view.
    """
    radians, scale = np.deg2rad(turn), pixels / side
    cosine, sine = scale * np.cos(radians), scale * np.sin(radians)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    shift = (pixels - 1) / 2 - linear @ middle
    return alignment.Similarity(np.column_stack([linear, shift]))


def draw(
    photograph: Photograph, similarity: alignment.Similarity, *, pixels: int
) -> View:
    """Draws a view, and fills its hole smoothly.

    Args:
      photograph: the photograph with its hole.
      similarity: from the photograph to the view.
      pixels: side of the view.
    """
    picture = alignment.to_frame(photograph.picture, similarity, size=pixels)
    hole = np.zeros(picture.shape[:2], bool)
    shape = photograph.hole.shape
    left, top, right, bottom = alignment.frame_box(similarity, shape, size=pixels)
    if photograph.hole[top:bottom, left:right].any():
        # Bicubic filters carry the hole's colour two pixels farther.
        levels = 100 * photograph.hole[:, :, None].astype(np.uint8)
        drawn = alignment.to_frame(levels, similarity, size=pixels)[:, :, 0]
        hole = scipy.ndimage.binary_dilation(drawn > 10, iterations=2)
    if hole.all():
        return View(picture, hole, similarity)
    return View(smooth_fill.fill(picture, hole), hole, similarity)
