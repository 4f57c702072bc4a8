"""The networks of a search, from a release or a training run."""

import dataclasses
import os
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from inpaint_jax import types
from inpaint_jax.models import dcgan, inference
from inpaint_jax.pretrained import releases

Encodes = Literal["nothing", "whole faces", "damaged faces"]
"""What the encoder of a model was trained on."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A generator, a discriminator and perhaps an encoder with their weights.

    Attributes:
      architecture: of both networks.
      crop: side of the training crops in CelebA pixels, see `framing.frame`.
      generator: variables {"params", "batch_stats"}.
      discriminator: variables {"params", "batch_stats"}.
      source: what to call it in a report: where it came from, step, hashes.
      encoder: variables {"params", "batch_stats"}; None without one.
      encodes: what the encoder was trained on.
      prior: how z was drawn in training.
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
    def networks(self) -> dict[str, types.Variables]:
        """The variables of each network that there is."""
        found = {"generator": self.generator, "discriminator": self.discriminator}
        return found if self.encoder is None else {**found, "encoder": self.encoder}

    def generate(self, z: types.Latent) -> types.Image:
        """Maps z `[batch, z_dim]` to images; rows are independent."""
        return self.architecture.generator().apply(self.generator, z, train=False)  # pyright: ignore[reportReturnType]

    def discriminate(self, image: types.Image) -> types.Logits:
        """Maps images to logits `[batch]`; rows are independent."""
        network = self.architecture.discriminator()
        return network.apply(self.discriminator, image, train=False)  # pyright: ignore[reportReturnType]

    def encode(self, image: types.Image, mask: types.Mask) -> types.Latent:
        """Maps damaged images to the z to start from; rows are independent.

        Raises:
          ValueError: there is no encoder.
        """
        if self.encoder is None:
            raise ValueError("this model has no encoder")
        network = self.architecture.encoder()
        return network.apply(self.encoder, image, mask, train=False)  # pyright: ignore[reportReturnType]

    def folded(
        self, *, batch: int, products: dcgan.DType = jnp.float32
    ) -> tuple[inference.Generator, inference.Discriminator]:
        """Returns G and D in the form in which a search runs them.

        Args:
          batch: about how many faces there will be at once.
          products: in which type convolutions multiply.
        """
        options: Any = {"batch": batch, "products": products}
        return (
            inference.generator(self.architecture, self.generator, **options),
            inference.discriminator(self.architecture, self.discriminator, **options),
        )


def templates(
    architecture: dcgan.Architecture, *, encoder: bool = False
) -> dict[str, types.Variables]:
    """Returns the shapes of all networks' variables, without computing anything."""
    size = architecture.image_size
    z = jax.ShapeDtypeStruct((1, architecture.z_dim), jnp.float32)
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    mask = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)

    def shapes(network, *inputs):
        return jax.eval_shape(
            lambda *inputs: network.init(jax.random.key(0), *inputs, train=False),
            *inputs,
        )

    found = {
        "generator": shapes(architecture.generator(), z),
        "discriminator": shapes(architecture.discriminator(), image),
    }
    if encoder:
        found["encoder"] = shapes(architecture.encoder(), image, mask)
    return found


def load(path: str | os.PathLike[str]) -> Model:
    """Reads a model from a release folder or from a training run's folder.

    Args:
      path: the folder, or "release" for the weights that come with the package.

    Raises:
      InputError: nothing usable is there, it does not fit its own description, or it
        holds NaN or infinite weights.
    """
    loaded = releases.load(
        path,
        name="dcgan",
        trainer="experiments.train",
        templates=_templates_of,
    )
    architecture, crop, encodes, prior = _understood(loaded.description)
    return Model(
        architecture,
        crop,
        **loaded.networks,
        source=loaded.source,
        encodes=encodes,
        prior=prior,
    )


def export(
    directory: str | os.PathLike[str], model: Model, *, provenance: dict[str, Any]
) -> None:
    """Writes a release, see `releases.export`.

    Args:
      directory: folder to write to; created if need be.
      model: what to write.
      provenance: JSON values: data, command, commit, scores.

    Raises:
      InputError: the folder cannot be written.
    """
    releases.export(
        directory,
        model.networks,
        description={
            "architecture": dataclasses.asdict(model.architecture),
            "crop": model.crop,
            "encodes": model.encodes,
            "prior": model.prior,
            "provenance": provenance,
        },
    )


def _templates_of(description):
    architecture, _, encodes, _ = _understood(description)
    return templates(architecture, encoder=encodes != "nothing")


def _understood(description):
    architecture = dcgan.Architecture(**description["architecture"])
    crop = int(description["crop"])
    if crop < 1:
        raise ValueError(f"crop must be positive, got {crop}")
    encodes = description.get("encodes", "nothing")
    if encodes not in get_args(Encodes):
        raise ValueError(f"encodes must be of {get_args(Encodes)}, got {encodes!r}")
    prior = description.get("prior", "uniform")
    if prior not in get_args(dcgan.Prior):
        raise ValueError(f"prior must be of {get_args(dcgan.Prior)}, got {prior!r}")
    return architecture, crop, encodes, prior
