"""What makes two results the same: hashes of pictures, of weights, of code.

Results are stored under names. Beside a name its identity is stored, so that a file,
a network or a flag file of the same name is never taken for the one that was used.
"""

import functools
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

import inpaint_jax
from inpaint_jax.io import files

_PACKAGES = (
    pathlib.Path(inpaint_jax.__file__).parent,
    pathlib.Path(__file__).parents[1],
)
_SHORT = 16


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


@functools.cache
def of_code() -> str:
    """Returns the version of the code and a hash of its sources, as "2.0+1f0c...".

    A version may change for months before it has another number, and each change may
    change results.
    """
    return f"{inpaint_jax.__version__}+{of_sources(*_PACKAGES)}"


def of_sources(*folders: pathlib.Path) -> str:
    """Returns a short hash of the Python files of packages, by name and content.

    Args:
      *folders: of the packages; what an editor hides in them does not count.
    """
    found = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("[!.]*.py")):
            name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
            found.update(f"{name}: {of_file(path)}\n".encode())
    return found.hexdigest()[:_SHORT]
