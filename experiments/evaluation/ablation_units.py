"""The units of an ablation, a method, a mask and a seed, on disk.

The rows of a unit are written whole or not at all.
"""

import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common import cases, records
from experiments.evaluation import ablation_pairs, scoring
from inpaint_jax.errors import InputError, reason

COLUMNS = (*scoring.COLUMNS, "loss", "iterations", "seconds")
"""What is known of a completion."""

_KEYS = ("method", "mask", "seed", "image")


class Units(NamedTuple):
    """The masks and seeds of each method, and a file of rows for each.

    Attributes:
      folder: of the files.
      holes: the named masks.
      seeds: how many.
    """

    folder: pathlib.Path
    holes: Sequence[cases.MaskSpec]
    seeds: int

    def missing(self, method: str) -> list[tuple[cases.MaskSpec, int]]:
        """Returns the masks and seeds of a method that are not searched for yet."""
        return [
            (hole, seed)
            for hole in self.holes
            for seed in range(self.seeds)
            if not os.path.exists(self._file(method, hole, seed))
        ]

    def write(
        self,
        method: str,
        hole: cases.MaskSpec,
        seed: int,
        scores: Mapping[str, Sequence[Any]],
    ) -> None:
        """Writes the rows of one unit.

        Args:
          method: its name.
          hole: the mask.
          seed: of masks and starting points.
          scores: "image" and `COLUMNS`, a value for each face.
        """
        columns = (scores[name] for name in ("image", *COLUMNS))
        rows = [(method, hole.name, seed, *row) for row in zip(*columns, strict=True)]
        file = self._file(method, hole, seed)
        records.write(file, [(*_KEYS, *COLUMNS), *rows])

    def scores(self, method: str, hole: cases.MaskSpec) -> ablation_pairs.Columns:
        """Returns the columns of a method under one mask, all seeds of it.

        Raises:
          InputError: a file is damaged.
        """
        first = len(_KEYS)
        cells = [
            [row[first:] for row in self._rows(method, hole, seed)]
            for seed in range(self.seeds)
        ]
        try:
            columns = np.moveaxis(np.array(cells, float), -1, 0)
        except ValueError as error:
            raise InputError(
                f"{self.folder}: a table of {method} under {hole.name} is damaged "
                f"({reason(error)}); remove it, and it is searched for again."
            ) from error
        return dict(zip(COLUMNS, columns, strict=True))

    def write_all(self, file: pathlib.Path, methods: Iterable[str]) -> None:
        """Writes the rows of all units as one table."""
        rows = [
            row
            for method in methods
            for hole in self.holes
            for seed in range(self.seeds)
            for row in self._rows(method, hole, seed)
        ]
        records.write(file, [(*_KEYS, *COLUMNS), *rows])

    def _rows(self, method: str, hole: cases.MaskSpec, seed: int) -> list[list[str]]:
        file = self._file(method, hole, seed)
        head, *rows = records.read(file) or [[]]
        if head != [*_KEYS, *COLUMNS]:
            raise InputError(
                f"{file}: damaged; remove it, and it is searched for again."
            )
        return rows

    def _file(self, method: str, hole: cases.MaskSpec, seed: int) -> pathlib.Path:
        return self.folder / f"{method}-{hole.name}-{seed}.csv"
