"""Models as they were parsed, kept in the user's cache folder.

They are only a copy: what is missing or damaged is parsed again from the model's file,
and where nothing can be written nothing is kept.
"""

import contextlib
import os
import pathlib

import numpy as np
from jaxtyping import Int

from inpaint_jax.errors import InputError
from inpaint_jax.io import files
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel


def fetch(digest: str) -> ShapeModel | None:
    """Returns the model that was stored under this name, if there is a sound one.

    Args:
      digest: hash of the content of the model's file, in hexadecimal.
    """
    path = _path(digest)
    if path is None:
        return None
    try:
        # The zip format has checksums, and np.load checks them.
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
            model = ShapeModel(*(stored[name] for name in ShapeModel._fields))
        return model if _is_sound(model) else None
    except Exception:
        # A damaged file fails in many ways; all of them mean that it is of no use.
        return None


def store(digest: str, model: ShapeModel) -> None:
    """Writes a model for `fetch`; where that is not possible, nothing happens."""
    path = _path(digest)
    if path is None:
        return
    with contextlib.suppress(InputError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, **model._asdict())


def _path(digest: str) -> pathlib.Path | None:
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    # A relative path is not to be used, says the XDG specification; without a home
    # folder "~" stays as it is.
    if not os.path.isabs(folder):
        return None
    return pathlib.Path(folder, "inpaint_jax", f"landmarks-{digest}.npz")


def _is_sound(model: ShapeModel) -> bool:
    points, (levels, trees, splits) = len(model.initial), model.first.shape
    features = model.anchor.shape[1]
    split = (levels, trees, splits)
    right = [
        (np.float32, (points, 2)),
        (np.int32, split),
        (np.int32, split),
        (np.float32, split),
        (np.float32, (levels, trees, splits + 1, points, 2)),
        (np.int32, (levels, features)),
        (np.float32, (levels, features, 2)),
    ]
    return (
        [(values.dtype, values.shape) for values in model] == right
        and all(np.isfinite(values).all() for values in model)
        and _within(model.first, features)
        and _within(model.second, features)
        and _within(model.anchor, points)
    )


def _within(indices: Int[np.ndarray, "..."], limit: int) -> bool:
    return bool(indices.min() >= 0 and indices.max() < limit)
