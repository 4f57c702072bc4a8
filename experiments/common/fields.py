"""What the fields of a frozen dataclass say of the flags that they are."""

import dataclasses
import inspect
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from inpaint_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class About:
    """What a flag has beside the name, the type and the default of its field.

    Attributes:
      text: what the help says; by default what the dataclass's docstring does.
      of: the words that may be given; by default those of a `Literal`.
      least: the lowest number.
      most: the highest number.
      above: a number that is too low itself.
      repeated: whether a tuple is given word by word, a flag for each.
      name: of the flag; by default the field's after the prefix of a nested dataclass.
    """

    text: str = ""
    of: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    repeated: bool = False
    name: str = ""


class Flag(NamedTuple):
    """A field as a flag.

    Attributes:
      name: of the flag.
      kind: bool, int, float or str; "pairs" of int.
      several: whether the field is a tuple of them.
      default: of the field.
      about: all else.
    """

    name: str
    kind: Any
    several: bool
    default: Any
    about: About


class Nested(NamedTuple):
    """How a dataclass inside another one is made flags of, see `options.nested`."""

    prefix: str = ""
    without: Sequence[str] = ()
    about: Mapping[str, About] = {}


PLAIN = Nested()


def entries(
    default: Any, inside: Nested = PLAIN
) -> Iterator[tuple[str, Flag | Nested]]:
    """Yields the fields of a dataclass that are flags, or hold some.

    Args:
      default: an instance.
      inside: how it is nested itself.
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
    """Yields all flags of a dataclass, as `entries`."""
    for name, entry in entries(default, inside):
        if isinstance(entry, Flag):
            yield entry
        else:
            yield from listed(getattr(default, name), entry)


def checked(flag: Flag, value: Any) -> Any:
    """Returns the value that a field gets from that of its flag.

    Args:
      flag: of the field.
      value: as the flag holds it: parsed, within its limits.

    Raises:
      InputError: a number is not finite or too low, or text is none that may be given.
    """
    name, about = flag.name, flag.about
    if flag.kind == "pairs":
        return _pairs(name, value)
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


def _pairs(name: str, text: str) -> tuple[tuple[int, int], ...]:
    if not text:
        return ()
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*(,[1-9]\d*x[1-9]\d*)*", text):
        raise InputError(f"--{name}={text}: must be pairs of numbers, as 64x10,16x40.")
    numbers = [pair.split("x") for pair in text.split(",")]
    return tuple((int(first), int(second)) for first, second in numbers)


def _kind(hint: Any) -> tuple[Any, bool, tuple[str, ...]]:
    """Returns a type, whether there is a tuple of it, and the words that it allows."""
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
    """Returns {attribute: text} as a Google docstring has it."""
    section = inspect.cleandoc(options.__doc__ or "").partition("Attributes:\n")[2]
    found = re.findall(r"^  (\w+): (.+(?:\n    .+)*)", section, re.MULTILINE)
    return {name: text[0].upper() + " ".join(text.split())[1:] for name, text in found}
