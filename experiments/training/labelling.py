"""Labels a training set with dlib's landmarks, once for each run folder."""

import contextlib
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.common import progress
from experiments.training import materials
from inpaint_jax.io import data, files
from inpaint_jax.landmarks import dlib_host, labels


def label(
    predictor: dlib_host.Predictor, faces: data.Faces, *, crop: int, nudged: bool
) -> labels.Labels:
    """Labels faces with dlib, as `labels.label`, and shows the progress."""
    progress.say(f"labelling {len(faces.images)} faces with dlib")
    watch = functools.partial(progress.over, what="labelling", unit="faces")
    return labels.label(predictor, faces.images, crop=crop, nudged=nudged, watch=watch)


class Labels(NamedTuple):
    """Landmarks from which a network learns, and where they come from.

    Attributes:
      points: (x, y) in pixels, `[count, 68, 2]`.
      flag: that names where they come from.
      given: value of the flag.
    """

    points: Float[np.ndarray, "count 68 2"]
    flag: str
    given: str

    @property
    def material(self) -> materials.Materials:
        """What a run stores of them."""
        return materials.of_arrays(self.flag, self.given, self.points)


class Labelled(NamedTuple):
    """Landmarks of a training set by dlib.

    Attributes:
      points: (x, y) in pixels, `[count, 68, 2]`.
      keep: writes them into `labels.npz` unless they are from there; called when the
        training that they are for is accepted.
    """

    points: Float[np.ndarray, "count 68 2"]
    keep: Callable[[], None]

    def labels(self, flag: str, given: str) -> Labels:
        """Returns them as what a flag gives."""
        return Labels(self.points, flag, given)


def landmarks(
    run_dir: pathlib.Path,
    predictor: dlib_host.Predictor,
    faces: data.Faces,
    *,
    crop: int,
) -> Labelled:
    """Returns dlib's landmarks of the training faces, from `labels.npz` if it fits.

    Args:
      run_dir: folder of `labels.npz`.
      predictor: dlib's model.
      faces: undamaged faces.
      crop: side of their crop in CelebA pixels.
    """
    file = run_dir / "labels.npz"
    pictures = hashlib.sha256(faces.images.tobytes()).hexdigest()
    seen = f"{predictor.sha256} {crop} {pictures}"
    # Missing, damaged or no file at all: the faces are labelled again.
    if os.path.isfile(file):
        with contextlib.suppress(Exception), np.load(file) as stored:
            if str(stored["seen"]) == seen:
                return Labelled(stored["landmarks"], keep=lambda: None)
    points = label(predictor, faces, crop=crop, nudged=True).landmarks

    def keep() -> None:
        with files.replacing(file) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, seen=seen, landmarks=points)

    return Labelled(points, keep)
