"""Writes and reads classifiers of apparent attributes, a release of their own."""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.evaluation.attributes import Classifier
from inpaint_jax.landmarks import embedding
from inpaint_jax.pretrained import release_folders, releases

NAME = "attributes"
_SHAPES = {"weights": (embedding.DIMENSIONS,), "bias": (1,)}


def load(path: str | os.PathLike[str], attribute: str) -> Classifier:
    """Reads the classifier of an attribute.

    Args:
      path: folder of the release, or "release" for the one in the package.
      attribute: its name, as "male".

    Raises:
      InputError: there is no such classifier.
    """
    loaded = releases.load(
        path,
        name=NAME,
        application="experiments.train_attribute",
        templates=_templates,
    )
    if attribute not in loaded.networks:
        raise InputError(
            f"{path}: has no classifier of {attribute!r}, but of "
            f"{', '.join(loaded.networks)}."
        )
    found = loaded.networks[attribute]["params"]
    return Classifier(np.asarray(found["weights"]), np.asarray(found["bias"]))


def export(
    directory: str | os.PathLike[str],
    attribute: str,
    classifier: Classifier,
    *,
    crop: int,
    provenance: dict[str, Any],
) -> None:
    """Writes a release of one classifier.

    Args:
      directory: folder to write to.
      attribute: its name.
      classifier: its weights.
      crop: side of the faces in CelebA pixels, of which the embeddings were.
      provenance: JSON values: data, command, scores.

    Raises:
      InputError: the folder holds other files than a release of this attribute.
      OutputError: it cannot be written.
    """
    release_folders.check_replaceable(directory, [attribute])
    releases.export(
        directory,
        {attribute: {"params": classifier._asdict()}},
        description={
            "architecture": {"linear": "of dlib's face embedding", "of": [attribute]},
            "crop": crop,
            "provenance": provenance,
        },
    )


def _templates(description: dict[str, Any]) -> dict[str, types.Variables]:
    shapes = {
        name: jax.ShapeDtypeStruct(shape, jnp.float32)
        for name, shape in _SHAPES.items()
    }
    names = description["architecture"].get("of")
    if not isinstance(names, list):
        raise ValueError("it is no classifier of attributes")
    return {str(name): {"params": shapes} for name in names}
