"""Reads the pictures to complete: framed, each with its mask and random key."""

import functools
import os
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, UInt8

from experiments.common import skipping, stopping
from inpaint_jax import types
from inpaint_jax.errors import InputError, naming, printable
from inpaint_jax.images import framing, masks
from inpaint_jax.io import picture_files, sources
from inpaint_jax.search import problem

Picture = UInt8[np.ndarray, "height width 3"]
HolePixels = Bool[np.ndarray, "height width"]
Stencil = Float[jax.Array, "height width 1"]


class MaskSpec(NamedTuple):
    """The mask that --mask specifies: a named mask, or the hole pixels of a file.

    Attributes:
      name: name of the mask or of the file.
      make: function that makes a named mask; None for a file.
      pixels: True in the hole of a file, `[H, W]`; empty for a named mask.
    """

    name: str
    make: masks.MakeMask | None
    pixels: HolePixels


class Case(NamedTuple):
    """One input: a framed picture with its mask.

    Attributes:
      name: stem of the output file.
      picture: uint8 `[H, W, 3]`, framed; the search ignores the pixels in the hole.
      original: the undamaged picture, to score the result; None if unknown.
      crop: side of the frame in CelebA pixels.
      mask: `[1, H, W, 1]`, 1 = known.
      key: random key of the starting points.
    """

    name: str
    picture: Picture
    original: Picture | None
    crop: int
    mask: types.Mask
    key: types.PRNGKey


def name_of(path: pathlib.Path) -> str:
    """Returns the name of a picture's case, under which its results are stored."""
    return printable(path.stem)


def grid_name(page: int) -> str:
    """Returns the name of the file with the grid's page, counted from 1."""
    return "grid.png" if page == 1 else f"grid_{page}.png"


def list_inputs(images: str, *, mask: str, output: pathlib.Path) -> list[pathlib.Path]:
    """Lists the paths of the pictures to complete.

    Args:
      images: a picture, or a folder with an optional `[start:stop]`.
      mask: name or file of the mask.
      output: folder of the results.

    Returns:
      Paths of pictures, sorted.

    Raises:
      InputError: there is no picture, two results would have the same name, or a result
        would overwrite a picture or the mask.
    """
    path, part = sources.split_slice(images)
    if os.path.isdir(path):
        results = pathlib.Path(os.path.realpath(output))
        if results == pathlib.Path(os.path.realpath(path)):
            raise InputError(
                f"--output_dir={output}: is the folder of --images, whose pictures "
                "and results would be mixed; give another folder."
            )
        # The results of an earlier run may lie in a folder within.
        with naming("--images", images):
            listed = sources.list_pictures(path)
        real = {path: pathlib.Path(os.path.realpath(path)) for path in listed}
        inputs = [path for path in listed if results not in real[path].parents][part]
        if not inputs:
            raise InputError(f"--images={images}: this slice is empty.")
    elif os.path.isfile(path) and part == slice(None):
        inputs = [pathlib.Path(path)]
    else:
        raise InputError(
            f"--images={images}: no such file or folder; give a picture, or a "
            "folder with or without a [start:stop]."
        )
    _check_outputs(inputs, mask, output)
    return inputs


def _check_outputs(
    inputs: Sequence[pathlib.Path], mask: str, output: pathlib.Path
) -> None:
    stems = [name_of(path) for path in inputs]
    written = {f"{stem}_landmarks": f"the landmarks of {stem}" for stem in stems}
    for path, stem in zip(inputs, stems, strict=True):
        if re.fullmatch(r"grid(_\d+)?", stem):
            written[stem] = "a grid of this run"
        if stem in written:
            raise InputError(
                f"--images={path}: would be written as {stem}.png, like "
                f"{written[stem]}; rename it."
            )
        written[stem] = str(path)
    outputs = {os.path.realpath(output / f"{stem}.png") for stem in written}
    for path in (*inputs, mask):
        if os.path.exists(path) and os.path.realpath(path) in outputs:
            raise InputError(
                f"--output_dir={output}: {path} would be overwritten by a result; give "
                "another folder."
            )


def read_mask(
    name: str, *, hole_is_white: bool = True, flag: str = "--mask"
) -> MaskSpec:
    """Finds a mask by its name or reads it from a file.

    Args:
      name: name of a mask (`masks.named`), or path of a picture that marks the hole.
      hole_is_white: whether white marks the hole; otherwise black does.
      flag: the flag that names it.

    Raises:
      InputError: there is no such mask or file, or the picture has only one colour.
    """
    with naming(flag, name):
        try:
            return MaskSpec(*masks.named(name), np.zeros((0, 0), bool))
        except InputError:
            if not os.path.isfile(name):
                raise
        grey = picture_files.read_stencil(name)
        mask = masks.from_image(
            grey, name=name, shape=grey.shape, hole_is_white=hole_is_white
        )
    return MaskSpec(name, None, np.asarray(mask)[..., 0] == 0)


def read(
    path: pathlib.Path,
    hole: MaskSpec,
    *,
    crop: int,
    size: int,
    seed: int,
    original_known: bool | None,
) -> Case:
    """Reads one picture and frames it with its mask.

    Args:
      path: the picture.
      hole: from `read_mask`; a file must have the size of the picture or of the model.
      crop: side of the frame in CelebA pixels.
      size: height and width of the model's images.
      seed: seed of mask and starting points, combined with the picture's name.
      original_known: whether the picture is undamaged; None for True with a named mask
        and False with a mask file, which usually comes with a damaged picture.

    Raises:
      InputError: the picture cannot be read, or the mask does not fit it.
    """
    photo = picture_files.read(path)
    picture = original = framing.frame(photo, crop=crop, size=size)
    key = problem.image_key(jax.random.key(seed), path.name)
    key_mask, key_start = jax.random.split(key)
    if hole.make is not None:
        mask = hole.make(key_mask, (size, size))
    elif hole.pixels.shape == photo.shape[:2]:
        picture, mask = _frame_with_hole(photo, hole, crop, size)
    else:
        mask = _mask_of(hole.pixels, hole.name, size)
    if original_known is None:
        original_known = hole.make is not None
    return Case(
        name=name_of(path),
        picture=picture,
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

    def read(self, hole: MaskSpec, *, seed: int) -> list[Case]:
        """Reads all pictures with one mask, see `read`."""
        one = functools.partial(read, crop=self.crop, size=self.size, seed=seed)
        return [one(path, hole, original_known=True) for path in self.paths]


def _frame_with_hole(
    photo: Picture, hole: MaskSpec, crop: int, size: int
) -> tuple[Picture, Stencil]:
    # Scaling mixes neighbouring pixels. The hole is filled with the mean colour first,
    # so that its pixels cannot reach a known one; a scaled pixel is hole if any part
    # of it is.
    empty = np.where(hole.pixels[..., None], photo[~hole.pixels].mean(axis=0), photo)
    stencil = np.repeat(_grey(hole.pixels)[..., None], 3, axis=-1)
    framed = framing.frame(stencil, crop=crop, size=size)[..., 0] > 0
    picture = framing.frame(empty.astype(np.uint8), crop=crop, size=size)
    return picture, _mask_of(framed, hole.name, size)


def _grey(hole_pixels: HolePixels) -> UInt8[np.ndarray, "height width"]:
    return np.where(hole_pixels, np.uint8(255), np.uint8(0))


def _mask_of(hole_pixels: HolePixels, name: str, size: int) -> Stencil:
    with naming("--mask", name):  # other flags take no files
        return masks.from_image(_grey(hole_pixels), name=name, shape=(size, size))
