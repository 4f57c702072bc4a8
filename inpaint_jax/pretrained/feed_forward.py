"""Trained networks that answer in one pass: CE, GFC, and the parser of the latter."""

import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp

from inpaint_jax import types
from inpaint_jax.models import context_encoder, face_completion
from inpaint_jax.pretrained import releases

Architecture = (
    context_encoder.Architecture
    | face_completion.Architecture
    | face_completion.ParserArchitecture
)

ARCHITECTURES: dict[str, type[Architecture]] = {
    "ce": context_encoder.Architecture,
    "gfc": face_completion.Architecture,
    "parser": face_completion.ParserArchitecture,
}


@dataclasses.dataclass(frozen=True)
class FeedForward:
    """A network with its weights.

    Attributes:
      architecture: of the network, which also says what it is.
      crop: side of the training crops in CelebA pixels, see `framing.frame`.
      variables: {"params", "batch_stats"}.
      source: what to call it in a report: where it came from, step, hashes.
    """

    architecture: Architecture
    crop: int
    variables: types.Variables
    source: dict[str, Any]

    @property
    def model(self) -> str:
        """Its name in `ARCHITECTURES`."""
        return next(n for n, a in ARCHITECTURES.items() if a is type(self.architecture))

    @property
    def apply(self) -> jax.tree_util.Partial:
        """The network as a function of its images, and a pytree.

        CE and GFC map (image, mask) to images, the parser an image to logits; rows are
        independent.
        """
        return jax.tree_util.Partial(_Apply(self.architecture), self.variables)


@dataclasses.dataclass(frozen=True)
class _Apply:
    architecture: Architecture

    def __call__(self, variables, *inputs):
        return self.architecture.network().apply(variables, *inputs, train=False)


def load(path: str | os.PathLike[str], *, model: str) -> FeedForward:
    """Reads a network from a release folder or from a training run's folder.

    Args:
      path: the folder, or "release" for the weights that come with the package.
      model: what it must be, a key of `ARCHITECTURES`.

    Raises:
      InputError: nothing usable is there, it is something else, it does not fit its own
        description, or it holds NaN or infinite weights.
    """
    loaded = releases.load(
        path,
        name=model,
        trainer=f"experiments.train --model={model}",
        templates=lambda description: {
            model: template(_understood(description, model)[0])
        },
    )
    architecture, crop = _understood(loaded.description, model)
    return FeedForward(architecture, crop, loaded.networks[model], loaded.source)


def export(
    directory: str | os.PathLike[str],
    network: FeedForward,
    *,
    provenance: dict[str, Any],
) -> None:
    """Writes a release, see `releases.export`.

    Args:
      directory: folder to write to; created if need be.
      network: what to write.
      provenance: JSON values: data, command, commit, scores.

    Raises:
      InputError: the folder cannot be written, or half precision cannot hold a weight.
    """
    releases.export(
        directory,
        {network.model: network.variables},
        description={
            "model": network.model,
            "architecture": dataclasses.asdict(network.architecture),
            "crop": network.crop,
            "provenance": provenance,
        },
    )


def template(architecture: Architecture) -> types.Variables:
    """Returns the shapes of a network's variables, without computing anything."""
    image = jnp.zeros((1, architecture.image_size, architecture.image_size, 3))
    parses = isinstance(architecture, face_completion.ParserArchitecture)
    inputs = (image,) if parses else (image, image[..., :1])
    network: Any = architecture.network()
    return jax.eval_shape(lambda: network.init(jax.random.key(0), *inputs, train=False))


def _understood(description, model):
    if description["model"] != model:
        raise ValueError(f"it is a {description['model']}, asked for is a {model}")
    architecture, crop = description["architecture"], int(description["crop"])
    if crop < 1:
        raise ValueError(f"crop must be positive, got {crop}")
    return ARCHITECTURES[model](**architecture), crop
