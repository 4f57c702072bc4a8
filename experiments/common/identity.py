"""What makes two results the same: hashes of pictures, of weights, and the version.

Results are stored under names. Beside a name its identity is stored, so that a file,
a network or a flag file of the same name is never taken for the one that was used.
"""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

import inpaint_jax
from inpaint_jax.io import files


def of_file(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file's bytes, in hex.

    Raises:
      OSError: it is no regular file, or cannot be read.
    """
    with files.reading(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_array(array: np.ndarray) -> str:
    """Returns the SHA-256 of an array's values, in hex."""
    return hashlib.sha256(array.tobytes()).hexdigest()


def of_model(source: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the hashes of a model's weights; it may be moved and trained on.

    Args:
      source: `source` of a model, as of `weights.Model`.
    """
    return dict(source.get("sha256", source))


def of_code() -> str:
    """Returns the version of the code."""
    return inpaint_jax.__version__
