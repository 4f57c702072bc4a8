"""Describes the fields of a frozen dataclass as command-line flags."""

import contextlib
import dataclasses
import inspect
import math
import os
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from inpaint_jax.errors import InputError, printable


@dataclasses.dataclass(frozen=True)
class About:
    """Properties of a flag beside the name, the type and the default of its field.

    Attributes:
      text: help text; by default the field's text in the dataclass's docstring.
      of: allowed words; by default those of a `Literal`.
      least: smallest allowed number.
      most: largest allowed number.
      above: exclusive lower limit of a number.
      repeated: whether the flag is repeated for each item of a tuple.
      name: name of the flag; by default its dataclass's prefix and the field's name.
    """

    text: str = ""
    of: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    repeated: bool = False
    name: str = ""


class Flag(NamedTuple):
    """A dataclass field as a command-line flag.

    Attributes:
      name: name of the flag.
      kind: bool, int, float or str; "pairs" for a tuple of pairs of int.
      several: whether the field is a tuple.
      default: default of the field.
      about: further properties.
    """

    name: str
    kind: Any
    several: bool
    default: Any
    about: About


class Nested(NamedTuple):
    """How a dataclass inside another one becomes flags, see `options.nested`."""

    prefix: str = ""
    without: Sequence[str] = ()
    about: Mapping[str, About] = {}


PLAIN = Nested()


def entries(
    default: Any, inside: Nested = PLAIN
) -> Iterator[tuple[str, Flag | Nested]]:
    """Yields (name, flag or nested dataclass) for the fields of a dataclass.

    Args:
      default: an instance of the dataclass.
      inside: how this dataclass itself is nested.
    """
    hints = typing.get_type_hints(type(default))
    texts = _documented(type(default))
    for field in dataclasses.fields(default):
        name, value = field.name, getattr(default, field.name)
        if name in inside.without:
            continue
        if dataclasses.is_dataclass(value):
            yield name, field.metadata.get("nested", PLAIN)
            continue
        about = inside.about.get(name) or field.metadata.get("about", About())
        kind, several, words = _kind(hints[name])
        about = dataclasses.replace(
            about,
            text=about.text or texts.get(name, ""),
            of=about.of or words,
            name=about.name or inside.prefix + name,
        )
        yield name, Flag(about.name, kind, several, value, about)


def listed(default: Any, inside: Nested = PLAIN) -> Iterator[Flag]:
    """Yields all flags of a dataclass, those of nested dataclasses included."""
    for name, entry in entries(default, inside):
        if isinstance(entry, Flag):
            yield entry
        else:
            yield from listed(getattr(default, name), entry)


def checked(flag: Flag, value: Any) -> Any:
    """Checks the parsed value of a flag and returns the value of its field.

    Args:
      flag: the flag of the field.
      value: the parsed value, within the flag's inclusive limits.

    Raises:
      InputError: a number is not finite or too low, a word is not allowed, or a text
        is empty or can be no part of a file's name.
    """
    name, about = flag.name, flag.about
    if flag.kind == "pairs":
        return _pairs(name, value)
    if flag.kind is str:
        for word in value if flag.several else [value]:
            _check_text(flag, word)
    if flag.several:
        for word in value:
            if about.of and word not in about.of:
                raise InputError(
                    f"--{name}={word}: give any of {', '.join(about.of)}, with commas "
                    "between."
                )
        return tuple(value)
    if isinstance(value, float):
        low = about.above is not None and value <= about.above
        if low or not math.isfinite(value):
            more = "" if about.above is None else f" above {about.above:g}"
            raise InputError(f"--{name}={value}: must be a finite number{more}.")
    return value


def _check_text(flag: Flag, text: str | None) -> None:
    """Checks a text as a shell gives it, where a variable that is not set is empty."""
    if text is None:
        return
    if not text and flag.default != "":
        more = ", or no comma too many" if flag.several else ""
        raise InputError(
            f"--{flag.name}: missing after the =; give a value{more}, or leave the "
            "flag out."
        )
    with contextlib.suppress(UnicodeEncodeError):
        if b"\0" not in os.fsencode(text):
            return
    raise InputError(
        f"--{flag.name}={printable(text)}: holds a character that no argument can "
        "have; leave it out."
    )


def _pairs(name: str, text: str) -> tuple[tuple[int, int], ...]:
    if not text:
        return ()
    number = r"[1-9]\d{0,6}"
    if not re.fullmatch(rf"{number}x{number}(,{number}x{number})*", text):
        raise InputError(
            f"--{name}={text}: must be pairs of numbers below 10,000,000, as "
            "64x10,16x40."
        )
    numbers = [pair.split("x") for pair in text.split(",")]
    return tuple((int(first), int(second)) for first, second in numbers)


def _kind(hint: Any) -> tuple[Any, bool, tuple[str, ...]]:
    """Returns (type of a value, whether the field is a tuple, allowed words)."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return str, False, inner
    if origin in (typing.Union, types.UnionType):
        return _kind(next(each for each in inner if each is not types.NoneType))
    if origin is not tuple:
        return hint, False, ()
    if typing.get_origin(inner[0]) is tuple:
        return "pairs", False, ()
    kind, _, words = _kind(inner[0])
    return kind, True, words


def _documented(options: type) -> dict[str, str]:
    """Returns {attribute: text} of the `Attributes` section of a docstring."""
    section = inspect.cleandoc(options.__doc__ or "").partition("Attributes:\n")[2]
    found = re.findall(r"^  (\w+): (.+(?:\n    .+)*)", section, re.MULTILINE)
    return {name: text[0].upper() + " ".join(text.split())[1:] for name, text in found}
