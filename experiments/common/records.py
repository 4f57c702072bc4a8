"""CSV tables: written at once, or row by row, so that an interrupted run can resume."""

import csv
import io
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from inpaint_jax.errors import InputError, reason
from inpaint_jax.io import files

Row = dict[str, Any]


def write(path: str | os.PathLike[str], rows: Iterable[Iterable[Any]]) -> None:
    """Writes a table.

    Args:
      path: the file.
      rows: rows of cells; the first row names the columns.

    Raises:
      OutputError: the file cannot be written.
    """
    files.write_text(path, _text(rows))


def read(path: str | os.PathLike[str]) -> list[list[str]]:
    """Returns the cells of a table, without an incomplete last line.

    Args:
      path: the file.

    Raises:
      InputError: the file cannot be read, is no table, or its rows differ in length.
    """
    try:
        text = files.read_bytes(path).decode("utf-8", errors="surrogateescape")
        rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
        if len({len(row) for row in rows}) > 1:
            raise ValueError("its rows differ in length")
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: not a table of this kind ({reason(error)}); move it away or give "
            "another folder."
        ) from error
    return rows


class Table:
    """A CSV file that is written row by row; an interrupted run resumes it."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        columns: Sequence[str],
        keys: Sequence[str],
    ) -> None:
        """Opens the table; an incomplete last line is dropped with the next row.

        Args:
          path: the file.
          columns: names of the columns; `keys` hold text, all others numbers.
          keys: the columns that together identify a row.

        Raises:
          InputError: the file has other columns.
        """
        self._path, self._columns, self._keys = pathlib.Path(path), columns, keys
        self._rows = self._read()
        self._whole = False

    def has(self, *key: str) -> bool:
        """Returns whether there is a row with these values of the key columns."""
        return key in self._rows

    def row(self, *key: str) -> Row:
        """Returns the row with these values of the key columns, numbers as numbers."""
        return self._rows[key]

    def rows(self) -> list[Row]:
        """Returns all rows, numbers as numbers."""
        return list(self._rows.values())

    def drop(self, *key: str) -> None:
        """Drops the row with these values of the key columns; it is missing then.

        The file loses it with the next row that is added.
        """
        del self._rows[key]
        self._whole = False

    def append(self, **values: Any) -> None:
        """Adds one row.

        Raises:
          OutputError: the row cannot be written.
        """
        cells = self._cells(values)
        if not self._whole:
            write(self._path, self._lines())
            self._whole = True
        files.append_text(self._path, _text([cells]))
        # The numbers as a later start reads them.
        row = self._row(list(map(str, cells)))
        self._rows[tuple(row[name] for name in self._keys)] = row

    def _lines(self) -> Iterator[Sequence[Any]]:
        yield self._columns
        yield from map(self._cells, self._rows.values())

    def _cells(self, row: Row) -> list[Any]:
        values = (row[name] for name in self._columns)
        return [f"{v:.6g}" if isinstance(v, float) else v for v in values]

    def _read(self) -> dict[tuple[str, ...], Row]:
        if not os.path.exists(self._path):
            return {}
        head, *lines = read(self._path) or [list(self._columns)]
        try:
            if head != list(self._columns):
                raise ValueError("other columns")
            rows = [self._row(cells) for cells in lines]
        except ValueError as error:
            raise InputError(
                f"{self._path}: not a table of this kind ({error}); move it away or "
                "give another folder."
            ) from error
        return {tuple(row[name] for name in self._keys): row for row in rows}

    def _row(self, cells: Sequence[str]) -> Row:
        named = zip(self._columns, cells, strict=True)
        return {
            name: cell if name in self._keys else float(cell) for name, cell in named
        }


def _text(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
