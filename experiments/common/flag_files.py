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


def expand(arguments: Sequence[str], inside: tuple[str, ...] = ()) -> list[str]:
    """Returns arguments with the lines of each flag file in the place of its flag.

    Args:
      arguments: flags, as on a command line or in a flag file.
      inside: the flag files that contain these flags, the outermost first.

    Raises:
      InputError: a file cannot be read or includes itself.
    """
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
        file = os.path.expanduser(path)
        try:
            lines = list(_read(files.read_text(file)))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{where}: cannot be read ({reason(error)}); give a text file with a "
                "flag on each line."
            ) from error
        found += expand(lines, (*inside, path))
    return found


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
