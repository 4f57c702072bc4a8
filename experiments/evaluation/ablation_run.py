"""An ablation: kinds of search over the same faces, masks and seeds.

Searches whose rows are there are not repeated, see `ablation_units`.
"""

import functools
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common import (
    aligned_pictures,
    cases,
    identity,
    progress,
    protocols,
    reporting,
)
from experiments.evaluation import ablation_units, kept_completions, scoring
from experiments.evaluation.ablation_pairs import BASELINE
from experiments.search import budgets, search_methods
from inpaint_jax.errors import InputError
from inpaint_jax.pretrained import weights


class AblatedMethod(NamedTuple):
    """A search that takes part.

    Attributes:
      flags: that ask for it.
      asked: what they and the process's flags say.
      search: it, with as many steps as these say.
    """

    flags: list[str]
    asked: search_methods.Asked
    search: search_methods.SearchMethod

    @property
    def label(self) -> str:
        """Its name in tables."""
        bound = " (upper bound)" if self.search.guides.sees_original else ""
        return self.search.name + bound

    def describe(self) -> dict[str, Any]:
        """Returns JSON values that decide its results, but for the steps."""
        return {"flags": " ".join(self.flags), **self.search.describe()}


Methods = dict[str, AblatedMethod]
"""{name: method}"""

Plans = dict[str, budgets.Plan]
"""{method: what it may spend}"""


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
    """Prepares all methods, with as many steps as the flags say.

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
        methods[name] = AblatedMethod(given, asked, method)
    if methods[BASELINE].search.guides.landmarks is not None:
        raise InputError(
            f"--method={BASELINE}: must have --landmark_term=none; "
            "the others are compared with it."
        )
    budgets.check(_methods(methods), baseline=BASELINE)
    return methods


def agree(
    output: pathlib.Path,
    methods: Methods,
    faces: aligned_pictures.AlignedPictures,
    units: ablation_units.Units,
    *,
    source: dict[str, Any],
    at_once: int,
    equal: str,
) -> Plans:
    """Finds the steps of each method, or takes those of an earlier start.

    Args:
      output: folder of the results.
      methods: from `prepare`.
      faces: the pictures.
      units: the masks and seeds.
      source: of the networks.
      at_once: faces that are searched for as one program.
      equal: what all methods get as much of, see `budgets.measure`.

    Raises:
      InputError: the folder holds a run of another protocol.
    """
    environment = reporting.environment()
    # All that decides the results, apart from the steps, which are measured.
    protocol = {
        "version": identity.of_code(),
        "masks": [hole.name for hole in units.holes],
        "seeds": units.seeds,
        "equal": equal,
        "images_at_once": at_once,
        "model": identity.of_model(source),
        "methods": {name: each.describe() for name, each in methods.items()},
        # Of these the time depends, and so the steps.
        "device": environment["device"],
        "cores": environment["cores"],
    }
    measure = functools.partial(
        _measured, methods, faces, units, at_once=at_once, equal=equal
    )
    path, results = output / "protocol.json", output / ablation_units.FILE
    shared: Any = {"environment": environment, "measure": measure, "results": results}
    kind = dict[str, budgets.Plan]
    plans = protocols.agree(path, protocol, kind=kind, **shared)
    protocols.extend(output / "pictures.json", _pictures(faces), results=results)
    return plans


def search(
    methods: Methods,
    plans: Plans,
    model: weights.Model,
    faces: aligned_pictures.AlignedPictures,
    units: ablation_units.Units,
    *,
    at_once: int,
) -> None:
    """Searches for all units that are missing.

    Args:
      methods: from `prepare`.
      plans: from `agree`.
      model: the networks.
      faces: the pictures.
      units: where the rows go.
      at_once: faces that are searched for as one program.
    """
    originals = [case.picture for case in faces.read(units.holes[0], seed=0)]
    truth = scoring.truth(np.stack(originals), crop=faces.crop)
    kept_completions.write(units.originals, faces.names, truth.images, truth.embeddings)
    for name, method in methods.items():
        search = None
        for hole, seed, missing in units.missing(name, faces.names, size=faces.size):
            inputs = [faces.read(hole, seed=seed)[i] for i in missing]
            if search is None:
                steps = f"--iterations={plans[name]['iterations']}"
                asked = search_methods.parse(name, [steps], base=method.asked)
                search = search_methods.prepare(name, asked, model, images=at_once)
                progress.say(f"{name}: compiling")
                search_methods.warm_up(search, inputs, at_once=at_once)
            scores, *kept = _scores(search, inputs, truth.take(missing), at_once)
            progress.say(
                f"{name}, {hole.name}, seed {seed}: "
                f"{np.mean(scores['seconds']):.2f} s a face, "
                f"hole {np.mean(scores['psnr_hole']):.2f} dB"
            )
            units.add(name, hole, seed, scores, *kept)


def _measured(
    methods: Methods,
    faces: aligned_pictures.AlignedPictures,
    units: ablation_units.Units,
    *,
    at_once: int,
    equal: str,
) -> Plans:
    return budgets.measure(
        _methods(methods),
        faces.read(units.holes[0], seed=0)[:at_once],
        baseline=BASELINE,
        at_once=at_once,
        equal=equal,
    )


def _pictures(faces: aligned_pictures.AlignedPictures) -> dict[str, dict[str, str]]:
    hashes = map(identity.of_file, faces.paths)
    return {"pictures": dict(zip(faces.names, hashes, strict=True))}


def _methods(methods: Methods) -> dict[str, search_methods.SearchMethod]:
    return {name: method.search for name, method in methods.items()}


def _scores(
    method: search_methods.SearchMethod,
    inputs: list[cases.Case],
    truth: scoring.Truth,
    at_once: int,
) -> tuple[dict[str, list[Any]], scoring.Pictures, kept_completions.Embeddings]:
    """The columns, pictures and embeddings of one unit."""
    done = search_methods.complete(method, inputs, at_once=at_once)
    mask = np.concatenate([case.mask for case in inputs])
    columns, embeddings = scoring.score(done.images, truth, mask)
    columns |= {c: getattr(done, c) for c in ("loss", "iterations", "seconds")}
    names = {"image": [case.name for case in inputs]}
    columns = names | {name: values.tolist() for name, values in columns.items()}
    return columns, done.images, embeddings
