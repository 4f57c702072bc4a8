"""Tables of an evaluation, in the shape of the thesis's Tables 1 and 2."""

import operator
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from experiments.common import records, reporting, statistics
from experiments.evaluation import scoring

_PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    "ssim": {
        "SI (thesis)": {
            "centre": 0.808,
            "left": 0.759,
            "right": 0.763,
            "random80": 0.808,
        },
        "ours (thesis)": {
            "centre": 0.826,
            "left": 0.741,
            "right": 0.708,
            "random80": 0.789,
        },
        "CE (thesis)": {
            "centre": 0.818,
            "left": 0.772,
            "right": 0.774,
            "random80": 0.675,
        },
        "GFC (thesis)": {
            "centre": 0.841,
            "left": 0.824,
            "right": 0.826,
            "random80": 0.708,
        },
    },
    "psnr": {
        "SI (thesis)": {"centre": 19.4, "left": 17.9, "right": 18.9, "random80": 22.8},
        "ours (thesis)": {
            "centre": 21.1,
            "left": 14.1,
            "right": 15.3,
            "random80": 19.7,
        },
        "CE (thesis)": {"centre": 21.3, "left": 15.5, "right": 16.0, "random80": 15.5},
        "GFC (thesis)": {"centre": 20.0, "left": 19.8, "right": 20.0, "random80": 14.6},
        "SI (its paper)": {
            "centre": 19.4,
            "left": 13.7,
            "right": 13.7,
            "random80": 22.8,
        },
        "CE (SI's paper)": {
            "centre": 21.3,
            "left": 15.5,
            "right": 15.5,
            "random80": 20.6,
        },
    },
}
"""Table 1 and 2 of the thesis; Table 1 of Yeh et al. 2017, CelebA (one number for a
half, whichever it is)."""

_TITLES = {
    "ssim": "SSIM, whole image (thesis, Table 1)",
    "psnr": "PSNR in dB, whole image (thesis, Table 2)",
    "psnr_hole": "PSNR in dB, hole",
    "ssim_hole": "SSIM, hole",
    "l1_hole": "Mean absolute error in the hole, intensities from 0 to 1",
    "seam": "Error of the step across the hole's edge, intensities from 0 to 1",
    "nme": "Landmark error (68 points), over the distance between the eyes",
    "nme_independent": "The same by a detector that took no part (5 points)",
    "identity": "Distance of dlib's face embeddings",
    "frechet_face": "Frechet distance between the face embeddings of completions and "
    "originals",
    "same_gender": "Fraction of completions that look of the gender that the original "
    "looks of",
    "eye_detail": "Contrast and slopes of the eyes, over the original's",
    "sharpness": "Mean slope of the intensities in the hole, over the original's",
    "open_eyes": "Fraction of completions with one face and two open eyes",
    "one_face": "Fraction of completions in which dlib finds exactly one face",
    "seconds": "Seconds for a face",
    "failed": "Fraction of images that the method gave up",
}
_DIGITS = {
    "psnr": 1,
    "psnr_hole": 1,
    "one_face": 2,
    "open_eyes": 2,
    "same_gender": 2,
    "seconds": 2,
    "failed": 2,
}

Entry = dict[str, float]
Summary = dict[str, dict[str, dict[str, Entry]]]
"""{method: {mask: {metric: {"mean", "ci_low", "ci_high", "n"}}}}"""


def summarise(rows: Sequence[records.Row]) -> Summary:
    """Computes means over the images with 95 % bootstrap intervals.

    Args:
      rows: of `scores.csv`.

    Returns:
      The summary. Values that are NaN (no face, no landmark) are left out of their
      metric only, and "n" says how many were not.
    """
    found: Summary = {}
    for method in _names(rows, "method"):
        found[method] = {}
        for mask in _names(rows, "mask"):
            chosen = [r for r in rows if (r["method"], r["mask"]) == (method, mask)]
            if chosen:
                found[method][mask] = {
                    metric: _interval(np.array([value(row) for row in chosen]))
                    for metric, value in _metrics().items()
                }
    return found


def page(rows: Sequence[records.Row], summary: Summary) -> str:
    """Writes the tables as Markdown.

    Args:
      rows: of `scores.csv`.
      summary: of them.
    """
    masks = _names(rows, "mask")
    counts = sorted({(len(images(rows, m, k)), m) for m in summary for k in masks})
    least, most = counts[0][0], counts[-1][0]
    lines = [
        "Means over the images with 95 % bootstrap intervals. A cell over fewer images "
        f"than the most ({most}) says how many."
        if least < most
        else f"Means over {most} images with 95 % bootstrap intervals.",
        "",
    ]
    for metric in _TITLES:
        lines += _table(metric, summary, masks, most)
    common = set.intersection(
        *(images(rows, method, mask) for method in summary for mask in summary[method])
    )
    if least < most and common:
        lines += [f"## The {len(common)} images that all methods completed", ""]
        shared = [row for row in rows if row["image"] in common]
        alike = summarise(shared)
        for metric in ("ssim", "psnr", "psnr_hole", "nme", "nme_independent"):
            lines += _table(metric, alike, masks, len(common))
    return "\n".join([*lines, *_remarks(rows), ""])


