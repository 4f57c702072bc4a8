"""Completes pictures from what their searches found, and scores them."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.common import cases, chosen_faces, identity
from experiments.search import (
    animation,
    apparent_gender,
    face_landmarks,
    guidance,
    landmark_figure,
    landmark_scores,
    output_names,
    photo_results,
    picture_scores,
)
from experiments.search.picture_search import Found
from inpaint_jax.images import pixels
from inpaint_jax.search import answers, completion, driver, program
from inpaint_jax.search.problem import Problem

_SHOWN_RESTARTS = 4

Entry = dict[str, Any]
"""The report's entry of one picture, as JSON values."""

Row = dict[str, cases.Picture]
"""{heading: picture}"""


class Finished(NamedTuple):
    """A completed picture.

    Attributes:
      entry: its entry in the report.
      row: its row in the grid: the damaged image, G(z) under the same mask, the best
        restarts, the completed image, and the original if known.
      trace: the lines of its search in the log.
      faces: its completions within the frame, the best answer first.
      photographs: {name of the file: completed photograph}; none before the last face
        of a photograph is completed.
      pictures: {name of the file: picture} beside these.
      landmarks: those of the contact sheet, see `face_landmarks.of`.
      frames: of the animation of its search; none if not wanted.
      stored: names of files that an earlier run has written for it.
    """

    entry: Entry
    row: Row
    trace: list[dict[str, Any]]
    faces: list[cases.Picture]
    photographs: dict[str, photo_results.Completed]
    pictures: dict[str, cases.Picture]
    landmarks: dict[str, face_landmarks.Points] = {}
    frames: Sequence[animation.Frame] = ()
    stored: Sequence[str] = ()

    @property
    def files(self) -> list[str]:
        """Names of the files that are written for it."""
        animated = [output_names.animation(self.entry["image"])] if self.frames else []
        return [*self.photographs, *self.pictures, *animated, *self.stored]


@dataclasses.dataclass(frozen=True)
class Finisher:
    """Completes pictures from the results of their searches.

    Attributes:
      compiled: the search.
      blend: "poisson" or "paste", see `completion.complete`.
      scorer: measures landmark errors; None if not wanted.
      figure: draws the landmarks in the course of a search; None if not wanted.
      guides: what guides the search.
      answers: largest number of different completions.
      animate: whether frames of the search are drawn.
      order: of the restarts; None for that of their loss.
      assembly: puts the faces into their photographs.
    """

    compiled: program.Search
    blend: str
    scorer: landmark_scores.Scorer | None
    figure: landmark_figure.Figure | None
    guides: guidance.Guidance
    answers: int = 1
    animate: bool = False
    order: apparent_gender.Order | None = None
    assembly: photo_results.Assembly = dataclasses.field(
        default_factory=photo_results.Assembly
    )

    def finish(self, found: Found) -> Finished:
        """Completes one picture.

        Raises:
          InputError: the search diverged.
        """
        started = time.monotonic()
        case, problem, described = found.task
        driver.check(found.last)
        result, looks = self._ranked(found)
        completed = np.asarray(pixels.to_bytes(result.completed[0]))
        faces, pictures = [photo_results.in_tone(case.placement, completed)], {}
        entry = {
            "image": case.name,
            **_placed(case),
            "picture_sha256": identity.of_array(
                case.picture if case.original is None else case.original
            ),
            "mask_sha256": identity.of_array(np.asarray(case.mask, np.uint8)),
            "hole_fraction": picture_scores.hole_fraction(case),
            **described,
            **looks,
            "iterations": result.iterations,
            "score": float(result.score[0]),
            "terms": {name: float(value[0]) for name, value in result.terms.items()},
            "scores_of_restarts": np.asarray(result.score).tolist(),
            "seconds": round(found.seconds + time.monotonic() - started, 3),
        }
        if self.figure is not None:
            course = [self.compiled.generate(z[None]) for z in found.best]
            drawn = self.figure.draw(problem, course)
            pictures[output_names.landmarks(case.name)] = drawn
        if self.answers > 1:
            further, described = self._answers(case, problem, result)
            faces += further
            entry |= described
        if case.original is not None:
            entry |= picture_scores.scores(faces[0], case.original, case, self.scorer)
        landmarks = face_landmarks.of(self.guides, problem, result.completed)
        row = _row(case, problem, result, faces[0])
        frames = []
        if self.animate:
            frames = animation.frames(
                found.best, problem, compiled=self.compiled, blend=self.blend
            )
        photographs = self._photographs(case, faces)
        return Finished(
            entry, row, found.trace, faces, photographs, pictures, landmarks, frames
        )

    def _ranked(self, found: Found) -> tuple[completion.Completion, Entry]:
        """Returns the restarts, best first, and what the report says of their order."""
        case, problem, _ = found.task
        result = completion.finish(
            found.last, problem, compiled=self.compiled, blend=self.blend
        )
        if self.order is None:
            return result, {}
        return self.order.ranked(result, case, problem, blend=self.blend)

    def _photographs(
        self, case: cases.Case, faces: list[cases.Picture]
    ) -> dict[str, photo_results.Completed]:
        if case.placement is None:
            return {}
        found = self.assembly.add(case.placement, faces)
        return {
            output_names.answer(case.placement.name, number): completed
            for number, completed in enumerate(found, start=1)
        }

    def _answers(
        self, case: cases.Case, problem: Problem, result: completion.Completion
    ) -> tuple[list[cases.Picture], Entry]:
        """Returns the answers after the first, and what the report says of all."""
        blended = completion.blended(result.generated, problem, blend=self.blend)
        chosen = answers.choose(
            np.asarray(blended),
            _ranks(result),
            np.asarray(problem.mask),
            most=self.answers,
        )
        name = case.name if case.placement is None else case.placement.name
        faces, listed = [], []
        for number, (index, distance) in enumerate(zip(*chosen, strict=True), start=1):
            file = output_names.answer(name, number)
            away = None if number == 1 else float(distance)
            score = float(result.score[index])
            listed.append({"file": file, "score": score, "distance": away})
            if number > 1:
                face = np.asarray(pixels.to_bytes(blended[index]))
                faces.append(photo_results.in_tone(case.placement, face))
        entry: Entry = {"answers": listed}
        if len(listed) < self.answers:
            entry["fewer_answers"] = (
                f"{len(listed)} of {self.answers} answers: no other restart is "
                f"{answers.DIFFERENT:g} or more away from these; --init=mixed and more "
                "--restarts differ more"
            )
        return faces, entry


