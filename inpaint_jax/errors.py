"""Errors that tell the user, not the programmer, what to correct."""

import contextlib
import re
from collections.abc import Iterator


class InputError(ValueError):
    """An input of the program is wrong: a flag, a file, a model or a picture.

    The message is one sentence that names the flag or file, the value found, and what
    would be right. Applications print it without a traceback and exit with code 2.
    """

    def __init__(self, message: str) -> None:
        """Keeps the message as it can be shown: names of files hold anything."""
        super().__init__(printable(message))


class OutputError(Exception):
    """A result cannot be written: a folder is read-only, or the disk is full.

    The message is one sentence, as that of an `InputError`. But no picture is to blame:
    who skips pictures that are wrong does not go on after this error.
    """

    def __init__(self, message: str) -> None:
        """Keeps the message as it can be shown."""
        super().__init__(printable(message))


def reason(error: BaseException) -> str:
    """Returns the first line of an error's message, or its type if it has none.

    For an error of the system it is the system's words, without the file's name.
    """
    text = getattr(error, "strerror", None) or str(error)
    return printable(text.strip().partition("\n")[0]) or type(error).__name__


def printable(text: str) -> str:
    r"""Returns a text with everything that is no visible character as an escape.

    Names of files hold line breaks, sequences that a terminal obeys, and bytes that are
    no UTF-8; each becomes what Python writes for it, as `\n`, `\x1b` and `\udcff`.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )


@contextlib.contextmanager
def naming(flag: str, value: object) -> Iterator[None]:
    """Says in every error of the block which flag the input or output came from.

    The library knows no flags. What it says of a parameter, as `cache=FILE: damaged`,
    is true of the flag of that name.

    Args:
      flag: the flag, with its dashes.
      value: its value; None if it was not given, and nothing came from it. A message
        that begins with the value, or with its end (the path of a source, the name of
        a folder), does not say it twice.
    """
    try:
        yield
    except (InputError, OutputError) as error:
        if value is None or str(error).startswith("--"):
            raise  # the innermost block knows best
        if re.match(r"\w+=", str(error)):
            raise type(error)(f"--{error}") from error
        given = printable(str(value))
        about, colon, rest = str(error).partition(": ")
        told = rest if colon and given.endswith(about) else str(error)
        raise type(error)(f"{flag}={given}: {told}") from error
