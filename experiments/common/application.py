"""Runs an application: parses its flags, reports errors, and sets the exit code."""

import dataclasses
import logging as standard_logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from experiments.common import flag_files, options, progress, usage
from experiments.common.options import option
from inpaint_jax import runtime
from inpaint_jax.errors import InputError, OutputError
from inpaint_jax.io import files


@dataclasses.dataclass(frozen=True)
class Process:
    """Options of every application."""

    debug: bool = option(False, "Show the traceback of every error.")
    compilation_cache_dir: str | None = option(
        None,
        "Folder that caches compiled programs, so that the next run starts sooner.",
    )


FLAG_FILE = "effective.flags"
"""File in the folder of the results, with which `--flagfile` repeats the run."""

_HELP = {"--help", "-help", "-h", "--helpfull", "--helpshort", "--helpxml"}


def run(main: Callable[[], int], *, callbacks: bool = False) -> None:
    """Parses the flags, runs an application and exits.

    Exit codes: 0 success, 1 some inputs were skipped, 2 an input or a flag was wrong,
    or an output cannot be written, 130 interrupted, 141 the reader of the output closed
    the pipe.

    Args:
      main: the application, called after flags are parsed; returns 0 or 1.
      callbacks: whether compiled programs call back into Python, as for dlib.
    """

    def guarded(arguments: Sequence[str]) -> int:
        del arguments  # all of them are flags, which are parsed already
        # absl's handler shows JAX's warnings; Orbax's messages are of no use here.
        logging.set_verbosity(logging.ERROR)
        standard_logging.getLogger("jax").setLevel("WARNING")
        if callbacks:
            runtime.allow_callbacks()
        process = options.read(Process)
        try:
            _announce()
            if process.compilation_cache_dir:
                # Whoever may write there decides what this process runs.
                folder = files.make_private_directory(process.compilation_cache_dir)
                runtime.keep_programs(folder)
            return main()
        except (InputError, OutputError) as error:
            if process.debug:
                raise
            return _refuse(str(error))
        except KeyboardInterrupt:
            _refuse(
                "interrupted; every file that is written is complete, and the same "
                "command goes on with a training or an evaluation."
            )
            return 130

    options.define(Process, heading="Every application")
    try:
        app.run(guarded, flags_parser=_parse)
    except BrokenPipeError:
        # The reader of the output closed the pipe, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def write_effective_flags(directory: str | os.PathLike[str], *kinds: type) -> None:
    """Writes `FLAG_FILE`.

    Args:
      directory: folder to write to.
      *kinds: dataclasses whose fields are the flags of the application.
    """
    known = [flags.FLAGS[each] for each in options.names(*kinds)]
    given = [line for flag in known for line in _serialized(flag)]
    comment = f"python -m {name()} --flagfile={FLAG_FILE}"
    path = os.path.join(directory, FLAG_FILE)
    files.write_text(path, flag_files.text(comment, given))


def command(*kinds: type, without: Sequence[str]) -> str:
    """Returns the command line that repeats a run, without flags at their default.

    Args:
      *kinds: dataclasses whose fields are the flags of the application.
      without: names of flags to leave out, such as output folders.
    """
    known = [flags.FLAGS[each] for each in options.names(*kinds)]
    changed = [
        shlex.quote(line)
        for flag in known
        if flag.value != flag.default and flag.name not in without
        for line in _serialized(flag)
    ]
    return " ".join([f"python -m {name()}", *changed])


def _serialized(flag: flags.Flag) -> list[str]:
    """Returns the arguments that give a flag its value; none without a value."""
    if flag.value is None:
        return []
    if isinstance(flag, flags.MultiFlag):
        return [f"--{flag.name}={value}" for value in flag.value]
    return [flag.serialize()]


def name() -> str:
    """Returns the application's name for `python -m`, or the running program's name."""
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else os.path.basename(sys.argv[0])


def _announce() -> None:
    """Prints what this process does, and on which device.

    Raises:
      InputError: the device that JAX_PLATFORMS names is not there.
    """
    what, *_ = (sys.modules["__main__"].__doc__ or name()).splitlines()
    progress.say(f"{name()}: {what[:1].lower()}{what[1:]}")
    progress.say(f"on {runtime.device()}")


def _parse(arguments: Sequence[str]) -> Sequence[str]:
    if not _HELP.isdisjoint(arguments[1:]):
        text = sys.modules["__main__"].__doc__ or ""
        print(usage.page(text, options.GROUPS))
        sys.exit(0)
    try:
        options.take(arguments[1:], flags.FLAGS)
    except InputError as error:
        sys.exit(_refuse(str(error)))
    return arguments[:1]


def _refuse(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
