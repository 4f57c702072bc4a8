"""Reads the pictures to complete: framed, each with its mask and random key."""

import functools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8

from experiments.common import (
    input_paths,
    mask_specs,
    progress,
    skipping,
    stopping,
)
from inpaint_jax import types
from inpaint_jax.errors import InputError, naming, printable
from inpaint_jax.images import alignment, framing, masks, stencils
from inpaint_jax.io import photographs, picture_files
from inpaint_jax.search import problem

Picture = UInt8[np.ndarray, "height width 3"]
Stencil = Float[jax.Array, "height width 1"]


class Placement(NamedTuple):
    """Where the result of a case belongs.

    Attributes:
      name: name of the photograph's result, see `input_paths.Input`.
      photo: the photograph.
      hole: True in its hole, `[H, W]`.
      frame: from the photograph to the case's frame.
      number: of the face, from 1.
      count: number of the photograph's faces that are completed.
    """

    name: str
    photo: photographs.Photograph
    hole: mask_specs.HolePixels
    frame: alignment.Similarity
    number: int
    count: int


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


def read(
    picture: input_paths.Input,
    hole: mask_specs.MaskSpec,
    *,
    crop: int,
    size: int,
    seed: int,
    original_known: bool | None,
) -> Case:
    """Reads one picture and frames it with its mask.

    Args:
      picture: the picture and the name of its result.
      hole: from `mask_specs.read_mask`.
      crop: side of the frame in CelebA pixels.
      size: height and width of the model's images.
      seed: seed of mask and starting points, combined with the picture's name.
      original_known: whether the picture is undamaged; None for True with a preset and
        False with another mask, which usually comes with a damaged picture.

    Raises:
      InputError: the picture cannot be read, or the mask does not fit it.
    """
    photo = photographs.read_photograph(picture.path)
    remark(picture.path, photo, hole)
    seen = photo.on_white()
    framed = original = framing.frame(seen, crop=crop, size=size)
    key = problem.image_key(jax.random.key(seed), picture.path.name)
    key_mask, key_start = jax.random.split(key)
    if hole.make is not None:
        mask = hole.make(key_mask, (size, size))
    else:
        with naming("--mask", hole.name):
            found = hole.of(picture, photo, size=size)
            if found.pixels.shape == photo.shape:
                framed, mask = _frame_with_hole(seen, found, crop, size)
            else:
                mask = _mask_of(found.pixels, found.name, size)
    if original_known is None:
        original_known = hole.make is not None
    return Case(
        name=picture.name,
        picture=framed,
        original=original if original_known else None,
        crop=crop,
        mask=mask[None],
        key=key_start,
    )


class Originals(NamedTuple):
    """Undamaged pictures on disk, which are framed in the same way.

    Attributes:
      paths: the pictures.
      crop: side of the frame in CelebA pixels.
      size: height and width of the model's images.
    """

    paths: Sequence[pathlib.Path]
    crop: int
    size: int

    @property
    def names(self) -> list[str]:
        """Names of their cases."""
        return [name_of(path) for path in self.paths]

    def usable(self, images: str, skipped: skipping.Skipped) -> "Originals":
        """Returns the pictures that can be read.

        Args:
          images: value of --images, for an error message.
          skipped: records the others.

        Raises:
          InputError: none can be read.
        """
        found = []
        for path in self.paths:
            stopping.check()
            try:
                framing.frame(picture_files.read(path), crop=self.crop, size=self.size)
            except InputError as error:
                skipped.add(path, error)
            else:
                found.append(path)
        if not found:
            raise InputError(f"--images={images}: none of the pictures can be used.")
        return self._replace(paths=found)

    def read(self, hole: mask_specs.MaskSpec, *, seed: int) -> list[Case]:
        """Reads all pictures with one mask, see `read`."""
        one = functools.partial(
            read, hole=hole, crop=self.crop, size=self.size, seed=seed
        )
        named = [input_paths.Input(path, name_of(path)) for path in self.paths]
        return [one(picture, original_known=True) for picture in named]


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


def _frame_with_hole(
    photo: Picture, hole: mask_specs.Hole, crop: int, size: int
) -> tuple[Picture, Stencil]:
    # Scaling mixes neighbouring pixels. The hole is filled with the mean colour first,
    # so that its pixels cannot reach a known one; a scaled pixel is hole if any part
    # of it is.
    mean = photo[~hole.pixels].mean(axis=0).astype(np.uint8)
    empty = np.where(hole.pixels[..., None], mean, photo)
    stencil = np.repeat(_grey(hole.pixels)[..., None], 3, axis=-1)
    framed = framing.frame(stencil, crop=crop, size=size)[..., 0] > 0
    picture = framing.frame(empty, crop=crop, size=size)
    return picture, _mask_of(framed, hole.name, size)


def _grey(hole: mask_specs.HolePixels) -> UInt8[np.ndarray, "height width"]:
    return np.where(hole, np.uint8(255), np.uint8(0))


def _mask_of(hole: mask_specs.HolePixels, name: str, size: int) -> Stencil:
    return masks.from_image(_grey(hole), name=name, shape=(size, size))
