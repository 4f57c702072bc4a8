"""Prepares the methods that complete a batch with one program: all but searches."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Key

from experiments.common import identity
from experiments.search import structure_options
from experiments.training import face_sets
from inpaint_jax import types
from inpaint_jax.baselines import low_rank, nearest, patch_match, total_variation
from inpaint_jax.errors import InputError
from inpaint_jax.images import blending
from inpaint_jax.pretrained import weights

Failed = Bool[jax.Array, " batch"]
Keys = Key[jax.Array, " batch"]
Fill = Callable[[types.Image, types.Mask, Keys], tuple[types.Image, Failed]]
"""(images, masks, keys) -> (completed images, whether each failed)."""

Prepared = tuple[dict[str, Any], Fill]
"""(JSON values, see `CompletionMethod.described`; program that completes images)."""


def mean() -> Prepared:
    """Prepares completion by the mean colour of the known pixels."""

    def complete(image: types.Image, mask: types.Mask) -> types.Image:
        return blending.paste(blending.mean_colour(image, mask), image, mask)

    return {}, jax.jit(_unfailing(complete))


def tv() -> Prepared:
    """Prepares completion by total variation."""
    fill = jax.jit(_unfailing(total_variation.complete))
    return _options(total_variation.solve), fill


def lr() -> Prepared:
    """Prepares completion by low rank."""
    return _options(low_rank.solve), jax.jit(_unfailing(low_rank.complete))


def pm() -> Prepared:
    """Prepares completion by PatchMatch."""

    def fill(
        image: types.Image, mask: types.Mask, key: Keys
    ) -> tuple[types.Image, Failed]:
        filled, info = patch_match.solve(key, image, mask)
        return filled, ~info.available

    return _options(patch_match.solve), jax.jit(fill)


def nn(bank: str | None, model: weights.Model, *, flag: str) -> Prepared:
    """Prepares completion by the nearest training face.

    Args:
      bank: the training faces, as --data of experiments.train.
      model: determines the crop and size of images.
      flag: that asks for it.

    Raises:
      InputError: there are no such faces.
    """
    if not bank:
        raise InputError(
            f"{flag}=nn: needs the training faces to search in; give "
            "--bank=folder:DIR[:8500]."
        )
    size = model.architecture.image_size
    faces = face_sets.load(bank, flag="--bank", crop=model.crop, size=size)

    fill = _unfailing(functools.partial(nearest.complete, bank=faces.images))
    return {"faces": len(faces.images), "pictures": faces.digest}, fill


def drawn(
    name: str,
    path: str,
    blend: Callable[[types.Image, types.Image, types.Mask], types.Image],
    model: weights.Model,
) -> Prepared:
    """Prepares completion by a feed-forward network.

    Args:
      name: "ce" or "gfc".
      path: a --run_dir of experiments.train, or a release.
      blend: function that blends the network's image into the hole, as in `blending`.
      model: determines the crop and size of images.

    Raises:
      InputError: there is no such network, or it is for another crop or size.
    """
    network = structure_options.completer(name, path, model, flag=f"--{name}")

    def complete(image: types.Image, mask: types.Mask) -> types.Image:
        return blend(network.apply(image, mask), image, mask)

    return {"model": identity.of_model(network.source)}, jax.jit(_unfailing(complete))


def guess(model: weights.Model, *, flag: str) -> Prepared:
    """Prepares completion by the face that G draws from the encoder's guess.

    Args:
      model: with an encoder of damaged faces.
      flag: that asks for it.

    Raises:
      InputError: it has none.
    """
    draw = structure_options.guess(model, flag=f"{flag}=encoder")

    def complete(image: types.Image, mask: types.Mask) -> types.Image:
        return blending.poisson(draw(image, mask), image, mask)

    return {"model": identity.of_model(model.source)}, jax.jit(_unfailing(complete))


def _unfailing(
    complete: Callable[[types.Image, types.Mask], types.Image],
) -> Fill:
    """Returns a program for a completion that never fails and needs no random key."""

    def fill(
        image: types.Image, mask: types.Mask, key: Keys
    ) -> tuple[types.Image, Failed]:
        del key
        return complete(image, mask), jnp.zeros(image.shape[0], bool)

    return fill


def _options(solve: Callable[..., Any]) -> dict[str, Any]:
    """Returns the options of a solver: its defaults."""
    parameters = inspect.signature(solve).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}
