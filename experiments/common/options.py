"""Defines command-line flags by the fields of frozen dataclasses, and reads them."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from absl import flags

from experiments.common import fields, flag_files, flag_values
from experiments.common.fields import About, Nested
from inpaint_jax.errors import InputError, naming
from inpaint_jax.io import files

_Options = TypeVar("_Options")

GROUPS: dict[type, str] = {}
"""{dataclass: heading} of all dataclasses that `define` made flags of."""

DEFAULTS: dict[str, Any] = {}
"""{flag: its default} of the flags whose default the application has changed."""

_RENAMED = {
    "start": "z_prior",
    "spread": "init_std",
    "products": "precision",
    "start_from": "pretrained",
    "variant": "method",
}


_HIDING = {"--undefok", "-undefok"}  # absl's: names flags that may be unknown

# Messages of absl's parsers, in Python's terms, and their meaning for users.
_PARSER_SAYS = {
    "invalid literal for int": "must be a whole number.",
    "could not convert string to float": "must be a number.",
    "Non-boolean argument": "must be true or false.",
}


def renamed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Returns stored options with old names of flags replaced by new ones."""
    return {_RENAMED.get(name, name): value for name, value in stored.items()}


def option(default: Any, text: str, **about: Any) -> Any:
    """Returns a dataclass field that `define` makes a flag of.

    Args:
      default: default of the field.
      text: help text of the flag.
      **about: further properties of the flag, see `fields.About`.
    """
    metadata = {"about": About(text, **about)}
    return dataclasses.field(default=default, metadata=metadata)


def nested(
    default: Any, *, prefix: str = "", without: Sequence[str] = (), **about: About
) -> Any:
    """Returns a dataclass field that is a dataclass itself; its fields become flags.

    Args:
      default: an instance of that dataclass.
      prefix: prefix of the flags' names.
      without: fields that do not become flags.
      **about: {field: further properties of its flag, see `fields.About`}.
    """
    metadata = {"nested": Nested(prefix, without, about)}
    return dataclasses.field(default=default, metadata=metadata)


def define(options: type, *, heading: str) -> None:
    """Defines a flag of the process for each field of a dataclass.

    Args:
      options: the dataclass; all its fields have defaults.
      heading: heading of these flags in the help.
    """
    GROUPS[options] = heading
    flag_values.define(options, flags.FLAGS)


def change_default(name: str, value: Any) -> None:
    """Gives a flag of the process another default than its field has.

    Args:
      name: of the flag.
      value: what it has if it is not given.
    """
    flags.FLAGS.set_default(name, value)
    DEFAULTS[name] = value


def names(*options: type) -> list[str]:
    """Returns the names of the flags of some dataclasses, in alphabetical order."""
    return sorted({flag.name for each in options for flag in fields.listed(each())})


def read(options: type[_Options], *, base: _Options | None = None) -> _Options:
    """Returns a dataclass with the values of the process's flags.

    Args:
      options: the dataclass.
      base: values of flags that are not given; None for the fields' defaults.

    Raises:
      InputError: a number is not finite, or a word is not allowed.
    """
    defaults = DEFAULTS if base is None else {}
    return flag_values.read(base or options(), flags.FLAGS, defaults=defaults)


def parse(
    options: type[_Options],
    arguments: Sequence[str],
    *,
    base: _Options | None = None,
) -> _Options:
    """Returns a dataclass with the values of a list of flags.

    The flags of the process are ignored.

    Args:
      options: the dataclass.
      arguments: flags and flag files.
      base: as in `read`.

    Raises:
      InputError: a flag is unknown or has a wrong value.
    """
    values = flags.FlagValues()
    flag_values.define(options, values)
    take(arguments, values)
    return flag_values.read(base or options(), values, defaults={})


