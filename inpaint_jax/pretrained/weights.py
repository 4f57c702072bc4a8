"""The networks of a search, G, D and E, read from a release or a training run."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.models import blocks, dcgan, inference
from inpaint_jax.pretrained import model_files

Encodes = Literal["nothing", "whole faces", "damaged faces"]
"""What the encoder of a model was trained on."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A generator, mostly a discriminator, and perhaps an encoder, with their weights.

    Attributes:
      architecture: of the networks.
      crop: side of the training crops in CelebA pixels, see `framing.frame`.
      generator: variables {"params", "batch_stats"}.
      discriminator: variables {"params", "batch_stats"}; None without a discriminator.
      source: JSON values for reports: path, step, hashes.
      encoder: variables {"params", "batch_stats"}; None without an encoder.
      encodes: what the encoder was trained on.
      prior: distribution of z in training.
      discriminates: whether there is a discriminator, which the prior loss needs.
    """

    architecture: dcgan.Architecture
    crop: int
    generator: types.Variables
    discriminator: types.Variables | None
    source: dict[str, Any]
    encoder: types.Variables | None = None
    encodes: Encodes = "nothing"
    prior: dcgan.Prior = "uniform"
    discriminates: bool = True

    @property
    def kind(self) -> model_files.Kind:
        """How such a model is stored on disk."""
        return KIND

    @property
    def networks(self) -> dict[str, types.Variables]:
        """{name: variables} of the networks that there are."""
        found = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "encoder": self.encoder,
        }
        return {name: each for name, each in found.items() if each is not None}

    @property
    def generate(self) -> jax.tree_util.Partial:
        """G, which maps z `[batch, z_dim]` to images; see `model_files.function`."""
        return model_files.function(self.architecture.generator(), self.generator)

    @property
    def discriminate(self) -> jax.tree_util.Partial:
        """D, which maps images to logits `[batch]`; see `model_files.function`.

        Raises:
          InputError: there is no discriminator.
        """
        if self.discriminator is None:
            raise InputError(
                f"model {self.source.get('path', '')}: has no discriminator, which "
                "this needs; give another."
            )
        return model_files.function(
            self.architecture.discriminator(), self.discriminator
        )

    @property
    def encode(self) -> jax.tree_util.Partial:
        """E, which maps (damaged images, masks) to the z where a search starts.

        Raises:
          ValueError: there is no encoder.
        """
        if self.encoder is None:
            raise ValueError("this model has no encoder")
        return model_files.function(self.architecture.encoder(), self.encoder)

    def fused(
        self, *, batch: int, compute_dtype: blocks.DType = jnp.float32
    ) -> tuple[inference.Generator, inference.Discriminator | None]:
        """Returns G and D for inference, with BatchNorm fused into the weights.

        D is None if the model has none.

        Args:
          batch: expected number of images in a batch.
          compute_dtype: type of the products in convolutions.
        """
        options: Any = {"batch": batch, "compute_dtype": compute_dtype}
        a, d = self.architecture, self.discriminator
        return (
            inference.generator(a, self.generator, **options),
            None if d is None else inference.discriminator(a, d, **options),
        )


def templates(
    architecture: dcgan.Architecture,
    *,
    encoder: bool = False,
    discriminator: bool = True,
) -> dict[str, types.Variables]:
    """Returns the shapes of all networks' variables, without computing anything."""
    found = {"generator": model_files.template(architecture.generator(), "z")}
    if discriminator:
        found["discriminator"] = model_files.template(
            architecture.discriminator(), "image"
        )
    if encoder:
        found["encoder"] = model_files.template(architecture.encoder(), "image", "mask")
    return found


def load(path: str | os.PathLike[str]) -> Model:
    """Reads a model from a release folder or from a training run's folder.

    Args:
      path: the folder, or "release" for the weights that come with the package.

    Raises:
      InputError: as in `model_files.load`.
    """
    fields, loaded = model_files.load(path, kind=KIND)
    networks = {"discriminator": None, **loaded.networks}
    return Model(**{**fields, **networks}, source=loaded.source)


def _discriminates(description: Mapping[str, Any]) -> bool:
    found = description.get("discriminates", True)
    if not isinstance(found, bool):
        raise ValueError(f"discriminates must be true or false, got {found!r}")
    return found


def _one_of(
    name: str, choices: tuple[str, ...], default: str
) -> Callable[[Mapping[str, Any]], str]:
    def read(description: Mapping[str, Any]) -> str:
        found = description.get(name, default)
        if found not in choices:
            raise ValueError(f"{name} must be of {choices}, got {found!r}")
        return found

    return read


export = model_files.export
"""Writes a release of a model."""

KIND = model_files.Kind(
    "dcgan",
    "experiments.train",
    dcgan.Architecture,
    templates=lambda architecture, *, encodes, prior, discriminates: templates(
        architecture, encoder=encodes != "nothing", discriminator=discriminates
    ),
    extras={
        "encodes": _one_of("encodes", get_args(Encodes), "nothing"),
        "prior": _one_of("prior", get_args(dcgan.Prior), "uniform"),
        "discriminates": _discriminates,
    },
)
"""How a model of a search is stored on disk."""
