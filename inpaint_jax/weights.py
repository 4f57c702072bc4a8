"""The generator and discriminator of a search, from a release or a training run."""

import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp

from inpaint_jax import releases, types
from inpaint_jax.models import dcgan


@dataclasses.dataclass(frozen=True)
class Model:
    """A generator and a discriminator with their weights.

    Attributes:
      architecture: of both networks.
      crop: side of the training crops in CelebA pixels, see `data.frame`.
      generator: variables {"params", "batch_stats"}.
      discriminator: variables {"params", "batch_stats"}.
      source: what to call it in a report: where it came from, step, hashes.
    """

    architecture: dcgan.Architecture
    crop: int
    generator: types.Variables
    discriminator: types.Variables
    source: dict[str, Any]

    def generate(self, z: types.Latent) -> types.Image:
        """Maps z `[batch, z_dim]` to images; rows are independent."""
        return self.architecture.generator().apply(self.generator, z, train=False)  # pyright: ignore[reportReturnType]

    def discriminate(self, image: types.Image) -> types.Logits:
        """Maps images to logits `[batch]`; rows are independent."""
        network = self.architecture.discriminator()
        return network.apply(self.discriminator, image, train=False)  # pyright: ignore[reportReturnType]


def templates(architecture: dcgan.Architecture) -> dict[str, types.Variables]:
    """Returns the shapes of both networks' variables, without computing anything."""
    size = architecture.image_size
    z = jax.ShapeDtypeStruct((1, architecture.z_dim), jnp.float32)
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)

    def shapes(network, x):
        return jax.eval_shape(
            lambda x: network.init(jax.random.key(0), x, train=False), x
        )

    return {
        "generator": shapes(architecture.generator(), z),
        "discriminator": shapes(architecture.discriminator(), image),
    }


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
        templates=lambda description: templates(_understood(description)[0]),
    )
    architecture, crop = _understood(loaded.description)
    return Model(architecture, crop, **loaded.networks, source=loaded.source)


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
        {"generator": model.generator, "discriminator": model.discriminator},
        description={
            "architecture": dataclasses.asdict(model.architecture),
            "crop": model.crop,
            "provenance": provenance,
        },
    )


def _understood(description):
    architecture = dcgan.Architecture(**description["architecture"])
    crop = int(description["crop"])
    if crop < 1:
        raise ValueError(f"crop must be positive, got {crop}")
    return architecture, crop
