"""Writes the results of `experiments.inpaint`: pictures, grids, report and trace.

Report and trace are written anew after each picture, and grids from time to time, so
that a run that ends early leaves them of the pictures that are done.
"""

import dataclasses
import functools
import os
import pathlib
import time
from typing import Any, NamedTuple

import numpy as np

from experiments.common import cases, identity, reporting, skipping
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
from inpaint_jax.io import files, picture_files
from inpaint_jax.pretrained import weights
from inpaint_jax.search import completion, driver, program
from inpaint_jax.search.problem import Problem, Settings

_SHOWN_RESTARTS = 4
_ROWS_A_PAGE = 32
_TILE = 128  # least side of a picture in the grid, in pixels
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
      trace: the lines of its search in the log.
      pictures: {name of the file: picture}: the completion, and its landmarks.
    """

    entry: Entry
    row: Row
    trace: list[dict[str, Any]]
    pictures: dict[str, cases.Picture]


@dataclasses.dataclass(frozen=True)
class Finisher:
    """Completes pictures from the results of their searches.

    Attributes:
      compiled: the search.
      blend: "poisson" or "paste", see `completion.complete`.
      scorer: measures landmark errors; None if not wanted.
      figure: draws the landmarks in the course of a search; None if not wanted.
    """

    compiled: program.Search
    blend: str
    scorer: landmark_scores.Scorer | None
    figure: landmark_figure.Figure | None

    def finish(self, found: Found) -> Finished:
        """Completes one picture.

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
        pictures = {f"{case.name}.png": np.asarray(completed[0])}
        entry = {
            "image": case.name,
            "picture_sha256": identity.of_array(
                case.picture if case.original is None else case.original
            ),
            "mask_sha256": identity.of_array(np.asarray(case.mask, np.uint8)),
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
            pictures[f"{case.name}_landmarks.png"] = drawn
        if case.original is not None:
            entry |= _scores(completed, case.original, case, self.scorer)
        return Finished(entry, _row(case, problem, result), found.trace, pictures)


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


@dataclasses.dataclass(frozen=True)
class Report:
    """`report.json`, `trace.jsonl`, and `grid.png`, `grid_2.png` and so on, of a run.

    Those of an earlier run stay until the first picture is done.

    Attributes:
      output: the folder.
      described: the report's description of the search.
      skipped: the pictures that are left out.
      entries: the entry of each completed picture.
    """

    output: pathlib.Path
    described: dict[str, Any]
    skipped: skipping.Skipped
    entries: list[Entry] = dataclasses.field(default_factory=list)
    _page: list[Row] = dataclasses.field(default_factory=list)

    @functools.cached_property
    def _trace(self) -> reporting.JsonLines:
        return reporting.JsonLines(self.output / "trace.jsonl")

    def begin(self) -> None:
        """Removes the report of an earlier run, now that results take its place."""
        files.remove(self.output / "report.json")

    def add(self, finished: Finished) -> None:
        """Writes a completed picture, and adds it to the report and to the grid."""
        for name, picture in finished.pictures.items():
            picture_files.write(self.output / name, picture)
        self.entries.append(finished.entry)
        if len(self._page) == _ROWS_A_PAGE:
            self._page.clear()
        self._page.append(finished.row)
        # Drawing takes as long as the page has rows, so it waits until they double.
        if len(self._page).bit_count() == 1:
            self._draw()
        for line in finished.trace:
            self._trace.append(**line)
        self._write()

    def close(self) -> list[str]:
        """Writes what was skipped last, and removes further grids of earlier runs.

        Returns:
          Names of the pictures of earlier runs that stay in the folder.
        """
        self._draw()
        self._write()
        number = self._pages + 1
        while os.path.exists(page := self._grid(number)):
            files.remove(page)
            number += 1
        ours = {f"{entry['image']}.png" for entry in self.entries}
        ours |= {f"{entry['image']}_landmarks.png" for entry in self.entries}
        ours |= {cases.grid_name(page) for page in range(1, number)}
        return sorted({path.name for path in self.output.glob("*.png")} - ours)

    def _draw(self) -> None:
        names = [entry["image"] for entry in self.entries[-len(self._page) :]]
        grid = reporting.captioned_sheet(
            [list(row.values()) for row in self._page],
            headings=list(self._page[0]),
            names=names,
            enlarge=max(2, _TILE // len(self._page[0]["input"])),
        )
        picture_files.write(self._grid(self._pages), grid)

    @property
    def _pages(self) -> int:
        return 1 + (len(self.entries) - 1) // _ROWS_A_PAGE

    def _grid(self, number: int) -> pathlib.Path:
        return self.output / cases.grid_name(number)

    def _write(self) -> None:
        found = {
            "mean": _mean(self.entries),
            "images": self.entries,
            "skipped": self.skipped.reasons,
        }
        files.write_json(self.output / "report.json", self.described | found)


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
