"""The rows of an ablation: a method, a mask and a seed make a unit with all faces.

Rows that are there are not computed again, and faces can be added.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.common import mask_specs, records
from experiments.evaluation import ablation_pairs, scoring

COLUMNS = (*scoring.COLUMNS, "loss", "iterations", "seconds")
"""What is known of a completion."""

FILE = "ablation.csv"
"""The file of all rows, in the folder of the results."""

_KEYS = ("method", "mask", "seed", "image")


class Units:
    """The masks and seeds of each method, and the table of their rows."""

    def __init__(
        self, folder: pathlib.Path, holes: Sequence[mask_specs.MaskSpec], seeds: int
    ) -> None:
        """Opens the table.

        Args:
          folder: folder of the results.
          holes: the named masks.
          seeds: number of seeds.

        Raises:
          InputError: the file is no table of an ablation.
        """
        self.holes, self.seeds = holes, seeds
        self._table = records.Table(
            folder / FILE, columns=(*_KEYS, *COLUMNS), keys=_KEYS
        )

    def missing(
        self, method: str, images: Sequence[str]
    ) -> list[tuple[mask_specs.MaskSpec, int, list[int]]]:
        """Returns (mask, seed, places of images) of a method's missing rows."""
        units = [
            (hole, seed, self._without_row(method, hole, seed, images))
            for hole in self.holes
            for seed in range(self.seeds)
        ]
        return [unit for unit in units if unit[-1]]

    def add(
        self,
        method: str,
        hole: mask_specs.MaskSpec,
        seed: int,
        scores: Mapping[str, Sequence[Any]],
    ) -> None:
        """Adds the rows of some images.

        Args:
          method: name of the method.
          hole: the mask.
          seed: seed of masks and starting points.
          scores: "image" and `COLUMNS`, a value for each image.
        """
        keys = {"method": method, "mask": hole.name, "seed": str(seed)}
        names = ("image", *COLUMNS)
        for row in zip(*(scores[name] for name in names), strict=True):
            self._table.append(**keys, **dict(zip(names, row, strict=True)))

    def scores(
        self, method: str, hole: mask_specs.MaskSpec, images: Sequence[str]
    ) -> ablation_pairs.Columns:
        """Returns the columns of a method under one mask, for all seeds."""
        rows = [
            [self._table.row(method, hole.name, str(seed), image) for image in images]
            for seed in range(self.seeds)
        ]
        return {
            name: np.array([[row[name] for row in unit] for unit in rows], float)
            for name in COLUMNS
        }

    def _without_row(
        self, method: str, hole: mask_specs.MaskSpec, seed: int, images: Sequence[str]
    ) -> list[int]:
        return [
            place
            for place, image in enumerate(images)
            if not self._table.has(method, hole.name, str(seed), image)
        ]
