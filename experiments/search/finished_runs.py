"""Reads reports of `experiments.inpaint` and checks that runs can be compared."""

import math
import os
from typing import Annotated, Any, NamedTuple

import msgspec

from inpaint_jax.errors import InputError, naming
from inpaint_jax.io import json_files

SCORES = ("nme", "psnr", "psnr_hole", "ssim")

_LOSS = (
    "lambda_context",
    "lambda_prior",
    "lambda_landmark",
    "normalised",
    "saturating",
    "window",
)


class FinishedRun(NamedTuple):
    """The report of a run.

    Attributes:
      folder: its --output_dir.
      entries: {image: its entry in the report}.
      loss: {option: value} of the options that define its loss (eq. 20).
    """

    folder: str
    entries: dict[str, dict[str, Any]]
    loss: dict[str, Any]


class _Entry(msgspec.Struct):
    """The entry of an image; `None` stands for a score that was not finite."""

    image: str
    picture_sha256: str | None = None
    mask_sha256: str | None = None
    nme: float | None | msgspec.UnsetType = msgspec.UNSET
    psnr: float | None | msgspec.UnsetType = msgspec.UNSET
    psnr_hole: float | None | msgspec.UnsetType = msgspec.UNSET
    ssim: float | None | msgspec.UnsetType = msgspec.UNSET


class _Report(msgspec.Struct):
    """What a comparison needs of a report; earlier versions wrote less."""

    images: Annotated[list[_Entry], msgspec.Meta(min_length=1)]
    mask: str | None = None
    seed: int | None = None
    settings: dict[str, Any] = {}
    landmarks: dict[str, Any] | None = None
    model: dict[str, Any] | None = None


def read(folder: str, *, flag: str) -> FinishedRun:
    """Reads the report of a run.

    Args:
      folder: its --output_dir.
      flag: the flag that names it.

    Raises:
      InputError: there is no report, or it cannot be read.
    """
    path = os.path.join(folder, "report.json")
    with naming(flag, folder):
        report = json_files.read(
            path,
            _Report,
            expected="a report of experiments.inpaint",
            give="give its --output_dir",
        )
        entries = {entry.image: _scored(entry, report) for entry in report.images}
        if len(entries) < len(report.images):
            raise InputError(f"{path}: not a report, an image is there twice.")
    loss = {name: report.settings.get(name) for name in _LOSS}
    loss |= {"landmarks": report.landmarks, "model": report.model}
    return FinishedRun(folder, entries, loss)


def _scored(entry: _Entry, report: _Report) -> dict[str, Any]:
    """Returns an entry as a dict; scores that were not finite are NaN again."""
    # Reports of earlier versions hold no digest of the mask.
    mask = entry.mask_sha256 or f"{report.mask}, seed {report.seed}"
    scores = {name: getattr(entry, name) for name in SCORES}
    return {"picture_sha256": entry.picture_sha256, "mask_sha256": mask} | {
        name: math.nan if score is None else score
        for name, score in scores.items()
        if score is not msgspec.UNSET
    }


def check_same_inputs(run: FinishedRun, other: FinishedRun) -> None:
    """Checks that two runs completed the same pictures under the same masks.

    Raises:
      InputError: a picture is in one run only, or a picture or a mask differs.
    """
    odd = sorted(run.entries.keys() ^ other.entries.keys())
    if odd:
        raise InputError(
            f"{other.folder}: has other images than {run.folder} ({len(odd)} are in "
            f"one of them only, as {odd[0]}); compare runs over the same --images."
        )
    for name, entry in run.entries.items():
        for what in ("picture", "mask"):
            digest = f"{what}_sha256"
            if entry.get(digest) != other.entries[name].get(digest):
                raise InputError(
                    f"{other.folder}: {name} has another {what} than in {run.folder}; "
                    "compare runs with the same --images, --mask and --seed."
                )


def check_same_loss(run: FinishedRun, other: FinishedRun) -> None:
    """Checks that two runs minimised the same loss, so that its values can be compared.

    Raises:
      InputError: the model or an option of the loss differs.
    """
    for name, value in run.loss.items():
        if other.loss[name] != value:
            raise InputError(
                f"{other.folder}: its loss is another than that of {run.folder} "
                f"({name} {other.loss[name]}, not {value}); compare runs that "
                "differ in their search alone."
            )
