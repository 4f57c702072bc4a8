"""How fast training is: images a second, use of the processor, waiting for data.

The losses are those that the flags give, as in `experiments.train`. The same step can
also be measured with XLA's own strided convolutions and, with the default losses, in
PyTorch.
"""

import dataclasses
import functools
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import jax
import numpy as np
from jaxtyping import UInt8

from experiments.benchmarks import torch_peer
from experiments.training import gan_recipe, release_plan, stepping
from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.models import dcgan
from inpaint_jax.ops import strided
from inpaint_jax.training import train_gan

_RATE_G, _RATE_D, _BETA1 = 2e-4, 1e-4, 0.5
_FACES = 8500

Images = UInt8[np.ndarray, "count size size 3"]


def steps(
    key: jax.Array,
    a: dcgan.Architecture,
    recipe: gan_recipe.Recipe,
    *,
    batch_size: int,
    peers: Sequence[str],
) -> dict[str, Callable[[], Any]]:
    """Returns whole training steps on noise, each a function without arguments.

    Args:
      key: of the weights and of the steps.
      a: the architecture.
      recipe: the losses.
      batch_size: images of a step.
      peers: "plain" and "torch", if these are to be compared with.

    Raises:
      InputError: see `torch_peer.load`; or PyTorch does not have these losses.
    """
    images, alone = _noise(a, batch_size), without_encoder(recipe)
    train_steps: dict[str, Callable[..., Any]] = {
        "train_step": _train_step(key, a, alone),
        "train_step_with_encoder": _train_step(key, a, recipe),
    }
    if "plain" in peers:
        train_steps["plain"] = in_plain_form(_train_step(key, a, alone), images)
    if "torch" in peers:
        if recipe != gan_recipe.Recipe():
            raise InputError(
                "--peer=torch: has the default losses only; leave it out, or the flags "
                "of other losses."
            )
        config = alone.train_config()
        train_steps["torch"] = torch_peer.train_step(
            a, config, rates=(_RATE_G, _RATE_D), beta1=_BETA1
        )
    return {name: functools.partial(f, images) for name, f in train_steps.items()}


def without_encoder(recipe: gan_recipe.Recipe) -> gan_recipe.Recipe:
    """Returns the recipe of G and D alone."""
    return dataclasses.replace(recipe, lambda_reconstruction=0.0)


def waiting(
    key: jax.Array,
    a: dcgan.Architecture,
    recipe: gan_recipe.Recipe,
    *,
    batch_size: int,
    count: int,
) -> dict[str, Any]:
    """Measures which fraction of its time training waits for data.

    Args:
      key: as in `steps`.
      a: the architecture.
      recipe: the losses.
      batch_size: images of a step.
      count: of steps from each source.

    Returns:
      {"memory" and "cache": {"share", "images_per_s"}}, for faces in memory and for a
      file of which nothing is in memory yet.
    """
    step = _train_step(key, a, without_encoder(recipe))
    faces = _noise(a, max(_FACES, batch_size))
    step(faces[:batch_size])
    return {
        "memory": _waiting(step, faces, batch_size, count),
        "cache": _waiting_for_file(step, faces, batch_size, count),
    }


def in_plain_form(run: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """Compiles a function with XLA's own strided convolutions, by its first call."""
    with mock.patch.multiple(
        strided, conv=strided.plain_conv, conv_transpose=strided.plain_conv_transpose
    ):
        jax.block_until_ready(run(*arguments))
    return run


def step_flops(a: dcgan.Architecture, recipe: gan_recipe.Recipe) -> int:
    """Counts the floating-point operations of a training step, for each real image.

    Each multiply-add of the convolutions and dense layers counts two, with k x k taps
    for each pixel of the smaller side. Counted are the forward passes and the gradients
    by weights and inputs that a step needs, and not what an implementation computes
    beyond that.

    Args:
      a: the architecture.
      recipe: the losses.
    """
    last = 16 * a.features << (a.levels - 1)
    project, up = a.z_dim * last, sum(convolutions(a, outer=3))
    down = sum(convolutions(a, outer=3)) + last
    # D is evaluated on real and on generated images and differentiated by its weights
    # on both, and by the generated images for G. Only there the gradient by the pixels
    # is needed.
    adversarial = 7 * down - 2 * convolutions(a, outer=3)[0]
    # A penalty needs the gradient by the pixels, and of it the gradient by the weights,
    # through one pass back; how often it is added counts.
    penalties = (recipe.real_penalty > 0.0) + (recipe.fake_penalty > 0.0)
    adversarial += penalties * 3 * down // recipe.penalty_every
    if not recipe.lambda_reconstruction:
        return 2 * (adversarial + 3 * up + 2 * project)
    encoding = (
        3 * (sum(convolutions(a, outer=4)) + last * a.z_dim)
        - convolutions(a, outer=4)[0]
    )
    if recipe.lambda_features:  # of both images, and back to the pixels of one
        encoding += 3 * (down - last)
    return 2 * (adversarial + 2 * 3 * (up + project) + encoding)


def convolutions(a: dcgan.Architecture, *, outer: int) -> list[int]:
    """Counts the multiply-adds of each stride-2 layer, forward, for one image.

    Args:
      a: the architecture.
      outer: channels at the image's side: 3, and for E one more.
    """
    channels = [a.features << level for level in range(a.levels)]
    sides = [a.image_size >> (level + 1) for level in range(a.levels)]
    pairs = zip([outer, *channels], channels, sides, strict=False)
    return [side**2 * a.kernel_size**2 * n * m for n, m, side in pairs]


def _noise(a: dcgan.Architecture, count: int) -> Images:
    shape = (count, a.image_size, a.image_size, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _train_step(
    key: types.PRNGKey, a: dcgan.Architecture, recipe: gan_recipe.Recipe
) -> Callable[[Images], Any]:
    """A function that takes one step on the images given to it."""
    if recipe.real_penalty > 0.0 or recipe.fake_penalty > 0.0:
        a = dataclasses.replace(a, discriminator_norm="none")
    settings = gan_recipe.Settings(
        data="",
        seed=0,
        batch_size=0,
        crop=0,
        generator_rate=_RATE_G,
        discriminator_rate=_RATE_D,
        beta1=_BETA1,
        precision=release_plan.usual_precision(),
        pretrained="",
        recipe=recipe,
    )
    given: Any = {"networks": settings.networks(a), "config": recipe.train_config()}
    state = jax.jit(functools.partial(train_gan.init, **given))(key)
    advance = jax.jit(
        functools.partial(train_gan.train_step, **given), donate_argnums=1
    )

    def step(images: Images) -> Any:
        nonlocal state
        state, info = advance(jax.random.fold_in(key, state.step), state, images)
        return info

    return step


def _waiting(
    step: Callable[[Images], Any], faces: Images, batch_size: int, steps: int
) -> dict[str, float]:
    batches = stepping.Rows((faces,), batch_size, 0, on_device=False).batches(0)
    started, waited = time.perf_counter(), 0.0
    for _ in range(steps):
        asked = time.perf_counter()
        (images,) = next(batches)
        waited += time.perf_counter() - asked
        jax.block_until_ready(step(images))
    elapsed = time.perf_counter() - started
    return {"share": waited / elapsed, "images_per_s": steps * batch_size / elapsed}


def _waiting_for_file(
    step: Callable[[Images], Any], faces: Images, batch_size: int, steps: int
) -> dict[str, float]:
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, faces)
        file.flush()
        os.fsync(file.fileno())
        # Otherwise what was just written would be read from memory.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        mapped = np.load(file.name, mmap_mode="r")
        return _waiting(step, mapped, batch_size, steps)
