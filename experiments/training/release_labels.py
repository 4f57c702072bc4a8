"""Reads and writes landmarks of a release's faces, so that training needs no dlib."""

import os
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.common import progress
from experiments.training import labelling
from inpaint_jax.errors import InputError, reason
from inpaint_jax.io import data, files
from inpaint_jax.landmarks import dlib_host

_ARRAYS = ("landmark_model_sha256", "size", "crop", "faces_names", "validation_names")

Points = Float[np.ndarray, "count 68 2"]


class Landmarks(NamedTuple):
    """Landmarks of the training faces and of the validation faces, in pixels.

    Attributes:
      faces: those of the training faces.
      validation: those of the validation faces.
      path: the file that they were read from.
    """

    faces: Points
    validation: Points
    path: str

    @property
    def learnt(self) -> labelling.Labels:
        """What networks learn from."""
        return labelling.Labels(self.faces, "labels", self.path)


def write(path: str, faces: data.Faces, validation: data.Faces, *, crop: int) -> None:
    """Labels all faces with dlib and writes the file that `read` reads.

    Args:
      path: the .npz file to write.
      faces: training faces.
      validation: validation faces.
      crop: side of their crop in CelebA pixels.
    """
    predictor = dlib_host.Predictor(None)
    arrays: dict[str, Any] = {
        "landmark_model_sha256": predictor.sha256,
        "size": faces.images.shape[1],
        "crop": crop,
    }
    for name, part in (("faces", faces), ("validation", validation)):
        found = labelling.label(predictor, part, crop=crop, nudged=True)
        arrays |= {f"{name}_names": np.array(part.names), name: found.landmarks}
    with files.replacing(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, **arrays)
    progress.say(f"wrote {path}")


def is_ours(path: str | os.PathLike[str]) -> bool:
    """Returns whether a file is one that `write` wrote, by the names of its arrays."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {*_ARRAYS} <= {*stored.files}
    except Exception:  # the parsers fail with BadZipFile and many others
        return False


def read(
    path: str, faces: data.Faces, validation: data.Faces, *, crop: int
) -> Landmarks:
    """Reads the landmarks that `write` wrote.

    Args:
      path: the .npz file.
      faces: all or some of the labelled training faces, identified by their names.
      validation: all or some of the labelled validation faces.
      crop: side of their crop in CelebA pixels.

    Raises:
      InputError: the file cannot be read, lacks a face, or is for another size or crop.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            made = {name: int(stored[name]) for name in ("size", "crop")}
            named = {
                part: (list(stored[f"{part}_names"]), stored[part])
                for part in ("faces", "validation")
            }
    except Exception as error:
        # The parsers of zip files and headers fail with BadZipFile and many others.
        raise InputError(
            f"--labels={path}: cannot be read ({reason(error)}); make it with "
            "--labels_only."
        ) from error
    wanted = {"size": faces.images.shape[1], "crop": crop}
    if made != wanted:
        raise InputError(
            f"--labels={path}: made for faces of {made}, but these are of {wanted}; "
            "make it anew with --labels_only."
        )
    return Landmarks(
        _of(path, faces, *named["faces"]),
        _of(path, validation, *named["validation"]),
        path,
    )


def _of(
    path: str,
    part: data.Faces,
    names: list[str],
    points: Float[np.ndarray, "labelled 68 2"],
) -> Points:
    place = {name: i for i, name in enumerate(names)}
    missing = [name for name in part.names if name not in place]
    if missing or points.shape != (len(names), 68, 2):
        raise InputError(
            f"--labels={path}: has no landmarks of {len(missing)} of the "
            f"{len(part.names)} faces, as {(missing or part.names)[0]}; make it anew "
            "with --labels_only."
        )
    return np.asarray(points[[place[name] for name in part.names]], np.float32)
