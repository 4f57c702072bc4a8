"""Completes the faces of a photograph, and tells what happens while it does."""

import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from experiments.common import cases, chosen_faces, mask_specs
from experiments.evaluation import completion_methods
from experiments.page import choices, engines
from experiments.search import (
    animation,
    contact_sheet,
    face_landmarks,
    photo_results,
    picture_scores,
    search_methods,
)
from inpaint_jax.errors import InputError
from inpaint_jax.images import pixels
from inpaint_jax.io import photographs
from inpaint_jax.search import completion, driver, program
from inpaint_jax.search.problem import Problem

Event = dict[str, Any]
"""What a browser is told, as JSON values; "kind" says which."""

_MOST_CANDIDATES = 8


class Face(NamedTuple):
    """A completed face.

    Attributes:
      placement: where it belongs.
      candidates: its completions in the frame, the best first.
      frames: the course of its search, for an animation.
    """

    placement: cases.Placement
    candidates: Sequence[cases.Picture]
    frames: Sequence[animation.Frame]


@dataclasses.dataclass(frozen=True)
class Completed:
    """A completed photograph: what one may download.

    Attributes:
      faces: its faces.
    """

    faces: Sequence[Face]

    def photograph(self, number: int) -> bytes:
        """Returns the file of the photograph with the candidates of a number, from 0.

        Raises:
          IndexError: no face has so many.
        """
        if not 0 <= number < max(len(face.candidates) for face in self.faces):
            raise IndexError(number)
        placed = [(face.placement, face.candidates) for face in self.faces]
        found = photo_results.assembled(placed, number)
        return photographs.encode_photograph(found.pixels, like=found.like)

    def animation(self) -> bytes | None:
        """Returns the file of the first face's search in motion; None without one."""
        if not self.faces[0].frames:
            return None
        return animation.encoded(self.faces[0].frames)


def complete(
    engine: engines.Engine, damaged: engines.Damaged, choice: choices.Choice
) -> Iterator[Event | Completed]:
    """Completes a photograph.

    Args:
      engine: the networks.
      damaged: the photograph with its hole.
      choice: what is asked for.

    Yields:
      Events: "faces" when they are framed, "step" in the course of a search, "done";
      and before that one the completed photograph.

    Raises:
      InputError: the hole meets no face, or a search diverged.
      Ended: by `engines.CHECK`.
    """
    found = engine.cases(damaged, choice)
    yield _framed(found)
    faces, scores = [], []
    for number, case in enumerate(found):
        engines.check()
        if choice.search is None:
            face, score = _in_one_pass(engine.one_pass(choice.asked.method), case)
        else:
            method = engine.search(choice.search)
            face, score = yield from _searched(method, case, number, len(found))
        if case.original is not None:
            best, original = face.candidates[0], case.original
            score |= picture_scores.scores(best, original, case, None)
        faces.append(face)
        scores.append(score)
    yield Completed(faces)
    yield {
        "kind": "done",
        "candidates": [
            [contact_sheet.address(each) for each in face.candidates] for face in faces
        ],
        "animated": bool(faces[0].frames),
        "scores": scores,
        "command": choice.command,
    }


def _framed(found: Sequence[cases.Case]) -> Event:
    placements = [case.placement for case in found if case.placement is not None]
    notes = [each.stays for each in placements[:1] if each.stays]
    for case, placement in zip(found, placements, strict=True):
        if placement.guessed:
            notes.append(chosen_faces.doubt(placement.frame, len(case.picture)))
    size = len(found[0].picture)
    outlines = [engines.corners(each.frame, size) for each in placements]
    return {"kind": "faces", "outlines": outlines, "notes": notes}


def _searched(
    method: search_methods.SearchMethod, case: cases.Case, number: int, count: int
) -> Iterator[Any]:
    """Yields the steps of a search; returns the face and its scores."""
    problem, _ = method.guides.problem(case)
    compiled, shown, last = method.compiled, [], None
    compiled.check_memory(case.key, problem)
    for last in driver.search(case.key, problem, compiled=compiled):
        engines.check()
        picture, event = _step(method, problem, last)
        shown.append(picture)
        yield event | {"face": number, "faces": count}
    assert last is not None
    result = completion.finish(last, problem, compiled=compiled, blend=method.blend)
    images = completion.blended(
        result.generated[:_MOST_CANDIDATES], problem, blend=method.blend
    )
    frames = [shown[index] for index in animation.kept(len(shown))]
    terms = {name: float(values[0]) for name, values in result.terms.items()}
    scores = {"loss": float(result.score[0]), **terms}
    return _face(case, np.asarray(pixels.to_bytes(images)), frames), scores


def _step(
    method: search_methods.SearchMethod, problem: Problem, now: driver.Progress
) -> tuple[cases.Picture, Event]:
    """Returns the best candidate after some steps, and what is told of them."""
    together = program.stacked([problem])
    generated, _, terms = method.compiled.evaluate(now.best_z[None, None], together)
    image = completion.blended(generated[0], problem, blend=method.blend)
    picture = np.asarray(pixels.to_bytes(image[0]))
    points = face_landmarks.of(method.guides, problem, image)
    return picture, {
        "kind": "step",
        "step": now.iteration,
        "steps": method.settings.all_iterations,
        "loss": float(now.best_loss.min()),
        "terms": {name: float(values[0, 0]) for name, values in terms.items()},
        "picture": contact_sheet.address(picture),
        "landmarks": {who: np.round(p, 2).tolist() for who, p in points.items()},
    }


def _in_one_pass(
    method: completion_methods.CompletionMethod, case: cases.Case
) -> tuple[Face, dict[str, float]]:
    found = method.complete([case])
    if found.failed[0]:
        raise InputError(f"{method.name}: failed on this picture; take another method.")
    return _face(case, found.images, ()), {}


def _face(
    case: cases.Case, images: np.ndarray, frames: Sequence[animation.Frame]
) -> Face:
    placement = case.placement
    assert placement is not None
    return Face(
        placement, [photo_results.in_tone(placement, each) for each in images], frames
    )


def jpeg(picture: cases.Picture, *, quality: int) -> bytes:
    """Returns the file of a picture that is only looked at."""
    return _encoded(picture, "JPEG", quality=quality)


def stencil(hole: mask_specs.HolePixels) -> cases.Picture:
    """Returns a picture that marks a hole: white in it, black elsewhere."""
    return np.repeat(np.uint8(255) * hole[..., None], 3, axis=-1)


def png(picture: cases.Picture) -> bytes:
    """Returns the file of a picture, quickly rather than small."""
    return _encoded(picture, "PNG", compress_level=1)


def _encoded(picture: cases.Picture, kind: str, **options: int) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(picture).save(stored, format=kind, **options)
    return stored.getvalue()
