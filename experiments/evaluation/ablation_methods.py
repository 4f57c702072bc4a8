"""The methods of an ablation: searches that flags describe, and others beside them."""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common import cases, progress
from experiments.evaluation import completion_methods
from experiments.evaluation.ablation_pairs import BASELINE
from experiments.search import budgets, search_methods
from inpaint_jax.errors import InputError
from inpaint_jax.pretrained import weights

Complete = Callable[[Sequence[cases.Case]], search_methods.Completed]


class AblatedMethod(NamedTuple):
    """A method that takes part.

    Attributes:
      label: its name in tables.
      flags: of a search; what another method is, in words.
      described: JSON values that decide its results, but for the steps.
      search: a search, with as many steps as its flags say; None of another method.
      ready: (steps, some faces) -> the method, compiled.
    """

    label: str
    flags: str
    described: dict[str, Any]
    search: search_methods.SearchMethod | None
    ready: Callable[[int, Sequence[cases.Case]], Complete]


Methods = dict[str, AblatedMethod]
"""{name: method}"""


def parse(texts: Sequence[str], *, only: Sequence[str] = ()) -> dict[str, list[str]]:
    """Reads methods.

    Args:
      texts: a name and the flags of its search, as "soft: --landmark_term=soft".
      only: names of those that are wanted; if none are given, all.

    Returns:
      {name: flags}.

    Raises:
      InputError: one is written otherwise or is there twice, or none can be compared.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        name, colon, arguments = text.partition(":")
        if not colon or not re.fullmatch(r"\w+", name):
            raise InputError(
                f"--method={text}: must be a name and flags, as "
                "'soft: --landmark_term=soft'."
            )
        if name in found:
            raise InputError(f"--method={text}: {name} is there twice; rename one.")
        found[name] = arguments.split()
    for name in only:
        if name not in found:
            raise InputError(
                f"--only={name}: no such method; give some of {', '.join(found)}."
            )
    found = {name: found[name] for name in only or found}
    if BASELINE not in found or len(found) < 2:
        raise InputError(
            f"--method: needs one called {BASELINE} and others to compare with it; "
            "see experiments/flags/ablation.flags."
        )
    return found


def prepare(
    flags: dict[str, list[str]],
    model: weights.Model,
    usual: search_methods.Asked,
    *,
    at_once: int,
) -> Methods:
    """Prepares all searches, with as many steps as the flags say.

    Args:
      flags: from `parse`.
      model: the networks.
      usual: how all methods search where their flags say nothing else.
      at_once: faces that are searched for as one program.

    Raises:
      InputError: a flag is wrong, or their time could not be made equal.
    """
    methods = {}
    for name, given in flags.items():
        asked = search_methods.parse(name, given, base=usual)
        method = search_methods.prepare(name, asked, model, images=at_once)
        methods[name] = AblatedMethod(
            label=name + (" (upper bound)" if method.guides.sees_original else ""),
            flags=" ".join(given),
            described={"flags": " ".join(given), **method.describe()},
            search=method,
            ready=functools.partial(_search, name, asked, model, at_once),
        )
    found = searches(methods)
    if found[BASELINE].guides.landmarks is not None:
        raise InputError(
            f"--method={BASELINE}: must have --landmark_term=none; "
            "the others are compared with it."
        )
    budgets.check(found, baseline=BASELINE)
    return methods


def beside(
    names: Sequence[str],
    methods: Methods,
    model: weights.Model,
    learned: completion_methods.Learned,
    *,
    at_once: int,
) -> Methods:
    """Prepares methods that are judged beside the searches, in one pass.

    Args:
      names: of them, see `completion_methods.named`.
      methods: the searches.
      model: the networks.
      learned: networks and faces of these methods.
      at_once: faces that are completed as one program.

    Raises:
      InputError: one is a search or has the name of one, or a network is missing.
    """
    found = {}
    for name in names:
        method = completion_methods.named(
            name, model, learned, at_once=at_once, flag="--beside"
        )
        if method.follow is not None:
            raise InputError(f"--beside={name}: is a search; give it as a --method.")
        if name in methods or name in found:
            raise InputError(f"--beside={name}: {name} is there twice; rename one.")
        found[name] = AblatedMethod(
            label=name,
            flags="in one pass",
            described=method.described,
            search=None,
            ready=functools.partial(_one_pass, method),
        )
    return found


def searches(methods: Methods) -> dict[str, search_methods.SearchMethod]:
    """Returns those that are searches."""
    return {name: each.search for name, each in methods.items() if each.search}


def _search(
    name: str,
    asked: search_methods.Asked,
    model: weights.Model,
    at_once: int,
    steps: int,
    some: Sequence[cases.Case],
) -> Complete:
    asked = search_methods.parse(name, [f"--iterations={steps}"], base=asked)
    search = search_methods.prepare(name, asked, model, images=at_once)
    progress.say(f"{name}: compiling")
    search_methods.warm_up(search, some, at_once=at_once)
    return functools.partial(search_methods.complete, search, at_once=at_once)


def _one_pass(
    method: completion_methods.CompletionMethod, steps: int, some: Sequence[cases.Case]
) -> Complete:
    del steps, some  # it takes none, and is warmed up at its first call

    def complete(inputs: Sequence[cases.Case]) -> search_methods.Completed:
        done = method.complete(inputs)
        return search_methods.Completed(
            done.images,
            done.seconds,
            iterations=np.zeros(len(inputs), int),
            loss=np.where(done.failed, np.nan, 0.0),
            failed=done.failed,
        )

    return complete
