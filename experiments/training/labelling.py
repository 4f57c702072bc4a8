"""Landmarks of a training set by dlib, made once for each run folder."""

import functools
import hashlib
import pathlib

import numpy as np
from jaxtyping import Float

from experiments.common import progress
from inpaint_jax.io import data, files
from inpaint_jax.landmarks import dlib_host, labels


def label(
    predictor: dlib_host.Predictor, faces: data.Faces, *, crop: int, nudged: bool
) -> labels.Labels:
    """Labels faces as `labels.label` does, and tells how many are done."""
    progress.say(f"labelling {len(faces.images)} faces with dlib")
    watch = functools.partial(progress.over, what="labelling", unit="faces")
    return labels.label(predictor, faces.images, crop=crop, nudged=nudged, watch=watch)


def landmarks(
    run_dir: pathlib.Path,
    predictor: dlib_host.Predictor,
    faces: data.Faces,
    *,
    crop: int,
) -> Float[np.ndarray, "count 68 2"]:
    """Labels the faces, or takes the labels of an interrupted run.

    Args:
      run_dir: folder that keeps them, in `labels.npz`.
      predictor: dlib's model.
      faces: undamaged.
      crop: side of their crop in CelebA pixels.
    """
    file = run_dir / "labels.npz"
    pictures = hashlib.sha256(faces.images.tobytes()).hexdigest()
    seen = f"{predictor.sha256} {crop} {pictures}"
    try:
        with np.load(file, allow_pickle=False) as stored:
            if str(stored["seen"]) == seen:
                return stored["landmarks"]
    except Exception:
        # Missing or damaged: the faces are labelled again.
        pass
    found = label(predictor, faces, crop=crop, nudged=True)
    with files.replacing(file) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, seen=seen, landmarks=found.landmarks)
    return found.landmarks
