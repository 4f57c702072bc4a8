"""Checks that flag files can be read, before their flags are parsed."""

import os
import pathlib
from collections.abc import Iterator, Sequence

from inpaint_jax.errors import InputError, reason

_DEEPEST = 20  # however it is called each time, as a/../a.flags


def check(arguments: Sequence[str], inside: tuple[str, ...] = ()) -> None:
    """Checks that flag files can be read and do not include themselves.

    Args:
      arguments: flags, as on a command line or in a flag file.
      inside: the flag files that contain these flags, the outermost first.

    Raises:
      InputError: a file cannot be read or includes itself.
    """
    for path in _named(arguments):
        where = f"--flagfile={path}" + (f" (in {inside[-1]})" if inside else "")
        if path in inside or len(inside) == _DEEPEST:
            raise InputError(f"{where}: includes itself; take that line out.")
        file = os.path.expanduser(path)
        try:
            if os.path.exists(file) and not os.path.isfile(file):
                raise ValueError("not a file")
            text = pathlib.Path(file).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(
                f"{where}: cannot be read ({reason(error)}); give a text file with a "
                "flag on each line."
            ) from error
        check([line.strip() for line in text.splitlines()], (*inside, path))


def _named(arguments: Sequence[str]) -> Iterator[str]:
    """Yields the files of all --flagfile=FILE and --flagfile FILE."""
    for place, argument in enumerate(arguments):
        if not argument.startswith("-"):
            continue
        name, equals, path = argument.lstrip("-").partition("=")
        if name == "flagfile" and equals:
            yield path
        elif name == "flagfile" and place + 1 < len(arguments):
            yield arguments[place + 1]
