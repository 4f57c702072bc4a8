"""Every system that the thesis names, behind one signature: cases in, completions out.

A search is what its flag file says; whatever flags the process was given besides apply
to all searches alike, so that they have one budget.
"""

import dataclasses
import functools
import importlib.resources
import inspect
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jaxtyping import Bool, Float, UInt8

from experiments.common import cases
from experiments.search import guides, methods, searches
from experiments.training import training
from inpaint_jax import types
from inpaint_jax.baselines import low_rank, nearest, patch_match, total_variation
from inpaint_jax.errors import InputError
from inpaint_jax.images import blending, pixels
from inpaint_jax.pretrained import networks, weights

CE = flags.DEFINE_string("ce", "release", "A --run_dir of --model=ce, or a release.")
GFC = flags.DEFINE_string("gfc", "release", "The same of --model=gfc.")
BANK = flags.DEFINE_string(
    "bank", None, "Of nn: the training faces, as --data of experiments.train."
)
_FLAG_FILES = pathlib.Path(str(importlib.resources.files("experiments") / "flags"))
_SEARCHES = {"si": "si_paper", "landmark": "landmark", "thesis": "thesis"}
_STEPS = 8
LEARNED, LOCAL = (*_SEARCHES, "ce", "gfc"), ("tv", "lr", "pm", "nn", "mean")


class Completions(NamedTuple):
    """What a system made of some images.

    Attributes:
      images: bytes, known pixels as they were.
      seconds: of each; compilation apart, those of a batch shared evenly.
      failed: where the system could not do its work; the hole then has the mean colour
        of the known pixels.
    """

    images: UInt8[np.ndarray, "images height width 3"]
    seconds: Float[np.ndarray, " images"]
    failed: Bool[np.ndarray, " images"]


@dataclasses.dataclass(frozen=True)
class System:
    """A way to complete images.

    Attributes:
      name: for tables.
      described: JSON values that decide what it makes of an image.
      complete: it.
      follow: of searches: {iteration: best face then} through the search for an image.
    """

    name: str
    described: dict[str, Any]
    complete: Callable[[Sequence[cases.Case]], Completions]
    follow: Callable[[cases.Case], dict[int, Any]] | None = None


Fill = Callable[[types.Image, types.Mask, jax.Array], tuple[jax.Array, jax.Array]]
"""(images, masks, keys) -> images, and where it failed."""


def named(name: str, model: weights.Model, *, at_once: int) -> System:
    """Prepares a system.

    Args:
      name: one of `LOCAL` or `LEARNED`, or a flag file of experiments.inpaint.
      model: the generator, which also says which crops and sizes there are.
      at_once: how many images make a batch.

    Raises:
      InputError: there is no such system, or something that it needs is missing.
    """
    if name in _SEARCHES:
        return _search(name, _FLAG_FILES / f"{_SEARCHES[name]}.flags", model, at_once)
    if name.endswith(".flags") and pathlib.Path(name).is_file():
        return _search(pathlib.Path(name).stem, pathlib.Path(name), model, at_once)
    makers = {"mean": _mean, "tv": _tv, "lr": _lr, "pm": _pm, "nn": _nn}
    makers |= {"ce": _ce, "gfc": _gfc}
    if name not in makers:
        raise InputError(
            f"--methods={name}: no such method; give some of "
            f"{', '.join((*LEARNED, *LOCAL))}, or a flag file of experiments.inpaint."
        )
    described, fill = makers[name](model)
    return System(name, described, _in_batches(fill, at_once))


def _search(name, flag_file, model, at_once):
    method = methods.read(
        name, [f"--flagfile={flag_file}", *_given()], model, images=at_once
    )
    described = {
        "settings": dataclasses.asdict(method.settings),
        "blend": method.blend,
        "landmarks": method.guide.describe(),
        "model": model.source,
    }

    def complete(inputs):
        found = methods.complete(method, inputs, at_once=at_once)
        return Completions(found.images, found.seconds, found.failed)

    return System(name, described, complete, functools.partial(_follow, method))


