"""The units of an ablation, a variant, a mask and a seed, on disk.

The rows of a unit are written whole or not at all.
"""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common import cases, records
from experiments.evaluation import ablation_pairs, scoring

COLUMNS = (*scoring.COLUMNS, "loss", "iterations", "seconds")
"""What is known of a completion."""

_KEYS = ("variant", "mask", "seed", "image")


class Units(NamedTuple):
    """The masks and seeds of each variant, and a file of rows for each.

    Attributes:
      folder: of the files.
      holes: the named masks.
      seeds: how many.
    """

    folder: pathlib.Path
    holes: Sequence[cases.Hole]
    seeds: int

    def missing(self, variant: str) -> list[tuple[cases.Hole, int]]:
        """Returns the masks and seeds of a variant that are not searched for yet."""
        return [
            (hole, seed)
            for hole in self.holes
            for seed in range(self.seeds)
            if not self._file(variant, hole, seed).exists()
        ]

    def write(
        self,
        variant: str,
        hole: cases.Hole,
        seed: int,
        scores: Mapping[str, Sequence[Any]],
    ) -> None:
        """Writes the rows of one unit.

        Args:
          variant: its name.
          hole: the mask.
          seed: of masks and starting points.
          scores: "image" and `COLUMNS`, a value for each face.
        """
        columns = (scores[name] for name in ("image", *COLUMNS))
        rows = [(variant, hole.name, seed, *row) for row in zip(*columns, strict=True)]
        file = self._file(variant, hole, seed)
        records.write(file, [(*_KEYS, *COLUMNS), *rows])

    def scores(self, variant: str, hole: cases.Hole) -> ablation_pairs.Columns:
        """Returns the columns of a variant under one mask, all seeds of it."""
        first = len(_KEYS)
        cells = [
            [row[first:] for row in self._rows(variant, hole, seed)]
            for seed in range(self.seeds)
        ]
        columns = np.moveaxis(np.array(cells, float), -1, 0)
        return dict(zip(COLUMNS, columns, strict=True))

    def write_all(self, file: pathlib.Path, variants: Iterable[str]) -> None:
        """Writes the rows of all units as one table."""
        rows = [
            row
            for variant in variants
            for hole in self.holes
            for seed in range(self.seeds)
            for row in self._rows(variant, hole, seed)
        ]
        records.write(file, [(*_KEYS, *COLUMNS), *rows])

    def _rows(self, variant: str, hole: cases.Hole, seed: int) -> list[list[str]]:
        return records.read(self._file(variant, hole, seed))[1:]

    def _file(self, variant: str, hole: cases.Hole, seed: int) -> pathlib.Path:
        return self.folder / f"{variant}-{hole.name}-{seed}.csv"
