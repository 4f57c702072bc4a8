"""Finds the mask of a picture by its name in a folder of masks."""

import os
import pathlib
from collections.abc import Callable

from experiments.common import input_paths, progress
from inpaint_jax.errors import InputError
from inpaint_jax.io import sources


def finder(folder: str) -> Callable[[input_paths.Input], pathlib.Path]:
    """Returns how the mask of a picture is found: NAME_mask.png, or else NAME.png.

    The function says once that a picture has both. It raises InputError if there is no
    mask, or two of one name.

    Args:
      folder: the folder of masks.
    """
    found: dict[str, list[pathlib.Path]] = {}
    for path in sources.list_pictures(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        found.setdefault(name, []).append(path)
    told = False

    def named(name: str, picture: input_paths.Input) -> list[pathlib.Path]:
        itself = os.path.realpath(picture.path)
        return [p for p in found.get(name, []) if os.path.realpath(p) != itself]

    def find(picture: input_paths.Input) -> pathlib.Path:
        nonlocal told
        for name in dict.fromkeys((picture.name, picture.stem)):
            marked, plain = named(f"{name}_mask", picture), named(name, picture)
            fit = marked or plain
            if len(fit) > 1:
                raise InputError(
                    f"{folder}: has two masks for {picture.path}, {fit[0].name} "
                    f"and {fit[1].name}; leave one."
                )
            if marked and plain and not told:
                told = True
                progress.say(
                    f"{folder}: {marked[0].name} is taken for the mask of "
                    f"{picture.path}, and {plain[0].name} is not; leave only one of "
                    "them if that is wrong"
                )
            if fit:
                return fit[0]
        raise InputError(
            f"{folder}: has no mask for {picture.path}; expected {picture.stem}.png or "
            f"{picture.stem}_mask.png there."
        )

    return find
