"""Runs an application: parses its flags, reports errors, and sets the exit code."""

import contextlib
import dataclasses
import logging as standard_logging
import os
import pathlib
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags, logging

from experiments.common import options, progress, stopping, usage
from experiments.common.options import option
from inpaint_jax import runtime
from inpaint_jax.errors import InputError
from inpaint_jax.io import files, locks


@dataclasses.dataclass(frozen=True)
class Process:
    """Options of every application."""

    debug: bool = option(False, "Show the traceback of every error.")
    compilation_cache_dir: str | None = option(
        None,
        "Folder that caches compiled programs, so that the next run starts sooner.",
    )


_HELP = {"--help", "-help", "-h", "--helpfull", "--helpshort", "--helpxml"}


def run(main: Callable[[], int], *, callbacks: bool = False) -> None:
    """Parses the flags, runs an application and exits.

    Exit codes: 0 success, 1 some inputs were skipped, 2 an input or a flag was wrong,
    130 interrupted, 143 terminated, 141 the reader of the output closed the pipe.

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
                folder = files.make_directory(process.compilation_cache_dir)
                runtime.keep_programs(folder)
            with stopping.deferred():
                return main()
        except InputError as error:
            if process.debug:
                raise
            return _refuse(str(error))
        except stopping.Stopped as stopped:
            _refuse(
                f"{stopped}; every file that is there is whole, and the same command "
                "goes on with a training, a release, an evaluation or an ablation."
            )
            return stopped.code

    stopping.watch()
    options.define(Process, heading="Every application")
    try:
        app.run(guarded, flags_parser=_parse)
    except BrokenPipeError:
        # The reader of the output closed the pipe, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


@contextlib.contextmanager
def output_folder(
    path: str | os.PathLike[str], *, flag: str = "output_dir"
) -> Iterator[pathlib.Path]:
    """Creates a folder of results if need be, and keeps other processes out of it.

    Args:
      path: the folder.
      flag: the flag that names it.

    Yields:
      The folder.

    Raises:
      InputError: it cannot be written, or another process writes to it.
    """
    folder = files.make_directory(path)
    busy = (
        f"--{flag}={path}: another process is writing there; wait for it or give "
        "another folder."
    )
    with locks.held(folder, busy=busy):
        yield folder


def write_effective_flags(directory: str | os.PathLike[str], *kinds: type) -> None:
    """Writes `effective.flags`, with which `--flagfile` repeats the run.

    Args:
      directory: folder to write to.
      *kinds: dataclasses whose fields are the flags of the application.
    """
    known = [flags.FLAGS[name] for name in options.names(*kinds)]
    lines = [f"# python -m {_name()} --flagfile=effective.flags"]
    lines += [flag.serialize() for flag in known if flag.value is not None]
    text = "\n".join(lines) + "\n"
    files.write_text(os.path.join(directory, "effective.flags"), text)


def command(*kinds: type, without: Sequence[str]) -> str:
    """Returns the command line that repeats a run, without flags at their default.

    Args:
      *kinds: dataclasses whose fields are the flags of the application.
      without: names of flags to leave out, such as output folders.
    """
    known = [flags.FLAGS[name] for name in options.names(*kinds)]
    changed = [
        shlex.quote(flag.serialize())
        for flag in known
        if flag.value != flag.default and flag.name not in without
    ]
    return " ".join([f"python -m {_name()}", *changed])


def _name() -> str:
    """Returns the application's name for `python -m`, or the running program's name."""
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else os.path.basename(sys.argv[0])


def _announce() -> None:
    """Prints what this process does, and on which device.

    Raises:
      InputError: the device that JAX_PLATFORMS names is not there.
    """
    what, *_ = (sys.modules["__main__"].__doc__ or _name()).splitlines()
    progress.say(f"{_name()}: {what[:1].lower()}{what[1:]}")
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