def _ranks(result: completion.Completion) -> Float[np.ndarray, " restarts"]:
    """Returns the places of the restarts in their order, NaN for diverged ones."""
    finite = np.isfinite(np.asarray(result.score))
    return np.where(finite, np.arange(len(finite)), np.nan)


def _placed(case: cases.Case) -> Entry:
    """Returns what the report says of the photograph of a case."""
    if case.placement is None:
        return {}
    height, width = case.placement.photo.shape
    found: Entry = {
        "photograph": output_names.answer(case.placement.name, 1),
        "size": [width, height],
        "frame": np.round(case.placement.frame.matrix, 5).tolist(),
    }
    if case.placement.stays:
        found["stays"] = case.placement.stays
    if case.placement.guessed:
        found["guessed"] = chosen_faces.doubt(case.placement.frame, len(case.picture))
    if case.placement.count > 1:
        found["face"] = f"{case.placement.number} of {case.placement.count}"
    return found


def line(entry: Entry, output: pathlib.Path) -> str:
    """Returns the line that is printed for a completed picture."""
    text = (
        f"{output / entry['photograph']}: hole {entry['hole_fraction']:.0%}, "
        f"{entry['iterations']} iterations, {entry['seconds']:.1f} s"
    )
    if "face" in entry:
        text = f"face {entry['face']} of {text}"
    if "psnr" in entry:
        text += (
            f", PSNR {entry['psnr']:.1f} dB, in the hole {entry['psnr_hole']:.1f} dB"
        )
    return text


def _row(
    case: cases.Case,
    problem: Problem,
    result: completion.Completion,
    completed: cases.Picture,
) -> Row:
    restarts = result.generated[:_SHOWN_RESTARTS]
    images = {
        "input": problem.image[0],
        "best, masked": case.mask[0] * restarts[0],
        **{f"restart {i}": image for i, image in enumerate(restarts, start=1)},
    }
    row = {name: np.asarray(pixels.to_bytes(image)) for name, image in images.items()}
    row["completed"] = completed
    return row if case.original is None else {**row, "original": case.original}