def _follow(method, case):
    settings = dataclasses.replace(
        method.settings, chunk=max(1, method.settings.all_iterations // _STEPS)
    )
    compiled = method.compiled._replace(settings=settings)
    scene, _ = method.guide.scene(case)
    faces = {}
    for (now,) in searches.together([case.key], [scene], compiled, at_once=1):
        if now is not None and np.isfinite(now.best_loss).any():
            face = compiled.generate(now.best_z[None])
            faces[now.iteration] = np.asarray(pixels.to_bytes(face[0]))
    return faces


def _given():
    """Flags of searches that the process was given."""
    found = [
        flag
        for module in (searches, guides)
        for flag in flags.FLAGS.get_flags_for_module(module)
    ]
    known = {flag.name: flag for flag in found if flag.present}
    known.pop(searches.CHECKPOINT.name, None)
    return [flag.serialize() for flag in known.values()]


def _mean(model):
    del model
    return {}, jax.jit(
        lambda image, mask, key: (_mean_colour(image, mask), _never(image))
    )


def _tv(model):
    del model

    return _options(total_variation.solve), jax.jit(
        lambda image, mask, key: (total_variation.complete(image, mask), _never(image))
    )


def _lr(model):
    del model
    return _options(low_rank.solve), jax.jit(
        lambda image, mask, key: (low_rank.complete(image, mask), _never(image))
    )


def _pm(model):
    del model

    def fill(image, mask, key):
        filled, info = patch_match.solve(key, image, mask)
        return filled, ~info.available

    return _options(patch_match.solve), jax.jit(fill)


def _nn(model):
    if not BANK.value:
        raise InputError(
            "--methods=nn: needs the training faces to search in; give "
            "--bank=folder:DIR[:8500]."
        )
    faces = training.load(
        BANK.value, crop=model.crop, size=model.architecture.image_size
    )

    def fill(image, mask, key):
        return nearest.complete(image, mask, faces.images), _never(image)

    return {"bank": BANK.value, "faces": len(faces.images)}, fill


def _ce(model):
    network = _feed_forward("ce", CE.value, model)

    def fill(image, mask, key):
        drawn = network.apply(image, mask)
        return blending.paste(drawn, image, mask), _never(image)

    return {"model": network.source}, jax.jit(fill)


def _gfc(model):
    network = _feed_forward("gfc", GFC.value, model)

    def fill(image, mask, key):
        drawn = network.apply(image, mask)
        return blending.poisson(drawn, image, mask), _never(image)

    return {"model": network.source}, jax.jit(fill)


def _feed_forward(name, path, model):
    network = networks.load(path, model=name)
    found = network.architecture.image_size, network.crop
    wanted = model.architecture.image_size, model.crop
    if found != wanted:
        raise InputError(
            f"--{name}={path}: was trained on images of {found[0]} pixels and crops of "
            f"{found[1]}, the generator on {wanted[0]} and {wanted[1]}; give one for "
            "these."
        )
    return network


def _in_batches(fill, at_once):
    """Runs a program on batches of one size, the last filled up with copies."""

    def run(inputs):
        filled = [*inputs, *[inputs[-1]] * (at_once - len(inputs))]
        picture = jnp.stack([pixels.from_bytes(case.picture) for case in filled])
        mask = jnp.concatenate([case.mask for case in filled])
        key = jnp.stack([case.key for case in filled])
        started = time.perf_counter()
        image, failed = fill(picture * mask, mask, key)
        image, failed = np.asarray(pixels.to_bytes(image)), np.asarray(failed)
        seconds = (time.perf_counter() - started) / at_once
        count = len(inputs)
        return image[:count], np.full(count, seconds), failed[:count]

    compiled = False

    def complete(inputs):
        nonlocal compiled
        if not compiled:
            run(inputs[:at_once])  # its time is compilation's
            compiled = True
        parts = [
            run(inputs[first : first + at_once])
            for first in range(0, len(inputs), at_once)
        ]
        images, seconds, failed = map(np.concatenate, zip(*parts, strict=True))
        return Completions(images, seconds, failed)

    return complete


def _mean_colour(image, mask):
    total = jnp.sum(mask, axis=(1, 2), keepdims=True)
    mean = jnp.sum(mask * image, axis=(1, 2), keepdims=True) / total
    return blending.paste(jnp.broadcast_to(mean, image.shape), image, mask)


def _options(solve):
    """The options that a method is run with: its defaults."""
    parameters = inspect.signature(solve).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _never(image):
    return jnp.zeros(image.shape[0], bool)
