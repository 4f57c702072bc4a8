"""Training of the tree cascade (thesis section 2.4; Kazemi and Sullivan 2014).

Algorithm 1 of the thesis is dlib's C++; here are its settings, under the symbols of the
literature, and what drives it. Two things dlib does in its own way. The first shapes
(eq. 2) are, of the R of each face, once the mean shape and otherwise weighted averages
of two training shapes, not single shapes of other faces. And boosting starts from
f_0 = 0, not from the mean residual.
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

# dlib draws pairs of pixels until chance accepts one (eq. 8); with fewer pixels or a
# shorter distance that would take for ever.
_FEWEST_FEATURES, _SHORTEST_DISTANCE = 10, 0.02


@dataclasses.dataclass(frozen=True)
class CascadeSettings:
    """What decides the cascade that comes out; defaults as in the thesis.

    Letters are those of the thesis's section 2.4.

    Attributes:
      levels: T, regressors r_t in the cascade (eq. 1, 3, 4).
      trees: K, weak regressors g_k of a level (Algorithm 1, step 2).
      depth: F, decisions from the root of a tree to a leaf, so 2^F leaves. The thesis
        and the paper say 5; dlib's own default, and its published model, have 4, which
        agrees if the leaves are counted as a fifth layer.
      features: P, pixels of a level that splits choose from (eq. 5, 6), uniform in the
        bounding box of the mean shape.
      candidates: S, random splits tried at a node, of which the best is kept.
      shrinkage: nu in (0, 1], the share of g_k that is added (Algorithm 1, step 2c).
      pair_distance: 1 / lambda of eq. 8 in sides of the face box: two pixels at the
        distance d make a candidate with probability exp(-d / pair_distance). dlib calls
        this `lambda`; the paper's lambda of 0.1 a pixel is the same on a box of 100.
      initial_shapes: R, starts for each face (eq. 2), N = nR in all.
      seed: of every random choice.
      threads: of dlib, which sums in another order, and so trains another cascade, for
        each number of them.
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
        """Refuses what dlib cannot train with.

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

    The same faces and settings give the same bytes. Landmarks are rounded to whole
    pixels first, as dlib takes no others. dlib holds the interpreter until it is done:
    an interrupt waits as long.

    Args:
      faces: to learn from; their images become grey inside dlib.
      settings: of the cascade.
      path: the `.dat` to write; its folder must exist.
      verbose: whether dlib prints how far it is.

    Returns:
      `[faces]`, the error on the training faces, as `errors`.

    Raises:
      InputError: dlib is not installed, or the file cannot be written.
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
    """Measures how far a cascade places the landmarks from where they are.

    Args:
      faces: with the boxes that the cascade starts from.
      path: a dlib model with as many points, from a source that is trusted: dlib does
        not check what it reads.

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
