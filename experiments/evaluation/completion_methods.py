"""Every completion method of the thesis, with one signature: cases -> completions.

A flag file defines a search; flags of the process override it for all searches, so that
they can share one budget.
"""

import dataclasses
import functools
import importlib.resources
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8

from experiments.common import cases, identity, options, progress, stopping
from experiments.common.options import option
from experiments.evaluation import baseline_methods
from experiments.search import search_methods, searches
from inpaint_jax.errors import InputError, printable
from inpaint_jax.images import blending, pixels
from inpaint_jax.pretrained import weights

_FLAG_FILES = pathlib.Path(str(importlib.resources.files("experiments") / "flags"))
_SEARCHES = {"si": "si_paper", "landmark": "landmark", "thesis": "thesis"}
_STEPS = 8
LEARNED, LOCAL = (*_SEARCHES, "encoder", "ce", "gfc"), ("tv", "lr", "pm", "nn", "mean")
NAMES = (*LEARNED, *LOCAL)


@dataclasses.dataclass(frozen=True)
class Learned:
    """The networks and faces of the methods other than searches."""

    ce: str = option(
        "release",
        "Context encoder: a --run_dir of experiments.train --model=ce, or a release.",
    )
    gfc: str = option(
        "release",
        "Generative face completion: a --run_dir of experiments.train --model=gfc, or "
        "a release.",
    )
    bank: str | None = option(
        None,
        "Faces from which nn takes the nearest one: the training faces, as --data of "
        "experiments.train.",
    )


options.define(Learned, heading="Other methods")


class Completions(NamedTuple):
    """The completions of some images by a method.

    Attributes:
      images: completed images in bytes; known pixels are unchanged.
      seconds: time of each image without compilation; the time of a batch is divided
        equally.
      failed: whether the method failed; the hole then has the mean colour of the known
        pixels.
    """

    images: UInt8[np.ndarray, "images height width 3"]
    seconds: Float[np.ndarray, " images"]
    failed: Bool[np.ndarray, " images"]


Complete = Callable[[Sequence[cases.Case]], Completions]


@dataclasses.dataclass(frozen=True)
class CompletionMethod:
    """A method that completes images.

    Attributes:
      name: name in tables.
      described: JSON values that determine its completions.
      complete: the function that completes images.
      follow: only for searches: case -> {iteration: best face so far}.
    """

    name: str
    described: dict[str, Any]
    complete: Complete
    follow: Callable[[cases.Case], dict[int, cases.Picture]] | None = None


def name_of(method: str) -> str:
    """Returns the name of a method in tables; that of a flag file is its stem.

    Raises:
      InputError: the stem begins with a dot, so that it is no name of a folder.
    """
    if not method.endswith(".flags"):
        return method
    name = printable(pathlib.Path(method).stem)
    if name.startswith("."):
        raise InputError(f"--methods={method}: begins with a dot; rename the file.")
    return name


def named(
    name: str,
    model: weights.Model,
    learned: Learned,
    *,
    at_once: int,
    flag: str = "--methods",
) -> CompletionMethod:
    """Prepares the completion method with a given name.

    Args:
      name: one of `LOCAL` or `LEARNED`, or a flag file of experiments.inpaint.
      model: the networks of searches; its crop and image size hold for all methods.
      learned: the networks and faces of the other methods.
      at_once: number of images in a batch.
      flag: that gives the name.

    Raises:
      InputError: there is no such method, or a model or data that it needs is missing.
    """
    if asked := _asked(name):
        return _search(name_of(name), asked, model, at_once)
    makers: dict[str, Callable[[], baseline_methods.Prepared]] = {
        "mean": baseline_methods.mean,
        "tv": baseline_methods.tv,
        "lr": baseline_methods.lr,
        "pm": baseline_methods.pm,
        "nn": lambda: baseline_methods.nn(learned.bank, model, flag=flag),
        "encoder": lambda: baseline_methods.guess(model, flag=flag),
        "ce": lambda: baseline_methods.drawn("ce", learned.ce, blending.paste, model),
        "gfc": lambda: baseline_methods.drawn(
            "gfc", learned.gfc, blending.poisson, model
        ),
    }
    if name not in makers:
        raise InputError(
            f"{flag}={name}: no such method; give some of "
            f"{', '.join(NAMES)}, or a flag file of experiments.inpaint."
        )
    described, fill = makers[name]()
    return CompletionMethod(name, described, _in_batches(name, fill, at_once))


