"""Training of the tree cascade (thesis 2.4), for `experiments.train_landmarks`."""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.common import reporting
from experiments.training import training
from inpaint_jax.errors import InputError
from inpaint_jax.images import masks
from inpaint_jax.io import files
from inpaint_jax.landmarks import annotation, dlib_host, labelled_faces, labels, trainer

_DEFAULTS = trainer.TrainerSettings()
_SETTINGS = {
    "levels": flags.DEFINE_integer(
        "tree_levels", _DEFAULTS.levels, "T, levels of the cascade.", 1
    ),
    "trees": flags.DEFINE_integer("trees", _DEFAULTS.trees, "K, of each level.", 1),
    "depth": flags.DEFINE_integer(
        "tree_depth", _DEFAULTS.depth, "F, decisions from root to leaf.", 1, 10
    ),
    "features": flags.DEFINE_integer(
        "tree_features", _DEFAULTS.features, "P, pixels that splits compare.", 10
    ),
    "candidates": flags.DEFINE_integer(
        "tree_candidates", _DEFAULTS.candidates, "S, splits tried at a node.", 1
    ),
    "shrinkage": flags.DEFINE_float(
        "shrinkage", _DEFAULTS.shrinkage, "nu, share of a tree that is added.", 1e-6, 1
    ),
    "pair_distance": flags.DEFINE_float(
        "pair_distance",
        _DEFAULTS.pair_distance,
        "1 / lambda of eq. 8 in sides of the face box.",
        0.02,
        1.0,
    ),
    "initial_shapes": flags.DEFINE_integer(
        "initial_shapes", _DEFAULTS.initial_shapes, "R, starts for each face.", 1
    ),
    "threads": flags.DEFINE_integer(
        "threads", _DEFAULTS.threads, "Of dlib; another number, another cascade.", 1
    ),
}
_DAMAGE = flags.DEFINE_list(
    "damage",
    [],
    "Masks under which each picture is learnt once more beside the whole one: all, or "
    "names of masks with commas.",
)
_TEST_DATA = flags.DEFINE_string(
    "test_data", None, "Faces to test the cascade on, as --data."
)


def run(
    source: str,
    run_dir: pathlib.Path,
    *,
    seed: int,
    crop: int,
    size: int,
    landmark_model: str | None,
) -> dict[str, Any]:
    """Trains a cascade and writes `prediction.dat` and `prediction.json`.

    Args:
      source: `xml:FILE` (dlib's XML), `labelled:FILE.npz`, or pictures as
        `data.load` takes them, labelled by dlib's 68-point model.
      run_dir: folder to write to.
      seed: of the trees and the masks.
      crop: side of the crop of pictures in CelebA pixels.
      size: of such pictures.
      landmark_model: that labels such pictures; by default the installed one.

    Returns:
      What `prediction.json` holds; errors are over the distance between the eyes.
    """
    settings = trainer.TrainerSettings(
        seed=seed, **{name: flag.value for name, flag in _SETTINGS.items()}
    )
    whole = _read(source, crop, size, landmark_model)
    copies = [_damaged(whole, name, seed) for name in _damage_names()]
    learnt = labelled_faces.join(whole, *copies)
    path = run_dir / "cascade.dat"
    pixels_off = trainer.train(learnt, settings=settings, path=path)
    report: dict[str, Any] = {
        "settings": dataclasses.asdict(settings),
        "damage": _damage_names(),
        "faces": len(learnt.names),
        "error_train": _mean_error(pixels_off, learnt),
    }
    if _TEST_DATA.value:
        tested = _read(_TEST_DATA.value, crop, size, landmark_model)
        report["error_test"] = _mean_error(trainer.errors(tested, path=path), tested)
        report["faces_test"] = len(tested.names)
    report |= reporting.environment()
    files.write_json(run_dir / "cascade.json", report)
    return report


def _damage_names():
    if _DAMAGE.value == ["all"]:
        return list(masks.MASKS)
    return [masks.named(name)[0] for name in _DAMAGE.value]


def _read(source, crop, size, landmark_model):
    kind, _, path = source.partition(":")
    if kind == "xml":
        return labelled_faces.read_xml(path)
    if kind == "labelled":
        return labelled_faces.read_arrays(path)
    faces = training.load(source, crop=crop, size=size)
    predictor = dlib_host.Predictor(landmark_model)
    found = labels.label(predictor, faces.images, crop=crop, nudged=True)
    return labelled_faces.LabelledFaces(
        images=list(faces.images),
        image_index=np.arange(len(faces.images)),
        boxes=found.box,
        landmarks=found.landmarks,
        names=faces.names,
    )


def _damaged(faces, name, seed):
    # Pictures may differ in size, so each mask is made for itself.
    make = masks.named(name)[1]
    key = jax.random.key(seed)
    holes = [
        make(jax.random.fold_in(key, number), image.shape[:2])
        for number, image in enumerate(faces.images)
    ]
    return labelled_faces.mask_faces(faces, holes)


def _mean_error(pixels_off, faces):
    if faces.landmarks.shape[1] != dlib_host.POINTS:
        raise InputError(
            f"the faces have {faces.landmarks.shape[1]} points; errors are over the "
            f"distance between the eyes, which takes {dlib_host.POINTS}."
        )
    eyes = annotation.eye_distance(faces.landmarks.astype(np.float32))
    return float(np.mean(pixels_off / np.asarray(eyes)))
