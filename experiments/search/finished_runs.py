"""Reads reports of `experiments.inpaint` and checks that runs can be compared."""

import json
import math
import pathlib
from typing import Any, NamedTuple

from inpaint_jax.errors import InputError

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


def read(folder: str) -> FinishedRun:
    """Reads the report of a run.

    Raises:
      InputError: there is no report, or it cannot be read.
    """
    path = pathlib.Path(folder) / "report.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        entries = _entries(report["images"])
        # Reports of earlier versions hold no digest of the mask.
        mask = f"{report.get('mask')}, seed {report.get('seed')}"
        for entry in entries.values():
            entry.setdefault("mask_sha256", mask)
        settings = report.get("settings", {})
        loss = {name: settings.get(name) for name in _LOSS}
        loss |= {"landmarks": report.get("landmarks"), "model": report.get("model")}
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise InputError(
            f"{path}: not a report of experiments.inpaint ({error}); give its "
            "--output_dir."
        ) from error
    return FinishedRun(folder, entries, loss)


def _entries(images: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns the entries by image; scores that were not finite are NaN again."""
    found: dict[str, dict[str, Any]] = {}
    for entry in images:
        name = entry["image"]
        if not isinstance(name, str) or name in found:
            raise ValueError(f"{name!r} is no name, or is there twice")
        scores = {
            score: math.nan if entry[score] is None else float(entry[score])
            for score in SCORES
            if score in entry
        }
        found[name] = {**entry, **scores}
    if not found:
        raise ValueError("it has no image")
    return found


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