def calls_back(name: str) -> bool:
    """Returns whether a method is a search that calls dlib from its compiled program.

    Args:
      name: of the method, as in `named`.

    Raises:
      InputError: its flag file is wrong.
    """
    asked = _asked(name)
    return asked is not None and search_methods.calls_back(asked)


def _asked(name: str) -> search_methods.Asked | None:
    """Returns the options of a method that is a search; None of another."""
    if name in _SEARCHES:
        path = _FLAG_FILES / f"{_SEARCHES[name]}.flags"
    elif name.endswith(".flags") and os.path.isfile(name):
        path = pathlib.Path(name)
    else:
        return None
    asked = search_methods.parse(name_of(name), [f"--flagfile={path}"])
    # Flags of the process override those of the file.
    return options.read(search_methods.Asked, base=asked)


def _search(
    name: str, asked: search_methods.Asked, model: weights.Model, at_once: int
) -> CompletionMethod:
    method = search_methods.prepare(name, asked, model, images=at_once)
    described = {**method.describe(), "model": identity.of_model(model.source)}

    def complete(inputs: Sequence[cases.Case]) -> Completions:
        found = search_methods.complete(method, inputs, at_once=at_once)
        return Completions(found.images, found.seconds, found.failed)

    warm_up = functools.partial(search_methods.warm_up, method, at_once=at_once)
    follow = functools.partial(_follow, method)
    return CompletionMethod(
        name, described, _warmed_up(name, complete, warm_up), follow
    )


def _warmed_up(
    name: str, complete: Complete, warm_up: Callable[[Sequence[cases.Case]], object]
) -> Complete:
    """Returns `complete` with a warm-up before its first call, which is not timed."""
    cold = True

    def run(inputs: Sequence[cases.Case]) -> Completions:
        nonlocal cold
        if cold:
            progress.say(f"{name}: compiling")
            warm_up(inputs)
            cold = False
        return complete(inputs)

    return run


def _follow(
    method: search_methods.SearchMethod, case: cases.Case
) -> dict[int, cases.Picture]:
    settings = dataclasses.replace(
        method.settings, chunk=max(1, method.settings.all_iterations // _STEPS)
    )
    compiled = method.compiled._replace(settings=settings)
    problem, _ = method.guides.problem(case)
    faces = {}
    for ((now, _),) in searches.together(
        [case.key], [problem], compiled, at_once=1, name=method.name
    ):
        if now is not None and np.isfinite(now.best_loss).any():
            face = compiled.generate(now.best_z[None])
            faces[now.iteration] = np.asarray(pixels.to_bytes(face[0]))
    return faces


def _in_batches(name: str, fill: baseline_methods.Fill, at_once: int) -> Complete:
    """Returns a method that runs `fill` on batches of one size, filled with copies."""

    def run(inputs: Sequence[cases.Case]) -> Completions:
        stopping.check()
        filled = [*inputs, *[inputs[-1]] * (at_once - len(inputs))]
        picture = jnp.stack([pixels.from_bytes(case.picture) for case in filled])
        mask = jnp.concatenate([case.mask for case in filled])
        key = jnp.stack([case.key for case in filled])
        started = time.perf_counter()
        image, failed = fill(picture * mask, mask, key)
        image, failed = np.asarray(pixels.to_bytes(image)), np.asarray(failed)
        seconds = (time.perf_counter() - started) / at_once
        count = len(inputs)
        return Completions(image[:count], np.full(count, seconds), failed[:count])

    def complete(inputs: Sequence[cases.Case]) -> Completions:
        parts = [
            run(inputs[first : first + at_once])
            for first in range(0, len(inputs), at_once)
        ]
        images, seconds, failed = map(np.concatenate, zip(*parts, strict=True))
        return Completions(images, seconds, failed)

    return _warmed_up(name, complete, lambda inputs: run(inputs[:at_once]))
