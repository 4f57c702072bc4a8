"""Errors that tell the user, not the programmer, what to correct."""


class InputError(ValueError):
    """An input of the program is wrong: a flag, a file, a model or a picture.

    The message is one sentence that names the flag or file, the value found, and what
    would be right. Applications print it without a traceback and exit with code 2.
    """


class OutputError(Exception):
    """A result cannot be written: a folder is read-only, or the disk is full.

    The message is one sentence, as that of an `InputError`. But no picture is to blame:
    who skips pictures that are wrong does not go on after this error.
    """


def reason(error: Exception) -> str:
    """Returns the first line of an error's message, or its type if it has none."""
    return (str(error) or type(error).__name__).partition("\n")[0]
