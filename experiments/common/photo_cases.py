"""The faces of a photograph as cases, each framed with its part of the hole."""

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from experiments.common import (
    cases,
    chosen_faces,
    input_paths,
    mask_specs,
    progress,
)
from inpaint_jax.errors import InputError, naming
from inpaint_jax.images import alignment
from inpaint_jax.io import photographs
from inpaint_jax.search import problem

Frame = Bool[np.ndarray, "size size"]
"""Which pixels of a face's frame are hidden."""

_SMALL = 32  # side of a face's frame in the photograph below which it is named


Frames = Callable[
    [pathlib.Path, cases.Picture, mask_specs.HolePixels | None],
    Sequence[chosen_faces.Framed],
]
"""(path, photograph, hole) -> the frames of its faces, see `chosen_faces.frames`."""


class Wanted(NamedTuple):
    """How photographs become cases.

    Attributes:
      frames: chooses the faces that are completed.
      crop: side of the frame in CelebA pixels.
      size: height and width of the model's images.
      seed: seed of masks and starting points, combined with each picture's name.
      original_known: whether the photographs are undamaged; None for yes with a preset
        and no with another mask, which usually comes with a damaged picture.
    """

    frames: Frames
    crop: int
    size: int
    seed: int
    original_known: bool | None


def read(
    picture: input_paths.Input, spec: mask_specs.MaskSpec, *, wanted: Wanted
) -> list[cases.Case]:
    """Reads one photograph, and frames the faces that are to be completed.

    Args:
      picture: the photograph and the name of its result.
      spec: its mask; a preset lies in each face's frame.
      wanted: how it becomes cases.

    Raises:
      InputError: it cannot be read, the mask does not fit it, or no face is found or
        meets the hole.
    """
    return framed(
        picture, photographs.read_photograph(picture.path), spec, wanted=wanted
    )


def framed(
    picture: input_paths.Input,
    photo: photographs.Photograph,
    spec: mask_specs.MaskSpec,
    *,
    wanted: Wanted,
) -> list[cases.Case]:
    """Frames the faces of a photograph that are to be completed.

    Args:
      picture: where the photograph comes from, and the name of its result.
      photo: the photograph.
      spec: its mask; a preset lies in each face's frame.
      wanted: how it becomes cases.

    Raises:
      InputError: the mask does not fit it, or no face is found or meets the hole.
    """
    spec = spec.chosen(photo)
    cases.remark(picture.path, photo, spec)
    if wanted.original_known is None:
        wanted = wanted._replace(original_known=spec.make is not None)
    size, seen = wanted.size, photo.on_white()
    with naming("--mask", spec.name):
        erased = None if spec.make else spec.of(picture, photo, size=size).pixels
    faces = wanted.frames(picture.path, seen, erased)
    frames = [face.frame for face in faces]
    keys = _keys(wanted.seed, picture.path, len(frames))
    hole, hidden = _hidden(spec, erased, photo.shape, frames, keys, size)
    given = zip(frames, hidden, keys, strict=True)
    found = [
        _case(photo, seen, erased, each, part, key[1], wanted)
        for each, part, key in given
    ]
    return _placed(picture, photo, hole, found, faces, spec)


def _hidden(
    spec: mask_specs.MaskSpec,
    erased: mask_specs.HolePixels | None,
    shape: tuple[int, int],
    frames: Sequence[alignment.Similarity],
    keys: Sequence[tuple[jax.Array, ...]],
    size: int,
) -> tuple[mask_specs.HolePixels, list[Frame]]:
    """Returns the photograph's hole, and what it hides in each frame."""
    if spec.make is not None:
        made = [spec.make(key[0], (size, size)) for key in keys]
        hidden = [np.asarray(mask)[..., 0] == 0 for mask in made]
    elif erased is not None and erased.shape == shape:
        return erased, [
            alignment.hole_to_frame(erased, frame, size=size) for frame in frames
        ]
    else:
        hidden = [] if erased is None else [erased]
    hole = np.zeros(shape, bool)
    for frame, part in zip(frames, hidden, strict=True):
        cover(hole, frame, part)
    return hole, hidden


