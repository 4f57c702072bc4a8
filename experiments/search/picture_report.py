"""Writes what `experiments.inpaint` leaves: pictures, sheets, grids, report, trace.

Report, trace and contact sheet are written anew after each picture, and grids from time
to time, so that a run that ends early leaves them of the pictures that are done.
"""

import dataclasses
import functools
import math
import pathlib
from typing import Any, NamedTuple

import numpy as np

from experiments.common import cases, reporting, skipping
from experiments.search import (
    animation,
    contact_sheet,
    guidance,
    known_results,
    output_names,
    searches,
    sheet_pages,
)
from experiments.search.picture_results import Entry, Finished, Row
from inpaint_jax.io import files, photographs, picture_files
from inpaint_jax.pretrained import weights
from inpaint_jax.search import in_domain_term
from inpaint_jax.search.settings import Settings

_ROWS_A_PAGE = 32
_TILE = 128  # least side of a picture in the grid, in pixels
_SCORES = ("psnr", "psnr_hole", "ssim", "nme")
_NOTES = {
    "fewer_answers": "There are {}.",
    "looks_otherwise": "Note: {}.",
    "guessed": "Note: {}.",
    "stays": "Note: {}.",
}
_ON_SHEET = {
    "psnr": "PSNR, dB",
    "psnr_hole": "PSNR of the hole, dB",
    "ssim": "SSIM",
    "nme": "landmark error / eyes",
    "score": "loss (eq. 20)",
    "hole_fraction": "share of the hole",
    "iterations": "steps",
    "seconds": "seconds",
}


def describe(
    asked: searches.Search,
    guides: guidance.Guidance,
    model: weights.Model,
) -> dict[str, Any]:
    """Returns the report's description of a search.

    Args:
      asked: options of the search.
      guides: what guides it.
      model: the networks.
    """
    return {
        "ranking": _ranking(asked.settings, guides),
        "settings": dataclasses.asdict(asked.settings),
        "blend": asked.blend,
        "model": {
            **model.source,
            "architecture": dataclasses.asdict(model.architecture),
            "crop": model.crop,
        },
        **guides.describe(),
        **reporting.environment(),
    }


