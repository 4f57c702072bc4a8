"""What an ablation keeps: a method, a mask and a seed make a unit with all faces.

Rows that are there with their pictures are not computed again, and faces can be added.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.common import mask_specs, records
from experiments.evaluation import ablation_pairs, kept_completions, scoring

COLUMNS = (*scoring.COLUMNS, "loss", "iterations", "seconds")
"""What is known of a completion."""

FILE = "ablation.csv"
"""The file of all rows, in the folder of the results."""

ORIGINALS, COMPLETIONS = "originals", "completions"
"""Folders of pictures in it; see `kept_completions`."""

_KEYS = ("method", "mask", "seed", "image")


class Units:
    """The masks and seeds of each method; the table of their rows, and the pictures."""

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
        self.folder, self.holes, self.seeds = folder, holes, seeds
        self._table = records.Table(
            folder / FILE, columns=(*_KEYS, *COLUMNS), keys=_KEYS
        )

    @property
    def originals(self) -> pathlib.Path:
        """The folder of the undamaged pictures."""
        return self.folder / ORIGINALS

    def pictures(
        self, method: str, hole: mask_specs.MaskSpec, seed: int
    ) -> pathlib.Path:
        """Returns the folder of a unit's pictures."""
        return self.folder / COMPLETIONS / hole.name / method / str(seed)

    def missing(
        self, method: str, images: Sequence[str], *, size: int
    ) -> list[tuple[mask_specs.MaskSpec, int, list[int]]]:
        """Returns (mask, seed, places of images) of what a method has yet to do.

        Args:
          method: its name.
          images: names of the faces.
          size: height and width of their pictures.
        """
        units = [
            (hole, seed, self._undone(method, hole, seed, images, size))
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
        images: scoring.Pictures,
        embeddings: kept_completions.Embeddings,
    ) -> None:
        """Adds some images: first the pictures, then the rows.

        Args:
          method: name of the method.
          hole: the mask.
          seed: seed of masks and starting points.
          scores: "image" and `COLUMNS`, a value for each image.
          images: the completions.
          embeddings: of them.
        """
        folder = self.pictures(method, hole, seed)
        kept_completions.write(folder, scores["image"], images, embeddings)
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

    def _undone(
        self,
        method: str,
        hole: mask_specs.MaskSpec,
        seed: int,
        images: Sequence[str],
        size: int,
    ) -> list[int]:
        folder, undone = self.pictures(method, hole, seed), []
        for place, image in enumerate(images):
            key = (method, hole.name, str(seed), image)
            if self._table.has(*key):
                kept = kept_completions.files_of(folder, image)
                if all(kept_completions.is_whole(path, size=size) for path in kept):
                    continue
                self._table.drop(*key)
            undone.append(place)
        return undone
