"""Systems that complete a batch by one program: what they are, ready to run."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Key

from experiments.training import training
from inpaint_jax import types
from inpaint_jax.baselines import low_rank, nearest, patch_match, total_variation
from inpaint_jax.errors import InputError
from inpaint_jax.images import blending
from inpaint_jax.pretrained import networks, weights

Failed = Bool[jax.Array, " batch"]
Keys = Key[jax.Array, " batch"]
Fill = Callable[[types.Image, types.Mask, Keys], tuple[types.Image, Failed]]
"""(images, masks, keys) -> images, and where it failed."""

Prepared = tuple[dict[str, Any], Fill]
"""What decides the result, see `System.described`, and the program."""


def mean() -> Prepared:
    """Returns the mean colour of what is known, in the hole."""

    def complete(image: types.Image, mask: types.Mask) -> types.Image:
        return blending.paste(blending.mean_colour(image, mask), image, mask)

    return {}, jax.jit(_unfailing(complete))


def tv() -> Prepared:
    """Returns completion by total variation."""
    fill = jax.jit(_unfailing(total_variation.complete))
    return _options(total_variation.solve), fill


def lr() -> Prepared:
    """Returns completion by low rank."""
    return _options(low_rank.solve), jax.jit(_unfailing(low_rank.complete))


def pm() -> Prepared:
    """Returns PatchMatch."""

    def fill(
        image: types.Image, mask: types.Mask, key: Keys
    ) -> tuple[types.Image, Failed]:
        filled, info = patch_match.solve(key, image, mask)
        return filled, ~info.available

    return _options(patch_match.solve), jax.jit(fill)


def nn(bank: str | None, model: weights.Model) -> Prepared:
    """Returns completion by the nearest training face.

    Args:
      bank: the training faces, as --data of experiments.train.
      model: which says the crop and size of images.

    Raises:
      InputError: there are no such faces.
    """
    if not bank:
        raise InputError(
            "--methods=nn: needs the training faces to search in; give "
            "--bank=folder:DIR[:8500]."
        )
    faces = training.load(bank, crop=model.crop, size=model.architecture.image_size)

    fill = _unfailing(functools.partial(nearest.complete, bank=faces.images))
    return {"bank": bank, "faces": len(faces.images)}, fill


def drawn(
    name: str,
    path: str,
    blend: Callable[[types.Image, types.Image, types.Mask], types.Image],
    model: weights.Model,
) -> Prepared:
    """Returns a network that draws a face at once.

    Args:
      name: ce or gfc.
      path: a --run_dir of experiments.train, or a release.
      blend: how the hole is put in.
      model: which says the crop and size of images.

    Raises:
      InputError: there is no such network, or it is for other images.
    """
    network = _feed_forward(name, path, model)

    def complete(image: types.Image, mask: types.Mask) -> types.Image:
        return blend(network.apply(image, mask), image, mask)

    return {"model": network.source}, jax.jit(_unfailing(complete))


def _feed_forward(name: str, path: str, model: weights.Model) -> networks.Pretrained:
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


def _unfailing(
    complete: Callable[[types.Image, types.Mask], types.Image],
) -> Fill:
    """A program that always does its work, and leaves nothing to chance."""

    def fill(
        image: types.Image, mask: types.Mask, key: Keys
    ) -> tuple[types.Image, Failed]:
        del key
        return complete(image, mask), jnp.zeros(image.shape[0], bool)

    return fill


def _options(solve: Callable[..., Any]) -> dict[str, Any]:
    """The options that a method is run with: its defaults."""
    parameters = inspect.signature(solve).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}