def images(rows: Sequence[records.Row], method: str, mask: str) -> set[str]:
    """Returns the images that a method has been scored on under a mask."""
    return {r["image"] for r in rows if (r["method"], r["mask"]) == (method, mask)}


def completed(rows: Sequence[records.Row], method: str, mask: str) -> set[str]:
    """Returns the images that a method did not give up under a mask."""
    done = [row for row in rows if not row["failed"]]
    return images(done, method, mask)


def _metrics() -> dict[str, Callable[[records.Row], float]]:
    names = [name for name in scoring.COLUMNS if name != "faces_found"]
    found: dict[str, Callable[[records.Row], float]]
    found = {name: operator.itemgetter(name) for name in names}
    found["one_face"] = lambda row: float(row["faces_found"] == 1)
    found["open_eyes"] = lambda row: float(
        scoring.open_eyes(row["faces_found"], row["eye_detail"])
    )
    return found | {name: operator.itemgetter(name) for name in ("seconds", "failed")}


def _interval(values: Float[np.ndarray, " images"]) -> Entry:
    known = values[~np.isnan(values)]
    if not len(known):
        return {"mean": np.nan, "ci_low": np.nan, "ci_high": np.nan, "n": 0}
    found = statistics.interval(known, np.random.default_rng(0))
    return {
        "mean": found["mean"],
        "ci_low": found["low"],
        "ci_high": found["high"],
        "n": len(known),
    }


def _table(metric: str, summary: Summary, masks: Sequence[str], most: int) -> list[str]:
    published = _PUBLISHED.get(metric, {})
    rows = [["mask", *summary, *published]]
    for mask in masks:
        cells = [_cell(metric, summary[m].get(mask), most) for m in summary]
        cells += [f"{column.get(mask, '-')}" for column in published.values()]
        rows.append([mask, *cells])
    lines = [f"### {_TITLES[metric]}", "", reporting.table(rows)]
    if published:
        names = ", ".join(published)
        lines += ["", f"Published, under other protocols: {names}."]
    return [*lines, ""]


def _cell(metric: str, entries: dict[str, Entry] | None, most: int) -> str:
    if not entries or metric not in entries or not entries[metric]["n"]:
        return "-"
    entry, digits = entries[metric], _DIGITS.get(metric, 3)
    mean, low, high = (entry[k] for k in ("mean", "ci_low", "ci_high"))
    cell = f"{mean:.{digits}f}"
    if metric not in ("seconds", "failed"):
        cell += f" [{low:.{digits}f}, {high:.{digits}f}]"
    return cell if entry["n"] == most else f"{cell}, n = {entry['n']}"


def _remarks(rows: Sequence[records.Row]) -> list[str]:
    errors = [np.array([r[k] for r in rows]) for k in ("nme", "nme_independent")]
    agreement = scoring.agreement(*errors)
    lines = []
    if np.isfinite([agreement["spearman"], agreement["same_order"]]).all():
        lines.append(
            "The two detectors agree on which of two completions is better in "
            f"{agreement['same_order']:.0%} of all pairs (rank correlation "
            f"{agreement['spearman']:.2f}, {agreement['faces']} completions)."
        )
    lost = sorted({r["image"] for r in rows if np.isnan(r["nme"]) and not r["failed"]})
    if lost:
        names = ", ".join(lost[:20]) + (", ..." if len(lost) > 20 else "")
        lines.append(
            f"dlib finds no face in {len(lost)} of the originals ({names}): they have "
            "no landmark errors, and all other scores."
        )
    for method in _names(rows, "method"):
        failed = [r for r in rows if r["method"] == method and r["failed"]]
        if failed:
            masks = _names(failed, "mask")
            counts = [
                f"{sum(r['mask'] == mask for r in failed)} at {mask}" for mask in masks
            ]
            lines.append(
                f"{method} could not do its work on {', '.join(counts)}; these have no "
                "scores."
            )
    return ["\n\n".join(lines)]


def _names(rows: Sequence[records.Row], key: str) -> list[str]:
    return list(dict.fromkeys(row[key] for row in rows))
