"""Which faces of a photograph are completed, and how each is framed."""

import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from experiments.common import cases, mask_specs, progress
from inpaint_jax.errors import InputError
from inpaint_jax.images import alignment, framing

# How far the corners of a frame may lie from where they should, in sides of the frame.
# Of 40 aligned faces none lies farther, of such that are turned by 15 degrees 97 %.
_OFF = 0.14
_NUMBER = re.compile(r"[1-9][0-9]{0,2}")  # of a face


class Framed(NamedTuple):
    """A face and its frame.

    Attributes:
      frame: from the photograph to the frame.
      guessed: whether where the face lies is only guessed.
    """

    frame: alignment.Similarity
    guessed: bool = False


def as_it_is(
    path: pathlib.Path,
    seen: cases.Picture,
    hole: mask_specs.HolePixels | None,
    *,
    crop: int,
    size: int,
) -> list[Framed]:
    """Returns the one frame of a picture that is framed already, see `framing.frame`.

    Args:
      path: of the picture.
      seen: the picture.
      hole: is not looked at.
      crop: side of the frame in CelebA pixels, of a picture with such proportions.
      size: height and width of the model's images.
    """
    return [Framed(alignment.central(*seen.shape[:2], crop=crop, size=size))]


class FaceFinder(Protocol):
    """Finds faces; `face_finder.Finder` is one."""

    def faces(
        self,
        picture: cases.Picture,
        hole: mask_specs.HolePixels | None,
        given: Sequence[alignment.Similarity] = (),
    ) -> Sequence[Framed]:
        """Returns the faces of a photograph with their frames.

        Args:
          picture: the photograph.
          hole: True in the hole; None without one.
          given: frames in which faces should be, and stay if they are surest there.

        Returns:
          The largest face first.
        """
        ...

    def settled(
        self,
        picture: cases.Picture,
        hole: mask_specs.HolePixels | None,
        frame: alignment.Similarity,
    ) -> alignment.Similarity:
        """Returns the frame of the face that an approximate frame shows.

        Args:
          picture: the photograph.
          hole: True in the hole; None without one.
          frame: from the photograph to the approximate frame.
        """
        ...


class Choice(NamedTuple):
    """Which faces are completed.

    Attributes:
      face: where the hole meets their frames: "all", "largest", the number of one, from
        1 by size; or "none" to take every picture as it is framed.
      finder: finds them; not asked if `face` is "none".
      crop: side of the frame in CelebA pixels.
      size: height and width of the model's images.
    """

    face: str
    finder: FaceFinder
    crop: int
    size: int


def check(choice: Choice) -> None:
    """Checks which faces are asked for.

    Raises:
      InputError: there is no such choice.
    """
    face = choice.face
    if face not in ("all", "largest", "none") and not _NUMBER.fullmatch(face):
        raise InputError(
            f"--face={face[:20]}: must be all, largest, none or a number from 1 to 999."
        )


def frames(
    path: pathlib.Path,
    seen: cases.Picture,
    hole: mask_specs.HolePixels | None,
    *,
    choice: Choice,
) -> list[Framed]:
    """Returns the frames of the faces that are to be completed.

    A picture with the proportions of aligned ones has one face, which lies where it
    should, unless the landmark net sees it elsewhere.

    Args:
      path: of the photograph, for messages.
      seen: the photograph.
      hole: True in its hole; None if that lies in each face's frame. Instead of the
        photograph's size it may have that of the frame.
      choice: which faces.

    Raises:
      InputError: none is found, or none that the hole meets.
    """
    shape = seen.shape[:2]
    framed = as_it_is(path, seen, hole, crop=choice.crop, size=choice.size)
    of_frame = hole is not None and hole.shape != shape
    erased = None if of_frame else hole
    if choice.face == "none" or shape == (choice.size, choice.size):
        return _met(path, framed, erased, choice)
    aligned = framing.is_aligned(*shape)
    if aligned and (of_frame or _lies_there(seen, hole, framed[0].frame, choice)):
        return _chosen(path, framed, erased, choice)
    if of_frame:
        raise InputError(
            f"{path}: the mask has the size of the model's images, but the faces are "
            "framed anew; give a mask of the picture's size."
        )
    found = list(choice.finder.faces(seen, hole, [framed[0].frame] if aligned else []))
    if aligned and not found:
        progress.say(f"{path}: no face was found; taken as it is framed")
        return _chosen(path, framed, hole, choice)
    chosen = _chosen(path, found, hole, choice)
    central = framed[0].frame
    if aligned and not all(
        np.array_equal(f.frame.matrix, central.matrix) for f in chosen
    ):
        _say_moved(path, chosen[0].frame, central)
    return chosen


