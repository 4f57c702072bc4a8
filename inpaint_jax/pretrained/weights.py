"""The networks of a search, G, D and E, read from a release or a training run."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from inpaint_jax import types
from inpaint_jax.models import blocks, dcgan, inference
from inpaint_jax.pretrained import kinds

Encodes = Literal["nothing", "whole faces", "damaged faces"]
"""What the encoder of a model was trained on."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A generator, a discriminator and perhaps an encoder with their weights.

    Attributes:
      architecture: of the networks.
      crop: side of the training crops in CelebA pixels, see `framing.frame`.
      generator: variables {"params", "batch_stats"}.
      discriminator: variables {"params", "batch_stats"}.
      source: JSON values for reports: path, step, hashes.
      encoder: variables {"params", "batch_stats"}; None without an encoder.
      encodes: what the encoder was trained on.
      prior: distribution of z in training.
    """

    architecture: dcgan.Architecture
    crop: int
    generator: types.Variables
    discriminator: types.Variables
    source: dict[str, Any]
    encoder: types.Variables | None = None
    encodes: Encodes = "nothing"
    prior: dcgan.Prior = "uniform"

    @property
    def kind(self) -> kinds.Kind:
        """How such a model is stored on disk."""
        return KIND

    @property
    def networks(self) -> dict[str, types.Variables]:
        """{name: variables} of the networks; "encoder" only if there is one."""
        found = {"generator": self.generator, "discriminator": self.discriminator}
        return found if self.encoder is None else {**found, "encoder": self.encoder}

    @property
    def generate(self) -> jax.tree_util.Partial:
        """G, which maps z `[batch, z_dim]` to images; see `kinds.function`."""
        return kinds.function(self.architecture.generator(), self.generator)

    @property
    def discriminate(self) -> jax.tree_util.Partial:
        """D, which maps images to logits `[batch]`; see `kinds.function`."""
        return kinds.function(self.architecture.discriminator(), self.discriminator)

    @property
    def encode(self) -> jax.tree_util.Partial:
        """E, which maps (damaged images, masks) to the z where a search starts.

        Raises:
          ValueError: there is no encoder.
        """
        if self.encoder is None:
            raise ValueError("this model has no encoder")
        return kinds.function(self.architecture.encoder(), self.encoder)

    def fused(
        self, *, batch: int, compute_dtype: blocks.DType = jnp.float32
    ) -> tuple[inference.Generator, inference.Discriminator]:
        """Returns G and D for inference, with BatchNorm fused into the weights.

        Args:
          batch: expected number of images in a batch.
          compute_dtype: type of the products in convolutions.
        """
        options: Any = {"batch": batch, "compute_dtype": compute_dtype}
        return (
            inference.generator(self.architecture, self.generator, **options),
            inference.discriminator(self.architecture, self.discriminator, **options),
        )


def templates(
    architecture: dcgan.Architecture, *, encoder: bool = False
) -> dict[str, types.Variables]:
    """Returns the shapes of all networks' variables, without computing anything."""
    found = {
        "generator": kinds.template(architecture.generator(), "z"),
        "discriminator": kinds.template(architecture.discriminator(), "image"),
    }
    if encoder:
        found["encoder"] = kinds.template(architecture.encoder(), "image", "mask")
    return found


def load(path: str | os.PathLike[str]) -> Model:
    """Reads a model from a release folder or from a training run's folder.

    Args:
      path: the folder, or "release" for the weights that come with the package.

    Raises:
      InputError: as in `kinds.load`.
    """
    fields, loaded = kinds.load(path, kind=KIND)
    return Model(**{**fields, **loaded.networks}, source=loaded.source)


def _one_of(
    name: str, choices: tuple[str, ...], default: str
) -> Callable[[Mapping[str, Any]], str]:
    def read(description: Mapping[str, Any]) -> str:
        found = description.get(name, default)
        if found not in choices:
            raise ValueError(f"{name} must be of {choices}, got {found!r}")
        return found

    return read


export = kinds.export
"""Writes a release of a model."""

KIND = kinds.Kind(
    "dcgan",
    "experiments.train",
    dcgan.Architecture,
    templates=lambda architecture, *, encodes, prior: templates(
        architecture, encoder=encodes != "nothing"
    ),
    extras={
        "encodes": _one_of("encodes", get_args(Encodes), "nothing"),
        "prior": _one_of("prior", get_args(dcgan.Prior), "uniform"),
    },
)
"""How a model of a search is stored on disk."""
