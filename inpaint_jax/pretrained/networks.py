"""Trained models with one network: CE, GFC, GFC's parser, and the landmark net."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax

from inpaint_jax import types
from inpaint_jax.models import context_encoder, face_completion, landmark_net
from inpaint_jax.pretrained import model_files

Architecture = (
    context_encoder.Architecture
    | face_completion.Architecture
    | face_completion.ParserArchitecture
    | landmark_net.Architecture
)


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A network with its weights.

    Attributes:
      architecture: an `Architecture`; its class determines the network.
      crop: side of the training crops in CelebA pixels, see `framing.frame`.
      variables: {"params", "batch_stats"}.
      source: JSON values for reports: path, step, hashes.
      spread: only for a landmark net: factor on all ellipses, fitted on held-out faces.
    """

    architecture: Any
    crop: int
    variables: types.Variables
    source: dict[str, Any]
    spread: float = 1.0

    @property
    def model(self) -> str:
        """The model's name in `KINDS`."""
        return _name(self.architecture)

    @property
    def kind(self) -> model_files.Kind:
        """The model's entry of `KINDS`."""
        return KINDS[self.model]

    @property
    def networks(self) -> dict[str, types.Variables]:
        """{file name: variables} of the one network."""
        (file,) = self.kind.templates(self.architecture)
        return {file: self.variables}

    @property
    def apply(self) -> jax.tree_util.Partial:
        """The network as a function, which is a pytree; rows are independent.

        CE and GFC map (image, mask) to images, the parser maps an image to logits; for
        the landmark net see `landmark_predictor.predict`.
        """
        return model_files.function(self.architecture.network(), self.variables)


def load(path: str | os.PathLike[str], *, model: str) -> Pretrained:
    """Reads a network from a release folder or from a training run's folder.

    Args:
      path: the folder, or "release" for the weights that come with the package.
      model: the kind that it must be of, a key of `KINDS`.

    Raises:
      InputError: as in `model_files.load`.
    """
    fields, loaded = model_files.load(path, kind=KINDS[model])
    (variables,) = loaded.networks.values()
    return Pretrained(**fields, variables=variables, source=loaded.source)


def template(architecture: Architecture) -> types.Variables:
    """Returns the shapes of a network's variables, without computing anything."""
    (found,) = KINDS[_name(architecture)].templates(architecture).values()
    return found


def _name(architecture: Architecture) -> str:
    return next(n for n, k in KINDS.items() if k.architecture is type(architecture))


def _completes(
    name: str, architecture: type[Architecture], *inputs: model_files.Input
) -> model_files.Kind:
    return model_files.Kind(
        name,
        f"experiments.train --model={name}",
        architecture,
        _templates(name, *inputs),
        extras={},
        named=True,
    )


def _templates(
    file: str, *inputs: model_files.Input
) -> Callable[..., dict[str, types.Variables]]:
    return lambda architecture, **_: {
        file: model_files.template(architecture.network(), *inputs)
    }


def _spread(description: Mapping[str, Any]) -> float:
    spread = model_files.typed({"spread": 1.0, **description}, "spread", float)
    if not 0 < spread < float("inf"):
        raise ValueError(f"spread must be positive, got {spread}")
    return spread


export = model_files.export
"""Writes a release of a network."""

KINDS: dict[str, model_files.Kind] = {
    "ce": _completes("ce", context_encoder.Architecture, "image", "mask"),
    "gfc": _completes("gfc", face_completion.Architecture, "image", "mask"),
    "parser": _completes("parser", face_completion.ParserArchitecture, "image"),
    "landmark_net": model_files.Kind(
        "landmark_net",
        "experiments.train_landmarks",
        landmark_net.Architecture,
        _templates("net", "image", "mask"),
        extras={"spread": _spread},
    ),
}
"""The kinds of models with one network, by name."""
