"""The help page of an application: its docstring, and its flags by heading."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.common import fields
from experiments.common.fields import Flag

_WIDTH = 88


def page(
    text: str,
    groups: Mapping[type, str],
    defaults: Mapping[str, Any],
) -> str:
    """Returns the help page of an application.

    Args:
      text: the application's docstring.
      groups: {dataclass: heading} of its flags; its own flags come before shared ones.
      defaults: {flag: default} of those that have another one than their field.
    """
    own_first = sorted(groups, key=lambda each: each.__module__ != "__main__")
    parts = [text.strip()]
    for options in own_first:
        flags = (
            flag._replace(default=defaults.get(flag.name, flag.default))
            for flag in fields.listed(options())
        )
        lines = [line for flag in flags for line in _entry(flag)]
        parts.append("\n".join([f"{groups[options]}:", *lines]))
    return "\n\n".join(parts)


def _entry(flag: Flag) -> Iterator[str]:
    yield f"  --[no]{flag.name}" if flag.kind is bool else f"  --{flag.name}"
    text = f"{flag.about.text} ({'; '.join(_facts(flag))})"
    indent = 6 * " "
    yield textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _facts(flag: Flag) -> Iterator[str]:
    """Yields a flag's allowed words, its limits and its default, as phrases."""
    about, default = flag.about, flag.default
    if about.of:
        kind = "any" if flag.several else "one"
        yield f"{kind} of {', '.join(about.of)}"
    elif flag.several and not about.repeated:
        yield "a list"
    if flag.several:
        yield "once for each" if about.repeated else "with commas between"
    for words, limit in (("at least", about.least), ("above", about.above)):
        if limit is not None:
            yield f"{words} {limit:g}"
    if about.most is not None:
        yield f"at most {about.most:.10g}"
    # Not "none", which some flags take for a word of their own.
    shown = "not given" if default in (None, "", ()) else _shown(default)
    yield f"default: {shown}"


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
