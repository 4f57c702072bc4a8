"""Writes `contact_sheet.html`, `contact_sheet_2.html` and so on as faces are completed.

A face is drawn once. The page that it is on is written anew with each of its faces, so
that a run that ends early leaves all of them; the faces of other pages, except the
first, are no longer in memory then.
"""

from experiments.search import contact_sheet, known_results, output_names
from inpaint_jax.io import files

FACES_A_PAGE = 32


class Pages:
    """The pages of a run."""

    def __init__(self, results: known_results.Results) -> None:
        """Begins without a face; pages of an earlier run are replaced.

        Args:
          results: of the folder.
        """
        self._results = results
        self._number = 1
        self._faces: list[str] = []
        self._first: list[str] = []  # the faces of the first page, once it is full

    def add(
        self, shown: contact_sheet.Face, run: contact_sheet.Run, *, later: bool = False
    ) -> None:
        """Adds a face, and writes its page.

        Args:
          shown: the face.
          run: what the head of the page says of the run.
          later: whether the page is only written when it is full, or with a later face.
        """
        full = self._faces if len(self._faces) == FACES_A_PAGE else []
        if full:
            self._first = self._first or full
            self._faces, self._number = [], self._number + 1
        self._faces.append(contact_sheet.face(shown))
        if full or not later:
            self._write(self._number, self._faces, run)
        if full:  # it has a next page now
            self._write(self._number - 1, full, run)

    def close(self, run: contact_sheet.Run) -> None:
        """Writes what the run came to, and removes further pages of earlier runs."""
        self._write(self._number, self._faces, run)
        if self._first:
            self._write(1, self._first, run)
        number = self._number + 1
        while self._results.remove(output_names.sheet(number)):
            number += 1

    def _write(self, number: int, faces: list[str], run: contact_sheet.Run) -> None:
        name, links = output_names.sheet, {}
        if number > 1:
            links = {"first page": name(1), "previous page": name(number - 1)}
        if number < self._number:
            links |= {"next page": name(number + 1), "last page": name(self._number)}
        text = contact_sheet.page(run, faces, number=number, links=links)
        files.write_text(self._results.path(name(number)), text)
