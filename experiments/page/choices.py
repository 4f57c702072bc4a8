"""What the page lets one choose, with the help of the flags; and what was chosen."""

import dataclasses
import importlib.resources
import pathlib
import shlex
from collections.abc import Mapping
from typing import Any

import msgspec

from experiments.common import fields, options
from experiments.search import search_methods
from inpaint_jax.errors import InputError

_STEPS_AT_ONCE = 5  # between two pictures of a search that is watched
_AT_ONCE = 320  # of all restarts: a search ends only between two pictures
_MOST_RESTARTS = 320

_FLAG_FILES = pathlib.Path(str(importlib.resources.files("experiments") / "flags"))

# What each method is called; the first is the search that the process's flags ask for.
_SEARCHES = {
    "landmark": "the search that this server was started for",
    "si": "semantic image inpainting, Yeh et al. 2017",
    "thesis": "the thesis, its landmark count",
}
_FILES = {"si": "si_paper.flags", "thesis": "thesis.flags"}
_ONE_PASS = {
    "gfc": "generative face completion, one pass",
    "ce": "context encoder, one pass",
    "encoder": "the face that G draws from the encoder's guess",
    "pm": "patch match",
    "tv": "total variation",
    "lr": "low rank",
    "mean": "the mean colour of what is known",
    "nn": "the nearest face of a bank",
}
_FIRST = ("restarts", "iterations")
_FURTHER = (
    *("lambda_context", "lambda_prior", "lambda_landmark", "lambda_structure"),
    *("lambda_in_domain", "landmark_term", "init", "learning_rate", "window", "blend"),
)
_SETTINGS = (*_FIRST, *_FURTHER)


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is asked for.

    Attributes:
      asked: by a browser.
      search: the options of the search; None for a method of one pass.
      command: the command line that does the same; "" if there is none.
    """

    asked: "Asked"
    search: search_methods.Asked | None
    command: str


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """What a browser sends of it.

    Attributes:
      method: name of the method.
      flags: {name of a flag: its value as text} that differ from the method's own.
      original_known: whether the hole hides what is wanted back, to score the result.
      framed: whether the picture is framed as training faces are, with one face.
    """

    method: str
    flags: dict[str, str] = {}
    original_known: bool = False
    framed: bool = False


class Choices:
    """The methods and settings that a server offers."""

    def __init__(self, *, most_steps: int, bank: bool = False) -> None:
        """Reads the flags of the process and the flag files of other searches.

        Args:
          most_steps: largest product of restarts and steps of a search.
          bank: whether there are faces of which nn takes the nearest.

        Raises:
          InputError: a flag is wrong.
        """
        self._most_steps = most_steps
        usual = options.read(search_methods.Asked)
        if usual.search.settings.restart_schedule:
            raise InputError(
                "--restart_schedule: the page has restarts and steps; leave it out."
            )
        self._searches = {"landmark": usual}
        self._texts = dict(_SEARCHES)
        if usual == search_methods.Asked():
            self._texts["landmark"] = "the default: landmarks and a structural prior"
        for name, file in _FILES.items():
            path = _FLAG_FILES / file
            self._searches[name] = search_methods.parse(name, [f"--flagfile={path}"])
        self._bank = bank

    def described(self) -> dict[str, Any]:
        """Returns what the page offers, as JSON values."""
        usual = next(iter(self._searches.values()))
        flags = {flag.name: flag for flag in fields.listed(usual)}
        searches = [
            {
                "name": name,
                "text": self._texts[name],
                "values": {
                    flag.name: _text(flag.default)
                    for flag in fields.listed(asked)
                    if flag.name in _SETTINGS
                },
            }
            for name, asked in self._searches.items()
        ]
        passes = [
            {"name": name, "text": text, "values": {}}
            for name, text in _ONE_PASS.items()
            if name != "nn" or self._bank
        ]
        return {
            "methods": searches + passes,
            "settings": [
                _described(flags[name], folded=name not in _FIRST) for name in _SETTINGS
            ],
        }

    def chosen(self, asked: Asked, *, name: str, hole: str) -> Choice:
        """Checks what is asked for.

        Args:
          asked: by a browser.
          name: of the photograph's file.
          hole: name of the mask's file.

        Raises:
          InputError: there is no such method, or a setting is wrong or too costly.
        """
        if asked.method in _ONE_PASS:
            if asked.flags:
                raise InputError(f"--method={asked.method}: has no settings.")
            if asked.method == "nn" and not self._bank:
                raise InputError("--method=nn: this server has no --bank of faces.")
            return Choice(asked, None, "")
        if asked.method not in self._searches:
            every = ", ".join((*self._searches, *_ONE_PASS))
            raise InputError(
                f"--method={asked.method}: no such method; give one of {every}."
            )
        for flag in asked.flags:
            if flag not in _SETTINGS:
                raise InputError(f"--{flag}: cannot be chosen on this page.")
        given = [f"--{flag}={value}" for flag, value in asked.flags.items()]
        # It is watched in short chunks to its last step, and calls nothing back: dlib
        # would answer the same (`landmark_detector`).
        given += ["--patience=0", "--landmark_detector=cascade"]
        usual = self._searches[asked.method]
        search = search_methods.parse(asked.method, given, base=usual)
        settings = search.search.settings
        if settings.restarts > _MOST_RESTARTS:
            raise InputError(
                f"--restarts={settings.restarts}: are too many to be watched; give at "
                f"most {_MOST_RESTARTS}."
            )
        chunk = min(_STEPS_AT_ONCE, max(1, _AT_ONCE // settings.restarts))
        search = search_methods.parse(asked.method, [f"--chunk={chunk}"], base=search)
        steps = settings.restarts * settings.iterations
        if steps > self._most_steps:
            raise InputError(
                f"--restarts, --iterations: {steps} steps of all restarts, but this "
                f"server takes at most {self._most_steps} (--most_steps); give less."
            )
        return Choice(asked, search, _command(asked, search, name, hole))


def _command(asked: Asked, search: search_methods.Asked, name: str, hole: str) -> str:
    """Returns the command line with all flags that are not at their default."""
    default = search_methods.Asked()
    usual = {flag.name: flag.default for flag in fields.listed(default)}
    changed = {
        flag.name: _text(flag.default)
        for flag in fields.listed(search)
        if flag.default != usual[flag.name]
    }
    words = ["python", "-m", "experiments.inpaint", f"--images={name}"]
    words += [f"--mask={hole}", f"--original_known={_text(asked.original_known)}"]
    words += ["--face=none"] if asked.framed else []
    words += [f"--{flag}={value}" for flag, value in changed.items()]
    return shlex.join(words)


def _described(flag: fields.Flag, *, folded: bool) -> Mapping[str, Any]:
    about = flag.about
    kind = "number" if flag.kind in (int, float) else "word"
    return {
        "name": flag.name,
        "kind": "switch" if flag.kind is bool else kind,
        "whole": flag.kind is int,
        "text": about.text,
        "words": list(about.of),
        "least": about.least,
        "folded": folded,
    }


def _text(value: Any) -> str:
    """Returns the value of a flag as it is written on a command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        parts = ("x".join(map(str, v)) if isinstance(v, tuple) else v for v in value)
        return ",".join(parts)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
