"""What an application says of an error that ends it, and its exit code."""

import re
from typing import NamedTuple

import jax

from inpaint_jax.errors import InputError, OutputError, printable, reason

WRONG_INPUT, INTERNAL = 2, 70  # the latter is EX_SOFTWARE of sysexits.h


class Failure(NamedTuple):
    """How an application ends after an error.

    Attributes:
      code: exit code.
      sentence: what it says; without line breaks.
    """

    code: int
    sentence: str


def of(error: Exception) -> Failure:
    """Returns how an application ends after an error.

    An error that says what the user can do is told as it is. So is what the system
    refuses: memory, a full disk. Every other error is a mistake of this program.
    """
    if isinstance(error, (InputError, OutputError)):
        # The library names its parameter, which is the flag's name.
        dashes = "--" if re.match("[a-z_]+=", str(error)) else ""
        return Failure(WRONG_INPUT, dashes + str(error))
    exhausted = isinstance(error, jax.errors.JaxRuntimeError) and (
        "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error)
    )
    if isinstance(error, MemoryError) or exhausted:
        return Failure(
            WRONG_INPUT,
            f"the memory is exhausted ({reason(error)}); give smaller numbers: fewer "
            "restarts or images at once, a smaller batch or network.",
        )
    if isinstance(error, OSError):
        where = printable(str(error.filename or "the standard output"))
        return Failure(
            WRONG_INPUT,
            f"{where}: {reason(error)}; free some space, or give another file.",
        )
    return Failure(
        INTERNAL,
        f"internal error: {type(error).__name__}: {reason(error)}; run again with "
        "--debug for the traceback, and report it.",
    )
