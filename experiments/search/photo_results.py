"""Puts completed faces back into their photographs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.common import cases, photo_cases
from inpaint_jax.images import alignment, insertion
from inpaint_jax.io import photographs

# Part of the frame's side within which a face meets what lies beyond its frame.
_BAND = 0.16


class Completed(NamedTuple):
    """A completed photograph.

    Attributes:
      pixels: uint8 `[H, W, 3]`; outside the hole the photograph's own.
      like: what it is written like, see `photographs.write_photograph`.
    """

    pixels: cases.Picture
    like: photographs.Photograph


class Assembly:
    """Collects the faces of each photograph until all of them are completed."""

    def __init__(self) -> None:
        """Begins without a face."""
        self._faces: list[tuple[cases.Placement, Sequence[cases.Picture]]] = []

    def add(
        self, placement: cases.Placement, answers: Sequence[cases.Picture]
    ) -> list[Completed]:
        """Adds a completed face.

        Args:
          placement: of the face.
          answers: its completions in the frame, from `in_tone`, the best first.

        Returns:
          The completed photograph for each answer, if this was its last face; otherwise
          nothing. A face with fewer answers than others has its best one in the rest.
        """
        # Faces of one photograph follow each other; one whose search failed leaves the
        # others of its photograph behind.
        self._faces = [each for each in self._faces if each[0].name == placement.name]
        self._faces.append((placement, answers))
        if len(self._faces) < placement.count:
            return []
        most = max(len(answers) for _, answers in self._faces)
        found = [assembled(self._faces, number) for number in range(most)]
        self._faces.clear()
        return found


def assembled(
    faces: Sequence[tuple[cases.Placement, Sequence[cases.Picture]]], number: int
) -> Completed:
    """Puts one answer for each face of a photograph into it.

    Args:
      faces: where each belongs, and its completions in the frame, the best first.
      number: of the answer, from 0; a face that has fewer has its best one.
    """
    placement = faces[0][0]
    pixels, missing = placement.photo.pixels, placement.hole.copy()
    for each, answers in faces:
        face = answers[number] if number < len(answers) else answers[0]
        pixels = inserted(pixels, missing, face, each.frame)
    return Completed(pixels, placement.photo.opaque_in(placement.hole & ~missing))


def in_tone(placement: cases.Placement | None, face: cases.Picture) -> cases.Picture:
    """Returns a completed face in the tone of its photograph: grey if that is grey.

    Args:
      placement: of the face; None if it is in no photograph.
      face: uint8 `[size, size, 3]`.
    """
    if placement is None:
        return face
    return insertion.in_tone(face, placement.photo.pixels, known=~placement.hole)


def shown(placement: cases.Placement, face: cases.Picture) -> cases.Picture:
    """Returns what the frame of a face shows once the face is put back.

    Args:
      placement: of the face.
      face: the completed face, uint8 `[size, size, 3]`, from `in_tone`.
    """
    size, shape = len(face), placement.photo.shape
    left, top, right, bottom = alignment.frame_box(placement.frame, shape, size=size)
    # With what is around it, to which the face must fit.
    margin = (right - left) // 8 + 2
    left, top = max(left - margin, 0), max(top - margin, 0)
    part = np.s_[top : bottom + margin, left : right + margin]
    shift = alignment.Similarity(np.column_stack([np.eye(2), [left, top]]))
    frame = placement.frame.after(shift)
    pixels = placement.photo.on_white()[part]
    missing = placement.hole[part].copy()
    return alignment.to_frame(inserted(pixels, missing, face, frame), frame, size=size)


def inserted(
    pixels: cases.Picture,
    missing: np.ndarray,
    face: cases.Picture,
    frame: alignment.Similarity,
) -> cases.Picture:
    """Fills the part of a photograph's hole that lies in the frame of a face.

    Args:
      pixels: uint8 `[H, W, 3]`.
      missing: `[H, W]`, True where a pixel is still missing; what is filled is set to
        False.
      face: the completed face, uint8 `[size, size, 3]`.
      frame: from the photograph to the face's frame.
    """
    size = len(face)
    within = np.zeros_like(missing)
    photo_cases.cover(within, frame, np.ones((size, size), bool))
    left, top, right, bottom = alignment.frame_box(frame, missing.shape, size=size)
    # With the pixels around the frame, which the face must meet as well.
    box = max(left - 1, 0), max(top - 1, 0), right + 1, bottom + 1
    box = (*box[:2], min(box[2], missing.shape[1]), min(box[3], missing.shape[0]))
    part = np.s_[box[1] : box[3], box[0] : box[2]]
    drawn = alignment.to_photograph(face, frame, box=box)
    fill = missing[part] & within[part]
    result = pixels.copy()
    result[part] = insertion.insert(
        pixels[part],
        drawn,
        fill,
        known=~missing[part],
        beyond=~within[part],
        band=_BAND * size / frame.scale,
    )
    missing[part] &= ~fill
    return result
