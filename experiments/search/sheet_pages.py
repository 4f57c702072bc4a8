"""Writes `contact_sheet.html`, `contact_sheet_2.html` and so on as faces are completed.

A face is drawn once. The page that it is on is written anew with each of its faces, so
that a run that ends early leaves all of them; the faces of other pages, except the
first, are no longer in memory then.
"""

import os
import pathlib

from experiments.search import contact_sheet
from inpaint_jax.io import files

FACES_A_PAGE = 32


def name(page: int) -> str:
    """Returns the name of a page's file, counted from 1."""
    return "contact_sheet.html" if page == 1 else f"contact_sheet_{page}.html"


def numbers(faces: int) -> range:
    """Returns the numbers of the pages of a run."""
    return range(1, 2 + (faces - 1) // FACES_A_PAGE)


class Pages:
    """The pages of a run."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Writes to a folder, in which those of an earlier run are replaced."""
        self._folder = folder
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
        while os.path.lexists(page := self._folder / name(number)):
            files.remove(page)
            number += 1

    def _write(self, number: int, faces: list[str], run: contact_sheet.Run) -> None:
        links = {}
        if number > 1:
            links = {"first page": name(1), "previous page": name(number - 1)}
        if number < self._number:
            links |= {"next page": name(number + 1), "last page": name(self._number)}
        text = contact_sheet.page(run, faces, number=number, links=links)
        files.write_text(self._folder / name(number), text)
