"""Compares the scores of what people see with an order that a person gives blind.

    python -m tests.blind_order --ablation=outputs/structure --sheet=blind.png
    python -m tests.blind_order --ablation=outputs/structure --order=CAB...

Twelve completions of twelve faces, by methods drawn by chance, lie on a sheet under
letters, without originals or names. Given the letters from the best eyes to the worst,
the second command prints the rank correlation of each score with that order.
"""

import argparse
import csv
import pathlib

import numpy as np
import scipy
from PIL import Image

from experiments.common import reporting
from inpaint_jax.io import picture_files

LETTERS = "ABCDEFGHIJKL"
SCORES = ("eye_detail", "sharpness", "psnr_hole", "ssim_hole")
SIDE, COLUMNS = 256, 4


def drawn(folder: pathlib.Path, mask: str, seed: int) -> list[dict[str, str]]:
    """Rows of the ablation: twelve faces, each by a method drawn by chance."""
    with (folder / "ablation.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["mask"] == mask]
    rows = [row for row in rows if row["seed"] == "0"]
    rng = np.random.default_rng(seed)
    images = rng.permutation(sorted({row["image"] for row in rows}))[: len(LETTERS)]
    return [rng.choice([row for row in rows if row["image"] == i]) for i in images]


def sheet(folder: pathlib.Path, rows: list[dict[str, str]]) -> np.ndarray:
    pictures = [
        picture_files.read(
            folder
            / "completions"
            / row["mask"]
            / row["method"]
            / "0"
            / f"{row['image']}.png"
        )
        for row in rows
    ]
    large = [
        np.asarray(Image.fromarray(each).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        for each in pictures
    ]
    lines = [large[i : i + COLUMNS] for i in range(0, len(large), COLUMNS)]
    names = [LETTERS[i : i + COLUMNS] for i in range(0, len(large), COLUMNS)]
    return reporting.captioned_sheet(lines, headings=[], names=names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ablation", type=pathlib.Path, required=True)
    parser.add_argument("--mask", default="centre")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=pathlib.Path)
    parser.add_argument("--order", default="")
    asked = parser.parse_args()
    rows = drawn(asked.ablation, asked.mask, asked.seed)
    if asked.sheet:
        picture_files.write(asked.sheet, sheet(asked.ablation, rows))
    if asked.order:
        assert sorted(asked.order) == sorted(LETTERS), "give each letter once"
        place = [-asked.order.index(letter) for letter in LETTERS]
        for score in SCORES:
            values = [float(row[score]) for row in rows]
            found = scipy.stats.spearmanr(place, values)
            print(f"{score}: {found.statistic:.2f} (p {found.pvalue:.3f})")


if __name__ == "__main__":
    main()
