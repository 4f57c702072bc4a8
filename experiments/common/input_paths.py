"""Paths as people give them, with quotes, `~` and wildcards; and inputs."""

import glob
import os
import pathlib
import re
from typing import NamedTuple

from inpaint_jax.errors import printable

_WILD = re.compile(r"[*?]")


class Input(NamedTuple):
    """A picture to complete.

    Attributes:
      path: the picture.
      name: name of its result without suffix, below the output folder: the stem, in the
        subfolder in which the picture lies.
    """

    path: pathlib.Path
    name: str

    @property
    def stem(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]


def existing(text: str) -> str:
    """Returns the path that a text means.

    A path is taken as it is if it exists; else quotes around it are left out, and `~`
    becomes the home folder. The path that comes out may still not exist.
    """
    if os.path.lexists(text):
        return text
    bare = text.strip()
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'":
        bare = bare[1:-1]
    return os.path.expanduser(bare)


def is_wild(path: str) -> bool:
    """Returns whether a path has wildcards and is not itself there."""
    return _WILD.search(path) is not None and not os.path.lexists(path)


def matches(pattern: str) -> tuple[list[pathlib.Path], pathlib.Path]:
    """Returns what a path with the wildcards `*`, `?` and `**` matches.

    Brackets stand for themselves, as they do in many names of files.

    Args:
      pattern: the path; hidden files only match what begins with a dot itself.

    Returns:
      The matches, sorted, and the folder before the first wildcard.
    """
    literal = pattern.replace("[", "[[]")
    found = sorted(map(pathlib.Path, glob.glob(literal, recursive=True)))
    parts = pathlib.Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if _WILD.search(part))
    return found, pathlib.Path(*parts[:fixed])


def name_within(path: pathlib.Path, folder: pathlib.Path) -> str:
    """Returns the name of a picture's result: its path within a folder, no suffix."""
    return "/".join(map(printable, path.relative_to(folder).with_suffix("").parts))