def _lies_there(
    seen: cases.Picture,
    hole: mask_specs.HolePixels | None,
    frame: alignment.Similarity,
    choice: Choice,
) -> bool:
    """Returns whether the face lies where a frame expects it."""
    settled = choice.finder.settled(seen, hole, frame)
    return alignment.distance(settled, frame, size=choice.size) <= _OFF


def _say_moved(
    path: pathlib.Path, found: alignment.Similarity, frame: alignment.Similarity
) -> None:
    turn = round(float(np.rad2deg(found.angle - frame.angle)))
    larger = f"{frame.scale / found.scale:.1f}"
    differs = [f"turned by {turn} degrees"] if turn else []
    differs += [f"{larger} times as large"] if larger != "1.0" else []
    progress.say(
        f"{path}: has the proportions of an aligned picture, but its face is "
        f"{' and '.join(differs) or 'elsewhere'}; framed anew (--face=none takes it as "
        "it is)"
    )


def _chosen(
    path: pathlib.Path,
    found: list[Framed],
    hole: mask_specs.HolePixels | None,
    choice: Choice,
) -> list[Framed]:
    if not found:
        raise InputError(
            f"{path}: no face was found; give --face=none if it is framed as the "
            "training faces are, upright, with the face in its middle."
        )
    if choice.face == "largest":
        found = found[:1]
    elif _NUMBER.fullmatch(choice.face):
        number = int(choice.face)
        if number > len(found):
            shows = "one face" if len(found) == 1 else f"{len(found)} faces"
            raise InputError(
                f"--face={number}: {path} shows {shows}; give a number up to "
                f"{len(found)}, the largest first, or all."
            )
        found = found[number - 1 : number]
    return _met(path, found, hole, choice)


def _met(
    path: pathlib.Path,
    found: list[Framed],
    hole: mask_specs.HolePixels | None,
    choice: Choice,
) -> list[Framed]:
    """Returns the frames that a hole of the photograph meets."""
    if hole is None:
        return found
    met = [
        each
        for each in found
        if alignment.hole_to_frame(hole, each.frame, size=choice.size).any()
    ]
    if met:
        return met
    where = "the frame of every face that was found or chosen; mark a part of a face"
    otherwise = ", or give --face=none to take the picture as it is framed"
    if choice.face == "none":
        where, otherwise = "the picture's frame; mark a part of the face", ""
    raise InputError(
        f"{path}: the hole, {place(hole)}, lies outside {where}{otherwise}."
    )


def place(hole: mask_specs.HolePixels) -> str:
    """Says where a hole lies: its size and its first pixel."""
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    width, height = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    return f"{width} x {height} pixels from ({columns[0]}, {rows[0]}) on"


def doubt(frame: alignment.Similarity, size: int) -> str:
    """Says what a face is like that is only guessed, and what to do about it.

    Args:
      frame: from the photograph to its frame.
      size: side of the frame in pixels.
    """
    turn = round(float(np.rad2deg(frame.angle)))
    return (
        f"where a face lies is only guessed (turned by {turn} degrees, framed by "
        f"{size / frame.scale:.0f} pixels); look at it, and if it lies elsewhere cut "
        "the picture out around it and give --face=none"
    )
