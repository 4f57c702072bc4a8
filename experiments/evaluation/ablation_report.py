"""What an ablation leaves for a reader beside its rows: tables, a plot, faces."""

import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from experiments.common import mask_specs, reporting
from experiments.evaluation import (
    ablation_methods,
    ablation_pairs,
    ablation_run,
    ablation_table,
    ablation_units,
    embedding_scores,
    forest,
    kept_completions,
)
from inpaint_jax.io import files, picture_files

_SHOWN = 6

# What the differences of a metric are measured in.
_UNITS = {
    "nme": "eye distances",
    "nme_independent": "eye distances",
    "psnr_hole": "dB",
    "ssim_hole": "SSIM",
    "identity": "distance of faces",
    "eye_detail": "of the original's",
    "sharpness": "of the original's",
}


def write(
    output: pathlib.Path,
    methods: ablation_methods.Methods,
    plans: ablation_run.Plans,
    units: ablation_units.Units,
    images: Sequence[str],
    *,
    equal: str,
) -> None:
    """Writes `ablation.md`, `forest.png` and `faces_MASK.png` for each mask.

    Args:
      output: folder of the results.
      methods: all of them.
      plans: what they had to spend.
      units: the rows, all of them there.
      images: names of the images.
      equal: what all methods had as much of, "time" or "steps".
    """
    scores = {
        (name, hole.name): units.scores(name, hole, images)
        for name in methods
        for hole in units.holes
    }
    comparisons = ablation_pairs.compare(scores)
    labels = {name: method.label for name, method in methods.items()}
    described: ablation_table.Plans = {
        name: {**plan, "label": labels[name], "flags": methods[name].flags}
        for name, plan in plans.items()
    }
    sets = _sets(units, list(methods), images)
    text = ablation_table.markdown(scores, comparisons, sets, described, equal=equal)
    files.write_text(output / "ablation.md", text)
    picture_files.write(output / "forest.png", _plot(comparisons, labels))
    for hole in units.holes:
        of_mask = {name: scores[name, hole.name] for name in methods}
        sheet = _faces(units, hole, of_mask, images)
        picture_files.write(output / f"faces_{hole.name}.png", sheet)


def _sets(
    units: ablation_units.Units, methods: Sequence[str], images: Sequence[str]
) -> ablation_table.Sets:
    """Compares the embeddings of each method's completions with the originals'."""
    original = kept_completions.read_embeddings(units.originals, images)
    found: ablation_table.Sets = {name: {} for name in embedding_scores.SCORES}
    for hole in units.holes:
        sets = {
            name: [
                kept_completions.read_embeddings(
                    units.pictures(name, hole, seed), images
                )
                for seed in range(units.seeds)
            ]
            for name in methods
        }
        baseline = sets[ablation_pairs.BASELINE]
        for score, measure in embedding_scores.SCORES.items():
            for name, completed in sets.items():
                found[score][name, hole.name] = (
                    measure(completed, original),
                    measure(completed, original, baseline=baseline),
                )
    return found


def _faces(
    units: ablation_units.Units,
    hole: mask_specs.MaskSpec,
    scores: dict[str, ablation_pairs.Columns],
    images: Sequence[str],
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws the faces that are neither easy nor hard, by all methods, first seed.

    They are those whose mean PSNR in the hole, over the methods, is nearest to the
    median of all faces.
    """
    psnr = np.mean([columns["psnr_hole"][0] for columns in scores.values()], axis=0)
    middle = np.argsort(np.abs(psnr - np.median(psnr)), kind="stable")[:_SHOWN]
    shown: list[str] = [images[int(place)] for place in np.sort(middle)]
    folders = [*(units.pictures(name, hole, 0) for name in scores), units.originals]
    rows = [
        [picture_files.read(folder / f"{name}.png") for folder in folders]
        for name in shown
    ]
    return reporting.captioned_sheet(
        rows, headings=[*scores, "original"], names=shown, enlarge=2
    )


def _plot(
    comparisons: ablation_pairs.Comparisons, labels: dict[str, str]
) -> UInt8[np.ndarray, "height width 3"]:
    marks: dict[str, dict[str, dict[str, forest.Mark]]]
    marks = {metric: {} for metric in ablation_pairs.METRICS}
    for (name, mask, metric), found in comparisons.items():
        mark = forest.Mark(found.difference, found.low, found.high, found.real)
        marks[metric].setdefault(labels[name], {})[mask] = mark
    axes = {
        metric: f"{_UNITS[metric]}\n{'less' if sign < 0 else 'more'} is better"
        for metric, sign in ablation_pairs.METRICS.items()
    }
    caption = f"mean difference to {ablation_pairs.BASELINE!r}, 95 % interval"
    return forest.draw(marks, labels=axes, caption=caption)
