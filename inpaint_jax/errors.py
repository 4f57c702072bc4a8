"""The one error that is meant for a person rather than for a programmer."""


class InputError(ValueError):
    """Something outside the program is wrong: a flag, a file, a model, a picture.

    The message is one sentence that names the flag or file, the value found, and what
    would be right. Applications print it without a traceback and exit with code 2.
    """


def reason(error: Exception) -> str:
    """Returns the first line of what an error says, or its type if it says nothing."""
    return (str(error) or type(error).__name__).partition("\n")[0]
