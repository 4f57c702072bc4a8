"""Options that are written once: a frozen dataclass whose fields are flags as well."""

import dataclasses
import math
from typing import Any, TypeVar

from absl import flags

from inpaint_jax.errors import InputError

_Options = TypeVar("_Options")


def option(
    default: Any,
    text: str,
    *,
    of: tuple[str, ...] | None = None,
    least: float | None = None,
    most: float | None = None,
) -> Any:
    """Returns a field of a dataclass that `define` makes a flag of.

    Args:
      default: its type is the flag's: bool, int, float, str or a tuple of words.
      text: what the flag's help says.
      of: the words that may be given.
      least: the lowest number.
      most: the highest number.
    """
    metadata = {"text": text, "of": of, "least": least, "most": most}
    return dataclasses.field(default=default, metadata=metadata)


def define(options: type, *, module: str) -> None:
    """Defines a flag for each field of a dataclass that has a text.

    Args:
      options: the dataclass.
      module: that owns the flags, the application's.
    """
    for field in dataclasses.fields(options):
        _define(field, module)


def read(options: type[_Options]) -> _Options:
    """Returns a dataclass as the flags say.

    Raises:
      InputError: a number is not finite, or a word is none of those that may be given.
    """
    return options(**{f.name: _read(f) for f in dataclasses.fields(options)})  # pyright: ignore[reportArgumentType]


def stored(options: Any) -> dict[str, Any]:
    """Returns all fields by name as JSON values, those of nested dataclasses too."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            found |= stored(value)
        else:
            found[field.name] = list(value) if isinstance(value, tuple) else value
    return found


def _define(field, module):
    about, kind = field.metadata, type(field.default)
    common: dict[str, Any] = {"module_name": module}
    limits = {"lower_bound": about["least"], "upper_bound": about["most"]}
    arguments = (field.name, field.default, about["text"])
    if kind is bool:
        flags.DEFINE_bool(*arguments, **common)
    elif kind is int:
        flags.DEFINE_integer(*arguments, **limits, **common)
    elif kind is float:
        flags.DEFINE_float(*arguments, **limits, **common)
    elif kind is tuple:
        text = f"{about['text']} Any of {', '.join(about['of'])}."
        flags.DEFINE_list(field.name, list(field.default), text, **common)
    elif about["of"]:
        flags.DEFINE_enum(*arguments[:2], about["of"], arguments[2], **common)
    else:
        flags.DEFINE_string(*arguments, **common)


def _read(field):
    value = getattr(flags.FLAGS, field.name)
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"--{field.name}={value}: must be a finite number.")
    if isinstance(value, list):
        for word in value:
            if word not in field.metadata["of"]:
                raise InputError(
                    f"--{field.name}={word}: give any of "
                    f"{', '.join(field.metadata['of'])}, with commas between."
                )
        return tuple(value)
    return value
