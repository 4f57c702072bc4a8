"""Runs an application: parses its flags, reports errors, and sets the exit code."""

import contextlib
import dataclasses
import io
import logging as standard_logging
import os
import pathlib
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from experiments.common import (
    failures,
    flag_files,
    options,
    progress,
    stopping,
    usage,
)
from experiments.common.options import option
from inpaint_jax import runtime
from inpaint_jax.errors import InputError, OutputError, naming, printable
from inpaint_jax.io import files, private_folders


@dataclasses.dataclass(frozen=True)
class Process:
    """Options of every application."""

    debug: bool = option(False, "Show the traceback of every error.")
    compilation_cache_dir: str | None = option(
        None,
        "Folder that caches compiled programs, so that the next run starts sooner; by "
        "default one in the user's cache folder, with none no folder.",
    )


FLAG_FILE = "effective.flags"
"""File in the folder of the results, with which `--flagfile` repeats the run."""

# What is said of an application that a signal ended; all others begin anew.
_GOES_ON = {
    "inpaint": "the same command goes on with --resume.",
    "train": "the same command goes on with a training.",
    "train_landmarks": "the same command goes on with a training.",
    "release": "the same command goes on with a release.",
    "evaluate": "the same command goes on.",
    "ablation": "the same command goes on.",
    "web": "the same command serves again.",
}
_HELP = {"--help", "-help", "-h", "--helpfull", "--helpshort", "--helpxml"}


def run(
    main: Callable[[], int], *, callbacks: Callable[[], bool] | None = None
) -> None:
    """Parses the flags, runs an application and exits.

    Exit codes: 0 success, 1 some inputs were skipped, 2 an input or a flag was wrong,
    or an output cannot be written, 70 an error of the program itself, 130 interrupted,
    143 terminated, 141 the reader of the output closed the pipe.

    Args:
      main: the application, called after flags are parsed; returns 0 or 1.
      callbacks: returns whether compiled programs call back into Python, as for dlib;
        None if they never do.
    """
    stopping.watch()
    options.define(Process, heading="Every application")
    for each in ("stdout", "stderr"):
        if getattr(sys, each) is None:  # closed by the shell, as by `>&-`
            setattr(sys, each, open(os.devnull, "w", encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may be ASCII
    try:
        app.run(lambda _: _ended(main, callbacks), flags_parser=_parse)
    except BrokenPipeError:
        # The reader of the output closed the pipe, as `head` does.
        _drop_output()
        sys.exit(141)


def _ended(main: Callable[[], int], callbacks: Callable[[], bool] | None) -> int:
    """Runs an application to its end; returns the exit code, see `run`."""
    # absl's handler shows JAX's warnings; Orbax's messages are of no use here: what it
    # finds damaged is told in a sentence.
    logging.set_verbosity(logging.FATAL)
    standard_logging.getLogger("jax").setLevel("WARNING")
    standard_logging.getLogger("asyncio").setLevel("CRITICAL")
    process = options.read(Process)
    try:
        if callbacks is not None and _asks(callbacks):
            runtime.allow_callbacks()
        _announce()
        _keep_programs(process.compilation_cache_dir)
        with stopping.deferred():
            code = main()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        raise
    except Exception as error:
        if process.debug:
            traceback.print_exc()
        return _fail(error)
    except stopping.Stopped as stopped:
        usual = _GOES_ON.get(name().rpartition(".")[2], "the same command begins anew.")
        goes_on = getattr(stopped, "__notes__", [usual])
        _refuse(f"{stopped}; every file that is there is whole, and {goes_on[0]}")
        return stopped.code


def _asks(callbacks: Callable[[], bool]) -> bool:
    """Returns what `callbacks` does; wrong flags are told in their turn."""
    with contextlib.suppress(InputError):
        return callbacks()
    return False


def _keep_programs(given: str | None) -> None:
    """Caches compiled programs in the given folder, or in the default one.

    The folder is private: who writes there decides what runs.
    """
    if given == "none" or (given is None and runtime.keeps_programs()):
        return
    if given is not None:
        with naming("--compilation_cache_dir", given):
            return runtime.keep_programs(private_folders.make_private(given))
    try:
        runtime.keep_programs(private_folders.make_private(_usual_cache()))
    except (InputError, OutputError, RuntimeError) as error:
        progress.say(f"compiled programs are not kept for the next run: {error}")


def _usual_cache() -> pathlib.Path:
    """Returns the default folder of compiled programs, in the user's cache folder.

    Raises:
      RuntimeError: the user has no home.
    """
    folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not folder.is_absolute():
        usual = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
        folder = pathlib.Path(usual).expanduser()
    return folder / "inpaint_jax" / "programs"


def write_effective_flags(directory: str | os.PathLike[str], *kinds: type) -> None:
    """Writes `FLAG_FILE`.

    Args:
      directory: folder to write to.
      *kinds: dataclasses whose fields are the flags of the application.
    """
    known = [flags.FLAGS[each] for each in options.names(*kinds)]
    given = [line for flag in known for line in _serialized(flag)]
    path = os.path.join(directory, FLAG_FILE)
    comment = shlex.join(["python", "-m", name(), f"--flagfile={printable(path)}"])
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
        try:
            print(usage.page(text, options.GROUPS, options.DEFAULTS), flush=True)
        except BrokenPipeError:
            _drop_output()
        except OSError as error:
            sys.exit(_fail(error))
        sys.exit(0)
    try:
        options.take(arguments[1:], flags.FLAGS)
    except Exception as error:
        sys.exit(_fail(error))
    return arguments[:1]


def _fail(error: Exception) -> int:
    """Says what went wrong, and returns the exit code."""
    code, sentence = failures.of(error)
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    _refuse(sentence)
    return code


def _refuse(sentence: str) -> None:
    print(f"error: {sentence}", file=sys.stderr)


def _drop_output() -> None:
    """Lets nothing more be written that cannot be, also when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
