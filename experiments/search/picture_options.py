"""Flags of the pictures that are completed, and what they ask for."""

import dataclasses
import functools
import pathlib
from typing import Literal

from experiments.common import chosen_faces, input_listing, mask_specs, photo_cases
from experiments.common.options import option
from experiments.search import (
    apparent_gender,
    face_finder,
    known_results,
    output_names,
)
from inpaint_jax.errors import InputError
from inpaint_jax.images import masks
from inpaint_jax.io import files
from inpaint_jax.search import answers as different
from inpaint_jax.search.settings import Settings

_PORTRAIT = files.ASSETS / "portrait.png"


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The pictures that are completed, their mask, and the output."""

    images: tuple[str, ...] = option(
        (),
        "Pictures, folders with an optional [start:stop], paths with *, ? or **, or "
        "@FILE for a text file with a path on each line; commas join several, or the "
        "flag is repeated. By default the portrait that comes with the package.",
        repeated=True,
    )
    mask: str = option(
        mask_specs.AUTO,
        f"Name of a mask ({', '.join(masks.MASKS)}); a picture that marks the hole, "
        "where it differs from its background by more than a sixth of its range, or "
        "a folder with one for each picture (its name, or NAME_mask); alpha: the "
        "picture's transparent pixels; rect:X,Y,W,H in pixels of the picture; or auto: "
        "alpha where a part of the picture is transparent, otherwise centre.",
    )
    grow_mask: int = option(
        0,
        "Pixels of the photograph by which a hole that is no preset is enlarged.",
        least=0,
        most=10_000,
    )
    mask_hole: Literal["white", "black"] = option(
        "white", "Colour that marks the hole in a picture given as --mask."
    )
    original_known: bool | None = option(
        None,
        "Whether the pictures are undamaged, so that the result can be scored; by "
        "default yes for a named mask, no for a mask file.",
    )
    face: str = option(
        "all",
        "Which faces of a photograph are completed, where the hole touches them: all, "
        "largest, the number of one, from 1 by size; or none to take each picture as "
        "it is framed, as aligned CelebA pictures always are.",
    )
    output_dir: str = option("outputs", "Folder to write to.")
    seed: int = option(0, "Seed of masks and starting points.", least=0, most=2**32 - 1)
    attribute: apparent_gender.Asked = option(
        "any",
        "Which of the restarts come first: those that look female, or male, or keep "
        "how the original looks, to a classifier of CelebA's labels; any: by their "
        "loss alone. It is how a picture looks, and says nothing about a person.",
    )
    landmark_figure: bool = option(
        False, "Draw the landmarks in the course of each search."
    )
    answers: int = option(
        1,
        "Number of different completions of each picture, NAME.png, NAME_2.png and so "
        "on: the best restarts that differ in the hole by a root mean square of at "
        f"least {different.DIFFERENT:g} (from black to white it is 2).",
        least=1,
        most=100,
    )
    animate: bool = option(
        False,
        "Write each search as an animated picture NAME.webp of the face's frame, one "
        "picture after each --chunk (give a small one).",
    )
    images_at_once: int = option(
        1,
        "Number of images that one program searches for, if memory allows.",
        least=1,
    )
    max_memory: float | None = option(
        None,
        "Memory in GB for that program; by default 80 % of the free memory.",
        above=0.0,
        most=1_000_000,
    )


def photos(wanted: Pictures, *, crop: int, size: int) -> photo_cases.Wanted:
    """Returns how photographs become cases.

    Args:
      wanted: the flags.
      crop: side of the model's frame in CelebA pixels.
      size: height and width of its images.

    Raises:
      InputError: there is no such --face.
    """
    choice = chosen_faces.Choice(
        wanted.face, face_finder.Finder(crop, size), crop, size
    )
    chosen_faces.check(choice)
    return photo_cases.Wanted(
        functools.partial(chosen_faces.frames, choice=choice),
        crop=crop,
        size=size,
        seed=wanted.seed,
        original_known=wanted.original_known,
    )


def order(wanted: Pictures, *, crop: int) -> apparent_gender.Order | None:
    """Returns the order of the restarts that --attribute asks for; None for any.

    Args:
      wanted: the flags.
      crop: side of the model's frame in CelebA pixels.

    Raises:
      InputError: a flag shows another restart, or dlib is not installed.
    """
    if wanted.attribute != "any":
        for flag in ("animate", "landmark_figure"):
            if getattr(wanted, flag):
                raise InputError(
                    f"--{flag}: shows the best restart by its loss, which "
                    f"--attribute={wanted.attribute} may not take; leave one out."
                )
    return apparent_gender.order(wanted.attribute, crop=crop)


def mask(wanted: Pictures) -> mask_specs.MaskSpec:
    """Returns the masks that --mask specifies.

    Raises:
      InputError: there is none of that name.
    """
    white = wanted.mask_hole == "white"
    return mask_specs.read_mask(wanted.mask, hole_is_white=white, grow=wanted.grow_mask)


def inputs(
    wanted: Pictures, settings: Settings, output: pathlib.Path
) -> input_listing.Listing:
    """Lists the pictures to complete.

    Args:
      wanted: the flags.
      settings: of the search.
      output: folder of the results.

    Raises:
      InputError: there is none, or a result would overwrite one, another result or what
        is no result.
    """
    listing = input_listing.list_inputs(
        wanted.images or str(_PORTRAIT), mask=wanted.mask, output=output
    )
    names = output_names.Names(
        listing.inputs,
        answers=wanted.answers,
        animate=wanted.animate,
        landmark_figure=wanted.landmark_figure,
        several=wanted.face == "all",
    )
    output_names.check(names, mask=wanted.mask, output=output)
    known_results.check(names, output)
    output_names.check_count(wanted.answers, settings)
    return listing
