"""Reads and writes flag files: a flag on each line, `#` begins a comment.

A line that begins with a quotation mark is a JSON string that holds the flag:
for values with blanks at an end, with line breaks, or with bytes that are no UTF-8.
"""

import json
import os
from collections.abc import Iterator, Sequence

from inpaint_jax.errors import InputError, reason
from inpaint_jax.io import files

_DEEPEST = 20  # however it is called each time, as a/../a.flags
_MOST_FILES, _MOST_FLAGS = 100, 10_000  # each may include the next one many times


def expand(arguments: Sequence[str]) -> list[str]:
    """Returns arguments with the lines of each flag file in the place of its flag.

    Args:
      arguments: flags, as on a command line.

    Raises:
      InputError: a file cannot be read or includes itself, or there are too many files
        or flags in them.
    """
    return _Expansion().of(arguments, ())


class _Expansion:
    """Counts what it reads, so that it ends."""

    def __init__(self) -> None:
        self._files = self._flags = 0

    def of(self, arguments: Sequence[str], inside: tuple[str, ...]) -> list[str]:
        """Expands arguments that stand in flag files, named from the outermost on."""
        found, rest = [], iter(arguments)
        for argument in rest:
            name, equals, path = argument.partition("=")
            if name not in ("--flagfile", "-flagfile"):
                found.append(argument)
                continue
            path = path if equals else next(rest, "")
            where = f"--flagfile={path}" + (f" (in {inside[-1]})" if inside else "")
            if path in inside or len(inside) == _DEEPEST:
                raise InputError(f"{where}: includes itself; take that line out.")
            found += self.of(self._lines(path, where), (*inside, path))
        return found

    def _lines(self, path: str, where: str) -> list[str]:
        self._files += 1
        if self._files > _MOST_FILES:
            raise InputError(
                f"{where}: is one more than the {_MOST_FILES} flag files that are "
                "read, each as often as it is named; name fewer."
            )
        try:
            lines = list(_read(files.read_text(os.path.expanduser(path))))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{where}: cannot be read ({reason(error)}); give a text file with a "
                "flag on each line."
            ) from error
        self._flags += len(lines)
        if self._flags > _MOST_FLAGS:
            raise InputError(
                f"{where}: with it, flag files hold more than {_MOST_FLAGS:,} flags; "
                "give fewer."
            )
        return lines


def text(comment: str, arguments: Sequence[str]) -> str:
    """Returns the text of a flag file.

    Args:
      comment: the first line.
      arguments: flags.
    """
    lines = [f"# {comment}", *map(_line, arguments)]
    return "\n".join(lines) + "\n"


def _line(argument: str) -> str:
    if argument.isprintable() and argument == argument.strip():
        return argument
    return json.dumps(argument)


def _read(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        line = line.strip()
        if line.startswith('"'):
            flag = json.loads(line)
            if not isinstance(flag, str):
                raise ValueError(f"{line} is no string")
            yield flag
        elif line and not line.startswith(("#", "//")):
            yield line
