"""Which files in a folder of results are results of its runs, and may be replaced.

`.results` lists the names of all files that runs have written there, each before it is
written, so that a run that is killed leaves nothing that the next one does not know.
Pictures that later runs leave out stay in the list. What it does not name is nobody's
result, whatever a report or a record says of it.
"""

import functools
import os
import pathlib
from collections.abc import Collection

from experiments.common import application, output_folders
from experiments.search import finished_records, output_names
from inpaint_jax.errors import InputError, reason
from inpaint_jax.io import files, json_files

FILE = ".results"
"""The list, in the folder of the results."""


class Results:
    """The results in a folder; `path` is where one is written."""

    def __init__(self, output: pathlib.Path) -> None:
        """Begins with those that the folder lists.

        Args:
          output: the folder.
        """
        self.output = output

    @functools.cached_property
    def known(self) -> set[str]:
        """Names of results; some may no longer be there."""
        path = self.output / FILE
        if not os.path.lexists(path):
            return set()
        give = f"remove it, and give a new --output_dir in place of {self.output}"
        expected = "the list of a folder's results"
        return {*json_files.read(path, list[str], expected=expected, give=give)}

    def path(self, name: str) -> pathlib.Path:
        """Returns where a result is written, which is known as one from now on.

        Its subfolder is created if need be.

        Raises:
          OutputError: the folder cannot be written to.
        """
        if name not in self.known:
            self.known.add(name)
            self._list()
        path = self.output / name
        if path.parent != self.output:
            files.make_directory(path.parent)
        return path

    def remove(self, name: str) -> bool:
        """Removes a result; returns whether it was there.

        Raises:
          OutputError: it cannot be removed.
        """
        path = self.output / name
        if name not in self.known or not os.path.lexists(path):
            return False
        files.remove(path)
        self.known.discard(name)
        self._list()
        return True

    def other_pictures(self, written: Collection[str]) -> list[str]:
        """Returns the names of the pictures there that are not among these, sorted."""
        pictures = {name for name in self.known if name.endswith((".png", ".webp"))}
        others = sorted(pictures.difference(written))
        return [name for name in others if os.path.isfile(self.output / name)]

    def _list(self) -> None:
        files.write_json(self.output / FILE, sorted(self.known))


def check(names: output_names.Names, output: pathlib.Path) -> None:
    """Checks that no result of a run takes the place of what is no result.

    Args:
      names: of the files that the run may write.
      output: folder of the results.

    Raises:
      InputError: one does, or would be written to another folder by a link.
    """
    known = Results(output).known
    if output_folders.is_ours(output / application.FLAG_FILE):
        known.add(application.FLAG_FILE)
    for folder in names.folders | {finished_records.FOLDER}:
        for entry in _entries(output, folder):
            name = f"{folder}/{entry.name}" if folder else entry.name
            if name not in names:
                continue
            why = "no result of an earlier run"
            if os.path.islink(entry):
                why = "a link"
            elif os.path.isdir(entry):
                why = "a folder"
            elif name in known:
                continue
            raise InputError(
                f"--output_dir={output}: {entry.path} is {why}, and a result would "
                "take its place; move it or give another folder."
            )


def _entries(output: pathlib.Path, folder: str) -> list[os.DirEntry[str]]:
    """Returns what is in a folder of results; nothing if there is none."""
    path = output / folder
    straight = pathlib.Path(os.path.realpath(output), folder)
    if pathlib.Path(os.path.realpath(path)) != straight:
        raise InputError(
            f"--output_dir={output}: {path} leads to another folder, and results would "
            "be written there; give another folder."
        )
    try:
        return sorted(os.scandir(path), key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(
            f"--output_dir={output}: {path} cannot hold results ({reason(error)}); "
            "move it or give another folder."
        ) from error
