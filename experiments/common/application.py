"""What every application here does around its work: flags, errors, exit codes."""

import math
import os
import shlex
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags, logging

from inpaint_jax import runtime
from inpaint_jax.errors import InputError
from inpaint_jax.io import files

_DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of every error.")
_CACHE = flags.DEFINE_string(
    "compilation_cache_dir",
    None,
    "Folder in which compiled programs are kept, so that the next run starts sooner.",
)


def run(main: Callable[[], int]) -> None:
    """Parses the flags, runs an application and exits.

    Exit codes: 0 all done, 1 some inputs were skipped, 2 the input or a flag was wrong,
    130 interrupted.

    Args:
      main: called after flags are parsed and JAX is configured; returns 0 or 1.
    """

    def guarded(arguments: Sequence[str]) -> int:
        if len(arguments) > 1:
            return _refuse(f"{arguments[1]}: unknown argument; flags start with --.")
        logging.set_verbosity(logging.ERROR)
        runtime.configure()
        try:
            if _CACHE.value:
                runtime.keep_programs(files.make_directory(_CACHE.value))
            return main()
        except InputError as error:
            if _DEBUG.value:
                raise
            return _refuse(str(error))
        except KeyboardInterrupt:
            _refuse("interrupted; every file that is written is complete.")
            return 130

    app.run(guarded, flags_parser=_parse)


def write_effective_flags(
    directory: str | os.PathLike[str], *others: types.ModuleType
) -> None:
    """Writes the flags of the application so that `--flagfile` repeats the run.

    Args:
      directory: where to write `effective.flags`.
      *others: modules whose flags belong to the application too.
    """
    lines = [f"# python -m {_name()} --flagfile=effective.flags"]
    known = _flags_of(*others)
    lines += [flag.serialize() for flag in known if flag.value is not None]
    text = "\n".join(lines) + "\n"
    files.write_text(os.path.join(directory, "effective.flags"), text)


def command(*, without: Sequence[str]) -> str:
    """Returns the command line that repeats a run, defaults left out.

    Args:
      without: names of flags that do not belong to what is repeated, as folders.
    """
    changed = [
        shlex.quote(flag.serialize())
        for flag in _flags_of()
        if flag.value != flag.default and flag.name not in without
    ]
    return " ".join([f"python -m {_name()}", *changed])


def given(flag: flags.FlagHolder[str | None]) -> str:
    """Returns the value of a flag that must be there.

    Raises:
      InputError: it was not given.
    """
    if not flag.value:
        raise InputError(f"--{flag.name}: missing; it must be given.")
    return flag.value


def check_numbers(*holders: flags.FlagHolder[Any]) -> None:
    """Refuses numbers that no option can mean.

    Args:
      holders: flags of any type.

    Raises:
      InputError: a float is NaN or infinite, or a rate is not above 0.
    """
    for holder in holders:
        value = holder.value
        if not isinstance(value, float):
            continue
        if not math.isfinite(value) or (holder.name.endswith("rate") and value <= 0):
            raise InputError(
                f"--{holder.name}={value}: must be a finite number"
                f"{' above 0' if holder.name.endswith('rate') else ''}."
            )


def _name():
    """The application as `python -m` knows it."""
    spec = sys.modules["__main__"].__spec__
    assert spec is not None, "applications are started by python -m"
    return spec.name


def _flags_of(*modules):
    # Run with -m, a module owns its flags under the name of its file.
    owners = (sys.argv[0], _name(), *modules)
    owned = [f for owner in owners for f in flags.FLAGS.get_flags_for_module(owner)]
    return sorted(dict.fromkeys(owned), key=lambda flag: flag.name)


def _parse(arguments):
    try:
        return flags.FLAGS(arguments)
    except flags.Error as error:
        sys.exit(_refuse(str(error)))


def _refuse(message):
    print(f"error: {message}", file=sys.stderr)
    return 2
