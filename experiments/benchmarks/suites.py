"""The suites of the benchmark: what each one times and reports."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.benchmarks import (
    landmark_speed,
    search_speed,
    search_step,
    timing,
    training_speed,
)
from experiments.training import gan_recipe
from inpaint_jax import types
from inpaint_jax.images import blending, masks
from inpaint_jax.models import dcgan

Found = dict[str, Any]


class Setting(NamedTuple):
    """The options that all suites share.

    Attributes:
      key: random key of weights and data.
      architecture: of the networks.
      ceilings: see `timing.ceilings`.
      batch_size: number of candidates, images or faces.
      rounds: number of repetitions of each measurement.
      peers: implementations to compare with, see `search_speed.steps`.
      recipe: the losses of a training step.
      trace_dir: see `timing.time_in_turn`; of training steps.
    """

    key: types.PRNGKey
    architecture: dcgan.Architecture
    ceilings: timing.Ceilings
    batch_size: int
    rounds: int
    peers: Sequence[str]
    recipe: gan_recipe.Recipe
    trace_dir: str | None


def _search(setting: Setting) -> Found:
    key, a = setting.key, setting.architecture
    runs = search_speed.steps(
        key, a, batch_size=setting.batch_size, peers=setting.peers
    )
    times = timing.time_in_turn(runs, setting.rounds)
    for name in times:
        if name.startswith("search_step"):
            times[name] = [seconds / search_step.STEPS for seconds in times[name]]
    flops = setting.batch_size * search_speed.step_flops(a)
    found = {
        name: timing.with_share(seconds, flops, setting.ceilings)
        for name, seconds in times.items()
    }
    ours = found["search_step"]
    ours |= search_speed.counted(key, a, batch_size=setting.batch_size)
    ours |= timing.ratios(times, "search_step")
    for name in times:
        if name.startswith("search_step_"):
            found[name]["ratio_vs_without"] = timing.ratio(
                times[name], times["search_step"]
            )
    if "plain" in times:
        found["plain_with_dlib"]["ratio_vs_without"] = timing.ratio(
            times["plain_with_dlib"], times["plain"]
        )
    return found


def _growth(setting: Setting) -> Found:
    key, a = setting.key, setting.architecture
    return {"growth": search_speed.scaling(key, a, rounds=setting.rounds)}


def _train(setting: Setting) -> Found:
    key, a, batch = setting.key, setting.architecture, setting.batch_size
    recipe = setting.recipe
    runs = training_speed.steps(key, a, recipe, batch_size=batch, peers=setting.peers)
    times = timing.time_in_turn(runs, setting.rounds, trace_dir=setting.trace_dir)
    found = {}
    for name, seconds in times.items():
        whole = name == "train_step_with_encoder"
        losses = recipe if whole else training_speed.without_encoder(recipe)
        flops = batch * training_speed.step_flops(a, losses)
        entry = timing.with_share(seconds, flops, setting.ceilings)
        label = name if name.startswith("train") else f"train_step_{name}"
        found[label] = entry | {"images_per_s": batch / float(np.median(seconds))}
    found["train_step"] |= timing.ratios(times, "train_step")
    found["waiting_for_data"] = training_speed.waiting(
        key, a, recipe, batch_size=batch, count=2 * setting.rounds
    )
    return found


def _landmarks(setting: Setting) -> Found:
    runs = landmark_speed.runs(setting.key, batch_size=setting.batch_size)
    times = timing.time_in_turn(runs, setting.rounds)
    return {
        name: timing.entry(seconds)
        | {
            "ratio_vs_dlib": timing.ratio(seconds, times["dlib"]),
            "ratio_vs_exact": timing.ratio(seconds, times["landmarks_exact"]),
        }
        for name, seconds in times.items()
    }


def _blend(setting: Setting) -> Found:
    key, a = setting.key, setting.architecture
    shape = (setting.batch_size, a.image_size, a.image_size)
    generated, image = (
        jax.random.uniform(jax.random.fold_in(key, i), (*shape, 3), minval=-1.0)
        for i in range(2)
    )
    mask = masks.centre(key, shape[1:])[None].repeat(shape[0], axis=0)
    blends = {"paste": jax.jit(blending.paste), "poisson": jax.jit(blending.poisson)}
    runs = {
        f"blend_{name}": functools.partial(blend, generated, image, mask)
        for name, blend in blends.items()
    }
    times = timing.time_in_turn(runs, setting.rounds)
    return {name: timing.entry(seconds) for name, seconds in times.items()}


MEASURES: dict[str, Callable[[Setting], Found]] = {
    "search": _search,
    "growth": _growth,
    "train": _train,
    "landmarks": _landmarks,
    "blend": _blend,
}
"""{suite: function that measures it}"""
