"""Training of the tree cascade (thesis section 2.4; Kazemi and Sullivan 2014).

dlib's C++ code runs Algorithm 1 of the thesis; this module calls it. dlib differs in
two things. Of the R initial shapes of each face (eq. 2), one is the mean shape and the
others are weighted averages of two training shapes, not single shapes of other faces.
And boosting starts from f_0 = 0, not from the mean residual.
"""

import dataclasses
import errno
import os
from typing import Any

import numpy as np
from jaxtyping import Float

from inpaint_jax.errors import InputError
from inpaint_jax.io import files
from inpaint_jax.landmarks import dlib_host, labelled_faces

# dlib draws pairs of pixels until one is accepted at random (eq. 8); with fewer pixels
# or a shorter distance that would take for ever.
_FEWEST_FEATURES, _SHORTEST_DISTANCE = 10, 0.02


@dataclasses.dataclass(frozen=True)
class CascadeSettings:
    """Hyperparameters of the cascade; defaults as in the thesis.

    Letters are those of the thesis's section 2.4.

    Attributes:
      levels: number of levels (T), each a regressor r_t (eq. 1, 3, 4).
      trees: number of trees in each level (K; Algorithm 1, step 2).
      depth: depth of each tree (F): decisions from the root to a leaf, so 2^F leaves.
        The thesis and the paper say 5; dlib's own default, and its published model,
        have 4, which agrees if the leaves are counted as a fifth layer.
      features: number of pixels in each level from which splits choose (P; eq. 5, 6),
        uniform in the bounding box of the mean shape.
      candidates: number of random splits tried at a node, of which the best is kept
        (S).
      shrinkage: learning rate of the boosting, in (0, 1] (nu; Algorithm 1, step 2c).
      pair_distance: typical distance between the two pixels of a split, in sides of the
        face box: two pixels at the distance d become a candidate with probability
        exp(-d / pair_distance) (1 / lambda in eq. 8). dlib calls this `lambda`; the
        paper's lambda of 0.1 per pixel is the same on a box of 100 pixels.
      initial_shapes: number of initial shapes for each face (R; eq. 2).
      seed: seed of every random choice.
      threads: number of dlib's threads. Each number sums in another order, and so
        trains another cascade.
    """

    levels: int = 10
    trees: int = 500
    depth: int = 5
    features: int = 400
    candidates: int = 20
    shrinkage: float = 0.1
    pair_distance: float = 0.1
    initial_shapes: int = 20
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        """Checks that each setting is in dlib's range.

        Raises:
          ValueError: a setting is out of its range.
        """
        least = {"features": _FEWEST_FEATURES, "seed": 0}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, int) and value < least.get(field.name, 1):
                raise ValueError(f"{field.name}={value} is too small")
        if not 0.0 < self.shrinkage <= 1.0:
            raise ValueError(f"shrinkage={self.shrinkage} is not in (0, 1]")
        if not _SHORTEST_DISTANCE <= self.pair_distance <= 1.0:
            raise ValueError(
                f"pair_distance={self.pair_distance} is not in "
                f"[{_SHORTEST_DISTANCE}, 1]"
            )


def train(
    faces: labelled_faces.LabelledFaces,
    *,
    settings: CascadeSettings,
    path: str | os.PathLike[str],
    verbose: bool = False,
) -> Float[np.ndarray, " faces"]:
    """Trains a cascade and writes it as a dlib model, whole or not at all.

    The same faces and settings give the same bytes. Landmarks are first rounded to
    whole pixels, which dlib requires. dlib holds the interpreter lock until it is done,
    so an interrupt has to wait.

    Args:
      faces: training faces; dlib converts their images to grey.
      settings: hyperparameters of the cascade.
      path: the `.dat` file to write; its folder must exist.
      verbose: whether dlib prints its progress.

    Returns:
      `[faces]`, the error on the training faces in pixels, as in `errors`.

    Raises:
      InputError: dlib is not installed.
      OutputError: the file cannot be written.
    """
    dlib = dlib_host.import_dlib()
    detections = [[] for _ in faces.images]
    rows = zip(faces.image_index, faces.boxes, faces.landmarks, strict=True)
    for index, box, points in rows:
        parts = [dlib.point(*xy) for xy in np.rint(points).astype(int).tolist()]
        face = dlib.full_object_detection(dlib.rectangle(*box.tolist()), parts)
        detections[index].append(face)
    options = _options(dlib, settings)
    options.be_verbose = verbose
    with files.replacing(path) as temporary:
        model = dlib.train_shape_predictor(list(faces.images), detections, options)
        try:
            # dlib may not notice that the disk is full; reading the file again does.
            model.save(str(temporary))
            return _errors(dlib, faces, temporary)
        except RuntimeError as error:
            raise OSError(errno.EIO, "the file is incomplete") from error


def errors(
    faces: labelled_faces.LabelledFaces, *, path: str | os.PathLike[str]
) -> Float[np.ndarray, " faces"]:
    """Measures the landmark error of a cascade on labelled faces.

    Args:
      faces: faces with their bounding boxes and true landmarks.
      path: a dlib model with as many points, from a trusted source: dlib does not
        check the files that it reads.

    Returns:
      `[faces]`, the mean over the points of the distance in pixels.

    Raises:
      InputError: dlib is not installed, or the file is no such model.
    """
    dlib = dlib_host.import_dlib()
    try:
        return _errors(dlib, faces, path)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"{path}: no dlib model of {faces.landmarks.shape[1]} points ({error})."
        ) from error


def _options(dlib: Any, settings: CascadeSettings) -> Any:
    options = dlib.shape_predictor_training_options()
    options.cascade_depth = settings.levels
    options.num_trees_per_cascade_level = settings.trees
    options.tree_depth = settings.depth
    options.feature_pool_size = settings.features
    options.num_test_splits = settings.candidates
    options.nu = settings.shrinkage
    options.lambda_param = settings.pair_distance
    options.oversampling_amount = settings.initial_shapes
    options.random_seed = str(settings.seed)
    options.num_threads = settings.threads
    return options


def _errors(
    dlib: Any, faces: labelled_faces.LabelledFaces, path: str | os.PathLike[str]
) -> Float[np.ndarray, " faces"]:
    predictor = dlib.shape_predictor(str(path))
    rows = zip(faces.image_index, faces.boxes, strict=True)
    placed = [
        predictor(faces.images[index], dlib.rectangle(*box.tolist())).parts()
        for index, box in rows
    ]
    points = np.array([[(part.x, part.y) for part in face] for face in placed])
    apart = points.reshape(faces.landmarks.shape) - faces.landmarks
    return np.linalg.norm(apart, axis=-1).mean(axis=-1)
