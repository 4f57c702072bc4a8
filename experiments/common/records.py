"""A table of scores on disk that grows, and that a killed run goes on with."""

import csv
import io
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from inpaint_jax.errors import InputError
from inpaint_jax.io import files

Row = dict[str, Any]


class Table:
    """Rows of a CSV file that grows, and that a killed run goes on with."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        columns: Sequence[str],
        keys: Sequence[str],
    ):
        """Opens the table; a line that was cut off in the middle is dropped.

        Args:
          path: the file.
          columns: names; those of `keys` hold text, all others numbers.
          keys: what together names a row.

        Raises:
          InputError: the file is another table.
        """
        self._path, self._columns, self._keys = pathlib.Path(path), columns, keys
        self._rows = self._read()
        files.write_text(self._path, "".join(map(self._line, self._all_lines())))

    def has(self, *key: str) -> bool:
        """Tells whether the row of this name is there."""
        return key in self._rows

    def rows(self) -> list[Row]:
        """Returns all rows, numbers as numbers."""
        return list(self._rows.values())

    def append(self, **values: Any) -> None:
        """Adds one row.

        Raises:
          InputError: it cannot be written.
        """
        self._rows[tuple(values[name] for name in self._keys)] = values
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(self._line([values[name] for name in self._columns]))
        except OSError as error:
            raise InputError(
                f"{self._path}: cannot be written ({error.strerror}); free some space."
            ) from error

    def _all_lines(self):
        yield self._columns
        for row in self._rows.values():
            yield [row[name] for name in self._columns]

    @staticmethod
    def _line(values):
        line = io.StringIO()
        rounded = [f"{v:.6g}" if isinstance(v, float) else v for v in values]
        csv.writer(line, lineterminator="\n").writerow(rounded)
        return line.getvalue()

    def _read(self):
        if not self._path.is_file():
            return {}
        text = self._path.read_text(encoding="utf-8")
        reader = csv.reader(text[: text.rfind("\n") + 1].splitlines())
        try:
            if next(reader, list(self._columns)) != list(self._columns):
                raise ValueError("other columns")
            rows = [self._row(cells) for cells in reader]
        except (ValueError, csv.Error) as error:
            raise InputError(
                f"{self._path}: not a table of this kind ({error}); move it away or "
                "give another folder."
            ) from error
        return {tuple(row[name] for name in self._keys): row for row in rows}

    def _row(self, cells):
        named = zip(self._columns, cells, strict=True)
        return {
            name: cell if name in self._keys else float(cell) for name, cell in named
        }
