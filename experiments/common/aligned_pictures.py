"""Undamaged pictures on disk that are framed as aligned pictures are."""

import functools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from experiments.common import (
    cases,
    chosen_faces,
    input_paths,
    mask_specs,
    photo_cases,
    skipping,
    stopping,
)
from inpaint_jax.errors import InputError
from inpaint_jax.images import framing
from inpaint_jax.io import picture_files


class AlignedPictures(NamedTuple):
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
        return [cases.name_of(path) for path in self.paths]

    def usable(self, images: str, skipped: skipping.Skipped) -> "AlignedPictures":
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

    def read(self, hole: mask_specs.MaskSpec, *, seed: int) -> list[cases.Case]:
        """Reads all pictures with one mask, see `photo_cases.read`."""
        wanted = photo_cases.Wanted(
            functools.partial(chosen_faces.as_it_is, crop=self.crop, size=self.size),
            crop=self.crop,
            size=self.size,
            seed=seed,
            original_known=True,
        )
        found = []
        for path in self.paths:
            given = input_paths.Input(path, cases.name_of(path))
            (case,) = photo_cases.read(given, hole, wanted=wanted)
            found.append(case._replace(placement=None))
        return found
