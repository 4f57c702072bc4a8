"""SHA-256 hashes of what is stored, by which damage is noticed when it is read."""

import hashlib
import json
from typing import Any

import jax
import numpy as np


def of_arrays(tree: Any) -> str:
    """Returns the hash of a tree of arrays: names, types, shapes and bytes.

    Args:
      tree: of JAX's or NumPy's arrays. Trees whose leaves have the same paths are the
        same, whatever types their nodes have.
    """
    found = hashlib.sha256()
    named = {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    for name, array in sorted(named.items()):
        found.update(f"{name} {array.dtype} {array.shape}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def of_json(value: Any) -> str:
    """Returns the hash of a JSON value, which is the same when it is read again."""
    read = json.loads(json.dumps(value))  # tuples become lists, numbers as keys text
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()
