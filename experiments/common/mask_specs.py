"""What --mask specifies: a preset, files that mark holes, transparency, a rectangle."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from experiments.common import identity, input_paths, mask_folders, progress
from inpaint_jax.errors import InputError, naming
from inpaint_jax.images import masks, stencils
from inpaint_jax.io import photographs, picture_files

HolePixels = Bool[np.ndarray, "height width"]

AUTO = "auto"
"""The mask that is the photograph's transparent part, or else `centre`."""

_USUAL = "centre"
_MUCH = 0.85  # of the picture: most masks of such holes are of the other polarity


class Hole(NamedTuple):
    """The hole of one picture.

    Attributes:
      pixels: True in the hole, `[H, W]`, of the upright photograph, or of the size of
        the model's images.
      name: where it comes from, for error messages.
    """

    pixels: HolePixels
    name: str


FindHole = Callable[[input_paths.Input, photographs.Photograph], Hole]
"""(input, its photograph) -> its hole; raises InputError if there is none."""

HashOfMask = Callable[[input_paths.Input], str]
"""Input -> SHA-256 of the file that marks its hole; raises InputError without one."""


class MaskSpec(NamedTuple):
    """The masks that --mask specifies.

    Attributes:
      name: name of the mask, or the value of the flag.
      make: function that makes a preset, within the face's frame; None for a hole that
        is found in the photograph's own pixels.
      find: function that finds such a hole; None for a preset. Only `auto` has both.
      hash_of: returns the hash of the file that marks it; None if none does.
    """

    name: str
    make: masks.MakeMask | None
    find: FindHole | None
    hash_of: HashOfMask | None = None

    def identity(self, picture: input_paths.Input) -> str:
        """Returns what the mask of a picture depends on: its name, or a file's hash.

        Raises:
          InputError: there is no mask for the picture.
          OSError: its file cannot be read.
        """
        return self.name if self.hash_of is None else self.hash_of(picture)

    def chosen(self, photo: photographs.Photograph) -> "MaskSpec":
        """Returns the mask that `auto` is for a photograph; any other is itself.

        Args:
          photo: one of which a part is transparent has its hole there.
        """
        if self.make is None or self.find is None:
            return self
        if photo.alpha is not None:
            erased = stencils.transparent(photo.alpha)
            if erased.any() and not erased.all():
                return MaskSpec("alpha", None, self.find)
        return MaskSpec(_USUAL, self.make, None)

    def of(
        self, picture: input_paths.Input, photo: photographs.Photograph, *, size: int
    ) -> Hole:
        """Finds the hole of one picture; for specifications that are no presets.

        Args:
          picture: the picture.
          photo: the same, as it was read.
          size: side of the model's images.

        Returns:
          The hole, of the size of the photograph, or `[size, size]`.

        Raises:
          InputError: there is none, or it has another size.
        """
        if self.find is None:
            raise ValueError(f"{self.name} is a preset")
        hole = self.find(picture, photo)
        if hole.pixels.shape not in (photo.shape, (size, size)):
            raise _misfit(hole, picture.path, photo, size)
        return hole


def read_mask(
    name: str, *, hole_is_white: bool = True, grow: int = 0, flag: str = "--mask"
) -> MaskSpec:
    """Finds the masks that a flag specifies.

    Args:
      name: `auto`, name of a preset (`masks.named`), `alpha`, `rect:X,Y,W,H`, or path
        of a picture that marks the hole or of a folder with one for each picture.
      hole_is_white: whether white marks the hole in pictures; otherwise black does.
      grow: pixels by which holes other than those of presets are dilated.
      flag: the flag that names it.

    Raises:
      InputError: there is no such mask or file, or the picture marks no hole.
    """
    with naming(flag, name):
        try:
            preset = MaskSpec(*masks.named(_USUAL if name == AUTO else name), None)
        except InputError:
            find, hash_of = _finder(name, hole_is_white, flag)
            if find is None:
                raise
            return MaskSpec(name, None, _growing(find, grow), hash_of)
    if grow:
        raise InputError(
            f"--grow_mask={grow}: a preset as {flag}={name} does not grow; give "
            "--grow_mask=0."
        )
    return MaskSpec(AUTO, preset.make, _erased) if name == AUTO else preset


