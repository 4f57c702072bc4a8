"""Defines absl's flags by the fields of a dataclass, and reads their values."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from absl import flags

from experiments.common import fields
from experiments.common.fields import PLAIN, Nested
from inpaint_jax.errors import InputError

# Nothing is counted or measured beyond; larger numbers would overflow somewhere, or
# never end. Float32 holds the square of it.
_MOST = 1_000_000_000


def define(options: type, values: flags.FlagValues) -> None:
    """Defines a flag for each field of a dataclass.

    Args:
      options: the dataclass; all its fields have defaults.
      values: where the flags are defined.
    """
    for name, kind, several, default, about in fields.listed(options()):
        common: dict[str, Any] = {"flag_values": values}
        # Whether a number is above a limit is checked when it is read.
        low = (each for each in (about.least, about.above, -_MOST) if each is not None)
        limits = {
            "lower_bound": next(low),
            "upper_bound": _MOST if about.most is None else about.most,
        }
        if several and about.repeated and about.of:
            flags.DEFINE_multi_enum(name, default, about.of, about.text, **common)
        elif several and about.repeated:
            flags.DEFINE_multi_string(name, default, about.text, **common)
        elif several:
            flags.DEFINE_list(name, list(default), about.text, **common)
        elif kind == "pairs":
            text = ",".join(f"{a}x{b}" for a, b in default)
            flags.DEFINE_string(name, text, about.text, **common)
        elif kind is bool:
            flags.DEFINE_bool(name, default, about.text, **common)
        elif kind is int:
            flags.DEFINE_integer(name, default, about.text, **limits, **common)
        elif kind is float:
            flags.DEFINE_float(name, default, about.text, **limits, **common)
        elif about.of:
            flags.DEFINE_enum(name, default, about.of, about.text, **common)
        else:
            flags.DEFINE_string(name, default, about.text, **common)


def read(
    base: Any,
    values: flags.FlagValues,
    inside: Nested = PLAIN,
    *,
    defaults: Mapping[str, Any],
) -> Any:
    """Returns a dataclass with the values of those of its flags that were given.

    Args:
      base: the dataclass with the values of all others.
      values: the flags.
      inside: how the dataclass is nested in another one.
      defaults: {flag: value} of flags whose default is not that of `base`.

    Raises:
      InputError: a number is not finite, or a word is not allowed.
    """
    found = {}
    for name, entry in fields.entries(base, inside):
        if isinstance(entry, Nested):
            inner = getattr(base, name)
            found[name] = read(inner, values, entry, defaults=defaults)
        elif values[entry.name].present:
            found[name] = fields.checked(entry, values[entry.name].value)
        elif entry.name in defaults:
            found[name] = defaults[entry.name]
    try:
        return dataclasses.replace(base, **found)
    except InputError as error:
        if inside is PLAIN:
            raise
        # A library's dataclass names its field, of which this is the flag.
        raise InputError(f"--{inside.prefix}{error}") from error
