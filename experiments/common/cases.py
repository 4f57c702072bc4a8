"""What is searched for: a framed picture, each with its mask and random key."""

import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from experiments.common import mask_specs, progress
from inpaint_jax import types
from inpaint_jax.errors import printable
from inpaint_jax.images import alignment, stencils
from inpaint_jax.io import photographs

Picture = UInt8[np.ndarray, "height width 3"]


class Placement(NamedTuple):
    """Where the result of a case belongs.

    Attributes:
      name: name of the photograph's result, see `input_paths.Input`.
      photo: the photograph.
      hole: True in its hole, `[H, W]`.
      frame: from the photograph to the case's frame.
      number: of the face, from 1.
      count: number of the photograph's faces that are completed.
      guessed: whether where the face lies is only guessed.
      stays: what of the photograph's hole lies in no face's frame, in words; or "".
    """

    name: str
    photo: photographs.Photograph
    hole: mask_specs.HolePixels
    frame: alignment.Similarity
    number: int
    count: int
    guessed: bool = False
    stays: str = ""


class Case(NamedTuple):
    """One input: a framed picture with its mask.

    Attributes:
      name: name of the output file without suffix, see `input_paths.Input`.
      picture: uint8 `[H, W, 3]`, framed; the search ignores the pixels in the hole.
      original: the undamaged picture, to score the result; None if unknown.
      crop: side of the frame in CelebA pixels.
      mask: `[1, H, W, 1]`, 1 = known.
      key: random key of the starting points.
      placement: where its result belongs; None for a picture that is only framed.
    """

    name: str
    picture: Picture
    original: Picture | None
    crop: int
    mask: types.Mask
    key: types.PRNGKey
    placement: Placement | None = None


def name_of(path: pathlib.Path) -> str:
    """Returns the name of a picture's case, under which its results are stored."""
    return printable(path.stem)


def grid_name(page: int) -> str:
    """Returns the name of the file with the grid's page, counted from 1."""
    return "grid.png" if page == 1 else f"grid_{page}.png"


def remark(
    path: pathlib.Path, photo: photographs.Photograph, hole: mask_specs.MaskSpec
) -> None:
    """Says what is odd about a photograph.

    Args:
      path: of the photograph.
      photo: the photograph.
      hole: its mask.
    """
    if photo.remark:
        progress.say(f"{path}: {photo.remark}")
    if hole.make is not None and photo.alpha is not None:
        erased = float(stencils.transparent(photo.alpha).mean())
        if 0.0 < erased < 1.0:
            progress.say(
                f"{path}: {erased:.0%} is transparent, and shown white; --mask=alpha "
                "takes it for the hole"
            )