def _finder(
    name: str, hole_is_white: bool, flag: str
) -> tuple[FindHole | None, HashOfMask | None]:
    """Returns how holes are found, None if nothing has that name; and their hashes."""
    if name == "alpha":
        return _erased, None
    if name.startswith("rect:"):
        return _rectangle(name), None
    path = input_paths.existing(name)
    hint = _Hint(flag, name, hole_is_white)
    if os.path.isdir(path):
        file_of = mask_folders.finder(path)
        return (
            lambda picture, photo: _of_file(file_of(picture), hint),
            lambda picture: identity.of_file(file_of(picture)),
        )
    if not os.path.isfile(path):
        return None, None
    # Before it is read, in case that it changes.
    sha256 = identity.of_file(path) if os.access(path, os.R_OK) else ""
    hole = _of_file(path, hint)
    return (lambda picture, photo: hole), (lambda picture: sha256)


def _growing(find: FindHole, grow: int) -> FindHole:
    if not grow:
        return find

    def grown(picture: input_paths.Input, photo: photographs.Photograph) -> Hole:
        hole = find(picture, photo)
        pixels = stencils.dilated(hole.pixels, grow)
        if pixels.all():
            raise InputError(
                f"--grow_mask={grow}: the hole of {hole.name} grows over the whole "
                "picture; give less."
            )
        return hole._replace(pixels=pixels)

    return grown


def _erased(picture: input_paths.Input, photo: photographs.Photograph) -> Hole:
    alpha = photo.alpha
    hole = None if alpha is None else stencils.transparent(alpha)
    if hole is None or not hole.any():
        raise InputError(
            f"{picture.path}: has no transparent pixels, which --mask=alpha takes for "
            "the hole; erase the hole in it, or give another --mask."
        )
    if hole.all():
        raise InputError(
            f"{picture.path}: is transparent all over; leave a part of it."
        )
    return Hole(hole, str(picture.path))


def _rectangle(text: str) -> FindHole:
    match = re.fullmatch(r"rect:(-?\d{1,9}),(-?\d{1,9}),(\d{1,9}),(\d{1,9})", text)
    left, top, width, height = (
        (int(each) for each in match.groups()) if match else 4 * (0,)
    )
    if not width or not height:
        raise InputError(
            f"{text}: no rectangle; give rect:X,Y,W,H in pixels of the upright "
            "picture, as rect:10,20,64,48."
        )

    def find(picture: input_paths.Input, photo: photographs.Photograph) -> Hole:
        hole = np.zeros(photo.shape, bool)
        hole[
            max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)
        ] = 1
        if not hole.any() or hole.all():
            what = "covers all of" if hole.any() else "lies outside"
            raise InputError(
                f"{text}: {what} {picture.path}, which has {_size(photo.shape)}; give "
                "rect:X,Y,W,H that covers a part of it."
            )
        return Hole(hole, text)

    return find


@dataclasses.dataclass
class _Hint:
    """Reads masks, and says once that a hole is so large that it may be inverted."""

    flag: str
    value: str
    hole_is_white: bool
    said: bool = False

    def about(self, hole: Hole) -> None:
        share = float(hole.pixels.mean())
        if share <= _MUCH or self.said:
            return
        self.said = True
        marks, other = ("white", "black") if self.hole_is_white else ("black", "white")
        progress.say(
            f"{self.flag}={self.value}: {marks} marks the hole, which is {share:.0%} "
            f"of {hole.name}; if {other} was meant to, give --mask_hole={other}"
        )


def _of_file(path: str | os.PathLike[str], hint: _Hint) -> Hole:
    rgba = picture_files.read_stencil(path)
    pixels = stencils.find_hole(rgba, name=str(path), hole_is_white=hint.hole_is_white)
    hole = Hole(pixels, str(path))
    hint.about(hole)
    return hole


def _misfit(
    hole: Hole, path: pathlib.Path, photo: photographs.Photograph, size: int
) -> InputError:
    text = f"{hole.name}: {_size(hole.pixels.shape)}, but {path} "
    if hole.pixels.shape != photo.shape[::-1]:
        return InputError(
            f"{text}has {_size(photo.shape)}; give a mask of the picture's own size, "
            f"or {size} x {size} as it is completed."
        )
    if photo.turned:
        text += "is turned by a quarter, as its EXIF orientation says, and then "
    return InputError(
        f"{text}has {_size(photo.shape)} upright; turn the mask by a quarter."
    )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} pixels"
