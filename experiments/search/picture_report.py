"""Writes the results of `experiments.inpaint`: pictures, a grid, `report.json`."""

import dataclasses
import hashlib
import pathlib
import time
from typing import Any, NamedTuple

import numpy as np

from experiments.common import cases, reporting
from experiments.search import (
    landmark_figure,
    landmark_guidance,
    landmark_scores,
    searches,
)
from experiments.search.picture_search import Found
from inpaint_jax import types
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import masks, pixels
from inpaint_jax.io import files
from inpaint_jax.pretrained import weights
from inpaint_jax.search import completion, driver, program
from inpaint_jax.search.problem import Problem, Settings

_SHOWN_RESTARTS = 4
_SCORES = ("psnr", "psnr_hole", "ssim", "nme")

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
    """

    entry: Entry
    row: Row


@dataclasses.dataclass(frozen=True)
class Finisher:
    """Completes pictures from the results of their searches, and writes them.

    Attributes:
      output: folder for the pictures.
      compiled: the search.
      blend: "poisson" or "paste", see `completion.complete`.
      scorer: measures landmark errors; None if not wanted.
      figure: draws the landmarks in the course of a search; None if not wanted.
    """

    output: pathlib.Path
    compiled: program.Search
    blend: str
    scorer: landmark_scores.Scorer | None
    figure: landmark_figure.Figure | None

    def finish(self, found: Found) -> Finished:
        """Completes one picture and writes it.

        Raises:
          InputError: the search diverged.
        """
        started = time.monotonic()
        case, problem, described = found.task
        driver.check(found.last)
        result = completion.finish(
            found.last, problem, compiled=self.compiled, blend=self.blend
        )
        completed = pixels.to_bytes(result.completed)
        files.write_picture(self.output / f"{case.name}.png", np.asarray(completed[0]))
        entry = {
            "image": case.name,
            "picture_sha256": _sha256(
                case.picture if case.original is None else case.original
            ),
            "mask_sha256": _sha256(np.asarray(case.mask, np.uint8)),
            "hole_fraction": float(masks.hole_fraction(case.mask)[0]),
            **described,
            "iterations": result.iterations,
            "score": float(result.score[0]),
            "terms": {name: float(value[0]) for name, value in result.terms.items()},
            "scores_of_restarts": np.asarray(result.score).tolist(),
            "seconds": round(found.seconds + time.monotonic() - started, 3),
        }
        if self.figure is not None:
            faces = [self.compiled.generate(z[None]) for z in found.best]
            drawn = self.figure.draw(problem, faces)
            files.write_picture(self.output / f"{case.name}_landmarks.png", drawn)
        if case.original is not None:
            entry |= _scores(completed, case.original, case, self.scorer)
        return Finished(entry, _row(case, problem, result))


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def line(entry: Entry, output: pathlib.Path) -> str:
    """Returns the line that is printed for a completed picture."""
    text = (
        f"{output / entry['image']}.png: hole {entry['hole_fraction']:.0%}, "
        f"{entry['iterations']} iterations, {entry['seconds']:.1f} s"
    )
    if "psnr" in entry:
        text += (
            f", PSNR {entry['psnr']:.1f} dB, in the hole {entry['psnr_hole']:.1f} dB"
        )
    return text


def describe(
    asked: searches.Search,
    guidance: landmark_guidance.LandmarkGuidance,
    model: weights.Model,
) -> dict[str, Any]:
    """Returns the report's description of a search.

    Args:
      asked: options of the search.
      guidance: its landmark guidance.
      model: the networks.
    """
    return {
        "ranking": _ranking(asked.settings, guidance),
        "settings": dataclasses.asdict(asked.settings),
        "blend": asked.blend,
        "model": {
            **model.source,
            "architecture": dataclasses.asdict(model.architecture),
            "crop": model.crop,
        },
        "landmarks": guidance.describe(),
        **reporting.environment(),
    }


def remove(output: pathlib.Path) -> None:
    """Removes `report.json` and `grid.png` of an earlier run."""
    for name in ("report.json", "grid.png"):
        (output / name).unlink(missing_ok=True)


def write(
    output: pathlib.Path,
    described: dict[str, Any],
    finished: list[Finished],
    *,
    skipped: list[str],
) -> None:
    """Writes `grid.png` and `report.json`.

    Args:
      output: the folder.
      described: the report's description of the search.
      finished: the completed pictures, at least one.
      skipped: the reason for each skipped picture.
    """
    rows = [row for _, row in finished]
    entries = [entry for entry, _ in finished]
    grid = reporting.captioned_sheet(
        [list(row.values()) for row in rows],
        headings=list(rows[0]),
        names=[entry["image"] for entry in entries],
        enlarge=2,
    )
    files.write_picture(output / "grid.png", grid)
    means = {"mean": _mean(entries), "images": entries, "skipped": skipped}
    files.write_json(output / "report.json", described | means)


def _row(case: cases.Case, problem: Problem, result: completion.Completion) -> Row:
    restarts = result.generated[:_SHOWN_RESTARTS]
    images = {
        "input": problem.image[0],
        "best, masked": case.mask[0] * restarts[0],
        **{f"restart {i}": image for i, image in enumerate(restarts, start=1)},
        "completed": result.completed[0],
    }
    row = {name: np.asarray(pixels.to_bytes(image)) for name, image in images.items()}
    return row if case.original is None else {**row, "original": case.original}


def _scores(
    completed: types.ImageBytes,
    original: cases.Picture,
    case: cases.Case,
    scorer: landmark_scores.Scorer | None,
) -> dict[str, float]:
    scored, truth = pixels.from_bytes(completed), pixels.from_bytes(original)[None]
    found = {
        "psnr": float(metrics.psnr(scored, truth)[0]),
        "psnr_hole": float(metrics.psnr(scored, truth, 1.0 - case.mask)[0]),
        "ssim": float(metrics.ssim(scored, truth)[0]),
    }
    if scorer is not None:
        found["nme"] = scorer.error(original, scored, crop=case.crop)
    return found


def _ranking(settings: Settings, guidance: landmark_guidance.LandmarkGuidance) -> str:
    terms = f"{settings.lambda_context:g} context + {settings.lambda_prior:g} prior"
    if guidance.loss() is not None:
        terms += f" + {settings.lambda_landmark:g} landmark"
    return f"lowest {terms} (eq. 20)"


def _mean(entries: list[Entry]) -> dict[str, float]:
    scores = [name for name in _SCORES if name in entries[0]]
    return {name: float(np.mean([e[name] for e in entries])) for name in scores}
