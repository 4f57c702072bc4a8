"""Completions of faces in a folder: each picture, and its face embedding beside it."""

import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from experiments.evaluation import scoring
from inpaint_jax.errors import InputError
from inpaint_jax.io import files, picture_files
from inpaint_jax.landmarks import embedding

Embeddings = Float32[np.ndarray, "faces 128"]


def write(
    folder: pathlib.Path,
    names: Sequence[str],
    images: scoring.Pictures,
    embeddings: Embeddings,
) -> None:
    """Writes `NAME.png` and `NAME.npy` of some faces.

    Args:
      folder: is made if need be.
      names: of the faces.
      images: the pictures.
      embeddings: their face embeddings.
    """
    files.make_directory(folder)
    for name, image, row in zip(names, images, embeddings, strict=True):
        picture, other = files_of(folder, name)
        picture_files.write(picture, image)
        with files.replacing(other) as temporary, open(temporary, "wb") as stream:
            np.save(stream, row)


def files_of(folder: pathlib.Path, name: str) -> list[pathlib.Path]:
    """Returns the files of a face in a folder."""
    return [folder / f"{name}.png", folder / f"{name}.npy"]


def is_whole(path: pathlib.Path, *, size: int) -> bool:
    """Returns whether a picture or an embedding is there and can be read.

    Args:
      path: the file.
      size: height and width of a picture.
    """
    try:
        if path.suffix == ".png":
            return picture_files.read(path).shape == (size, size, 3)
        _embedding(path)
    except InputError:
        return False
    return True


def read_embeddings(folder: pathlib.Path, names: Sequence[str]) -> Embeddings:
    """Returns the embeddings of faces.

    Args:
      folder: as in `write`.
      names: of the faces.

    Raises:
      InputError: one cannot be read.
    """
    return np.stack([_embedding(folder / f"{name}.npy") for name in names])


def _embedding(path: pathlib.Path) -> Float32[np.ndarray, " 128"]:
    try:
        with files.reading(path) as stream:
            row = np.load(stream, allow_pickle=False)
    except Exception as error:  # the parser fails with EOFError and many others
        raise InputError(
            f"{path}: cannot be read; remove it, and start again."
        ) from error
    if row.shape != (embedding.DIMENSIONS,) or row.dtype != np.float32:
        raise InputError(f"{path}: is no face embedding; remove it, and start again.")
    return row