def _keys(seed: int, path: pathlib.Path, count: int) -> list[tuple[jax.Array, ...]]:
    """Returns for each face the keys of its mask and of its starting points."""
    key = problem.named_key(jax.random.key(seed), path.name)
    keys = [key, *(jax.random.fold_in(key, number) for number in range(1, count))]
    return [tuple(jax.random.split(each)) for each in keys]


def _case(
    photo: photographs.Photograph,
    seen: cases.Picture,
    erased: mask_specs.HolePixels | None,
    frame: alignment.Similarity,
    hidden: Frame,
    key: jax.Array,
    wanted: Wanted,
) -> cases.Case:
    """Frames one face; `cases.Case.placement` and its name are given later."""
    size = wanted.size
    to_frame = functools.partial(alignment.to_frame, similarity=frame, size=size)
    shown = seen
    if erased is not None and erased.shape == photo.shape:
        # Scaling mixes neighbouring pixels. The hole is filled with the mean colour
        # first, so that its pixels cannot reach a known one. A preset hides pixels of
        # the frame, as it does in every evaluation.
        left, top, right, bottom = alignment.frame_box(frame, photo.shape, size=size)
        inside = erased[top:bottom, left:right]
        known = seen[top:bottom, left:right][~inside]
        shown = seen.copy()
        shown[erased] = known.mean(axis=0).astype(np.uint8) if len(known) else 0
    beyond = alignment.outside(frame, photo.shape, size=size)
    mask = ~(hidden | beyond)
    return cases.Case(
        name="",
        picture=to_frame(shown),
        original=to_frame(seen) if wanted.original_known else None,
        crop=wanted.crop,
        mask=jnp.asarray(mask, jnp.float32)[None, ..., None],
        key=key,
    )


def _placed(
    picture: input_paths.Input,
    photo: photographs.Photograph,
    hole: mask_specs.HolePixels,
    found: list[cases.Case],
    faces: Sequence[chosen_faces.Framed],
    spec: mask_specs.MaskSpec,
) -> list[cases.Case]:
    """Names the cases and says where they belong; tells what stays of the hole."""
    size, count = len(found[0].picture), len(found)
    for case in found:
        if not case.mask.any():
            raise InputError(
                f"{picture.path}: the hole of {spec.name} hides a whole face; leave a "
                "part of it."
            )
    covered = np.zeros_like(hole)
    every = np.ones((size, size), bool)
    for frame, guessed in faces:
        cover(covered, frame, every)
        side = size / frame.scale
        if guessed:
            progress.say(f"{picture.path}: {chosen_faces.doubt(frame, size)}")
        if side < _SMALL:
            progress.say(
                f"{picture.path}: a face is framed by only {side:.0f} pixels; what is "
                "completed of it is coarse"
            )
    left, stays = hole & ~covered, ""
    if left.any():
        stays = (
            f"{left.sum() / hole.sum():.0%} of the hole, {chosen_faces.place(left)}, "
            "lies outside the frames of faces and stays as it is"
        )
        progress.say(f"{picture.path}: {stays}")
    placements = [
        cases.Placement(picture.name, photo, hole, frame, number, count, guessed, stays)
        for number, (frame, guessed) in enumerate(faces, start=1)
    ]
    names = [picture.name]
    if count > 1:
        names = [f"{picture.name}_face{n}" for n in range(1, count + 1)]
    return [
        case._replace(name=name, placement=placement)
        for case, name, placement in zip(found, names, placements, strict=True)
    ]


def cover(
    pixels: Bool[np.ndarray, "height width"],
    frame: alignment.Similarity,
    part: Frame,
) -> None:
    """Sets the pixels of a photograph whose place in a frame is in a part of it."""
    size = len(part)
    left, top, right, bottom = alignment.frame_box(frame, pixels.shape, size=size)
    columns = np.arange(left, right)
    for row in range(top, bottom):
        line = np.column_stack([columns, np.full(len(columns), row)])
        x, y = np.rint(frame.apply(line.astype(np.float64))).astype(int).T
        within = (x >= 0) & (y >= 0) & (x < size) & (y < size)
        pixels[row, columns[within]] |= part[y[within], x[within]]
