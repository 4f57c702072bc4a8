"""What an ablation leaves for a reader beside its rows: tables and a forest plot."""

import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from experiments.evaluation import (
    ablation_pairs,
    ablation_run,
    ablation_table,
    ablation_units,
    forest,
)
from inpaint_jax.io import files, picture_files

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
    methods: ablation_run.Methods,
    plans: ablation_run.Plans,
    units: ablation_units.Units,
    images: Sequence[str],
    *,
    equal: str,
) -> None:
    """Writes `ablation.md` and `forest.png`.

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
        name: {**plan, "label": labels[name], "flags": " ".join(methods[name].flags)}
        for name, plan in plans.items()
    }
    text = ablation_table.markdown(scores, comparisons, described, equal=equal)
    files.write_text(output / "ablation.md", text)
    picture_files.write(output / "forest.png", _plot(comparisons, labels))


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