@dataclasses.dataclass(frozen=True)
class Report:
    """`report.json`, `trace.jsonl`, and pages of grids and contact sheets, of a run.

    Pages are `grid.png`, `grid_2.png` and so on, and `contact_sheet.html` likewise.
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
    _lines: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    _written: set[str] = dataclasses.field(default_factory=set)

    @functools.cached_property
    def _trace(self) -> reporting.JsonLines:
        return reporting.JsonLines(self._results.path("trace.jsonl"))

    @functools.cached_property
    def _sheet(self) -> sheet_pages.Pages:
        return sheet_pages.Pages(self._results)

    @functools.cached_property
    def _results(self) -> known_results.Results:
        return known_results.Results(self.output)

    def begin(self) -> None:
        """Removes the report of an earlier run, now that results take its place."""
        files.remove(self._results.path("report.json"))

    def add(self, finished: Finished) -> None:
        """Writes a completed picture, and adds it to report, grid and contact sheet."""
        for name, completed in finished.photographs.items():
            pixels, like = completed
            photographs.write_photograph(self._results.path(name), pixels, like=like)
        for name, picture in finished.pictures.items():
            picture_files.write(self._results.path(name), picture)
        if finished.frames:
            name = output_names.animation(finished.entry["image"])
            animation.write(self._results.path(name), finished.frames)
        self._take(finished)
        # Drawing takes as long as the page has rows, so it waits until they double.
        if len(self._page).bit_count() == 1:
            self._draw()
        self._write()
        self._sheet.add(_face(finished), self._run)

    def pass_over(self, finished: Finished) -> None:
        """Adds a picture that an earlier run has completed.

        Files change with the next one that is completed, or when a page is full.
        """
        self._take(finished)
        if len(self._page) == _ROWS_A_PAGE:
            self._draw()
        self._sheet.add(_face(finished), self._run, later=True)

    def _take(self, finished: Finished) -> None:
        self._written.update(finished.files)
        self.entries.append(finished.entry)
        if len(self._page) == _ROWS_A_PAGE:
            self._page.clear()
        self._page.append(finished.row)
        self._lines.extend(finished.trace)

    def close(self) -> list[str]:
        """Writes what was skipped last, and removes further pages of earlier runs.

        Returns:
          Names of the pictures of earlier runs that stay in the folder.
        """
        self._draw()
        self._write()
        self._sheet.close(self._run)
        number = self._pages + 1
        while self._results.remove(cases.grid_name(number)):
            number += 1
        ours = self._written | {cases.grid_name(page) for page in range(1, number)}
        return self._results.other_pictures(ours)

    def _draw(self) -> None:
        names = [entry["image"] for entry in self.entries[-len(self._page) :]]
        grid = reporting.captioned_sheet(
            [list(row.values()) for row in self._page],
            headings=list(self._page[0]),
            names=names,
            enlarge=max(2, _TILE // len(self._page[0]["input"])),
        )
        picture_files.write(self._results.path(cases.grid_name(self._pages)), grid)

    @property
    def _run(self) -> contact_sheet.Run:
        faces = len(self.entries)
        named = {
            _ON_SHEET[name] + (f" ({count} of {faces})" * (count < faces)): value
            for name, (value, count) in _means(self.entries).items()
        }
        return contact_sheet.Run(
            self.described, faces, named, skipped=self.skipped.reasons
        )

    @property
    def _pages(self) -> int:
        return 1 + (len(self.entries) - 1) // _ROWS_A_PAGE

    def _write(self) -> None:
        means, faces = _means(self.entries), len(self.entries)
        found = {
            "mean": {name: each.value for name, each in means.items()},
            # Of how many faces a mean is that is not one of all.
            "scored": {
                n: each.count for n, each in means.items() if each.count < faces
            },
            "images": self.entries,
            "skipped": self.skipped.reasons,
        }
        files.write_json(self._results.path("report.json"), self.described | found)
        for line in self._lines:
            self._trace.append(**line)
        self._lines.clear()


def _face(finished: Finished) -> contact_sheet.Face:
    entry = finished.entry
    scores = {text: entry[name] for name, text in _ON_SHEET.items() if name in entry}
    scores |= {f"{name} term": term for name, term in entry.get("terms", {}).items()}
    return contact_sheet.Face(
        name=entry["image"],
        pictures=finished.row | _further(finished),
        landmarks=finished.landmarks,
        trace=finished.trace,
        scores=scores,
        notes=[text.format(entry[n]) for n, text in _NOTES.items() if n in entry],
        file=entry.get("photograph", ""),
    )


def _further(finished: Finished) -> dict[str, cases.Picture]:
    """Returns the answers after the first, with captions."""
    _, *others = finished.entry.get("answers", [None])
    return {
        f"answer {number}: loss {answer['score']:.3g}, {answer['distance']:.2g} away": (
            finished.faces[number - 1]
        )
        for number, answer in enumerate(others, start=2)
    }


def _ranking(settings: Settings, guides: guidance.Guidance) -> str:
    weights = {"context": settings.lambda_context, "prior": settings.lambda_prior}
    terms = guides.terms().items()
    weights |= {name: term.weight for name, term in terms if not term.fades}
    if settings.lambda_in_domain > 0:
        weights[in_domain_term.NAME] = settings.lambda_in_domain
    sums = (f"{weight:g} {name}" for name, weight in weights.items())
    return f"lowest {' + '.join(sums)} (eq. 20)"


class _Mean(NamedTuple):
    value: float
    count: int  # of the faces


def _means(entries: list[Entry]) -> dict[str, _Mean]:
    """Returns the mean of each score over the faces that have it.

    One whose original is not known has none, and NaN is a face without landmarks.
    """
    scored = {
        name: [e[name] for e in entries if not math.isnan(e.get(name, math.nan))]
        for name in _SCORES
    }
    return {
        name: _Mean(float(np.mean(values)), len(values))
        for name, values in scored.items()
        if values
    }