def take(arguments: Sequence[str], values: flags.FlagValues) -> None:
    """Parses arguments into the values of flags.

    Args:
      arguments: flags and flag files.
      values: the defined flags, which get the values.

    Raises:
      InputError: a flag is unknown or has a wrong value, or a flag file cannot be read.
    """
    given = flag_files.expand(arguments)
    if not _HIDING.isdisjoint(each.partition("=")[0] for each in given):
        raise InputError("--undefok: would hide misspelt flags; take it out.")
    try:
        _, *unknown = values(["", *given])
    except (flags.Error, ValueError) as error:
        raise InputError(_explained(error, values)) from error
    if unknown:
        several = "; several paths go into one flag, with commas between"
        raise InputError(
            f"{unknown[0]}: unknown argument; flags start with --"
            f"{several if os.path.lexists(unknown[0]) else ''}."
        )


def _explained(error: Exception, known: flags.FlagValues) -> str:
    """Returns an error sentence about a flag; for an old name it gives the new name."""
    old = str(getattr(error, "flagname", "")).split(" ")[0]
    for name in (old, old.removeprefix("no")):
        new = _RENAMED.get(name, "")
        if new in known:
            return f"--{old}: is called --{new} now."
    what, _, why = str(error).removeprefix("flag ").partition(": ")
    for begins, sentence in _PARSER_SAYS.items():
        if begins in why:
            return f"{what}: {sentence}"
    return str(error).removeprefix("flag ")


def given(options: Any, name: str) -> str:
    """Returns the value of a required option.

    Raises:
      InputError: the option was not given.
    """
    value = getattr(options, name)
    if not value:
        raise InputError(f"--{name}: missing; it must be given.")
    return value


def folder(options: Any, name: str) -> pathlib.Path:
    """Creates the folder that a required option names, if need be.

    Raises:
      InputError: the option was not given, or the folder cannot be written to.
    """
    path = given(options, name)
    with naming(f"--{name}", path):
        return files.make_directory(path)


def output_file(
    options: Any, name: str, *, ours: Callable[[str], bool] | None = None
) -> str:
    """Returns the file that a required option names; its folder is created if need be.

    So what cannot be written is refused before the work, and not after it.

    Args:
      options: a dataclass.
      name: of its field.
      ours: returns whether a file that is there is one that this program wrote for the
        same option, so that it may be replaced; None if the caller checks that.

    Raises:
      InputError: the option was not given, another file is there, or it cannot be
        written.
    """
    path = given(options, name)
    with naming(f"--{name}", path):
        if os.path.isdir(path):
            raise InputError(f"{path}: is a folder; give the name of a file.")
        if ours is not None and os.path.lexists(path) and not ours(path):
            raise InputError(
                f"{path}: is there, and this program did not write it for --{name}; "
                "give another name."
            )
        files.make_directory(os.path.dirname(path) or ".")
    return path


def check_there(options: Any, *names: str) -> None:
    """Checks that what path options name is there, be it needed or not.

    Args:
      options: a dataclass.
      *names: of its fields; at their default they are not looked at.

    Raises:
      InputError: a path does not exist.
    """
    usual = {field.name: field.default for field in dataclasses.fields(options)}
    for name in names:
        path = getattr(options, name)
        if path != usual[name] and not os.path.exists(path):
            raise InputError(
                f"--{name}={path}: no such file or folder; give another path, or leave "
                "the flag out."
            )


def check_used(*options: type, beside: str, used: Sequence[str]) -> None:
    """Checks that no flag was given that does nothing beside another one.

    Args:
      *options: dataclasses, whose fields are the flags of the application.
      beside: the other flag.
      used: the flags that do something beside it.

    Raises:
      InputError: another flag has a value that is not its default.
    """
    for name in names(*options):
        flag = flags.FLAGS[name]
        if flag.value != flag.default and name not in (beside, *used):
            raise InputError(
                f"--{name}: has no effect beside --{beside}; leave it out."
            )


def stored(options: Any) -> dict[str, Any]:
    """Returns {field: JSON value} of a dataclass and of its nested dataclasses."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            found |= stored(value)
        else:
            found[field.name] = list(value) if isinstance(value, tuple) else value
    return found
