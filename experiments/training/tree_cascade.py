"""Trains the tree cascade (thesis section 2.4) for `experiments.train_landmarks`."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.common import options, progress, reporting
from experiments.common.fields import About
from experiments.common.options import option
from experiments.training import (
    face_sets,
    labelling,
)
from inpaint_jax.errors import InputError, naming
from inpaint_jax.images import masks
from inpaint_jax.io import files
from inpaint_jax.landmarks import (
    annotation,
    cascade_training,
    dlib_host,
    labelled_faces,
)

_SOME = About(least=1)


@dataclasses.dataclass(frozen=True)
class Cascade:
    """Hyperparameters and data of the cascade."""

    settings: cascade_training.CascadeSettings = options.nested(
        cascade_training.CascadeSettings(),
        without=("seed",),
        levels=About(name="tree_levels", least=1),
        trees=_SOME,
        depth=About(name="tree_depth", least=1, most=10),
        features=About(name="tree_features", least=10),
        candidates=About(name="tree_candidates", least=1),
        shrinkage=About(least=1e-6, most=1),
        pair_distance=About(least=0.02, most=1.0),
        initial_shapes=_SOME,
        threads=_SOME,
    )
    damage: tuple[str, ...] = option(
        (),
        "Names of masks under which a damaged copy of each picture is added to the "
        "training data, or all.",
    )
    test_data: str | None = option(
        None, "Held-out faces to test the cascade on, as --data."
    )


options.define(Cascade, heading="Only for --model=cascade")


def run(
    source: str,
    run_dir: pathlib.Path,
    asked: Cascade,
    *,
    seed: int,
    crop: int,
    size: int,
    landmark_model: str | None,
    accepted: Callable[[], None],
) -> dict[str, Any]:
    """Trains a cascade and writes `cascade.dat` and `cascade.json`.

    Args:
      source: `xml:FILE` (dlib's XML), `labelled:FILE.npz`, or pictures as for
        `data.load`, which dlib's 68-point model labels.
      run_dir: folder to write to.
      asked: hyperparameters and further data.
      seed: seed of the trees and the masks.
      crop: side of the pictures' crop in CelebA pixels; not for labelled sources.
      size: side of the cropped pictures in pixels; not for labelled sources.
      landmark_model: file of dlib's model; None for the installed one.
      accepted: called once before anything is written, after all checks.

    Returns:
      The content of `cascade.json`; errors are over the distance between the eyes.
    """
    settings = dataclasses.replace(asked.settings, seed=seed)
    damage = _damage_names(asked.damage)
    where, tested = (crop, size, landmark_model), None
    if asked.test_data:
        tested = _read("--test_data", asked.test_data, *where)
    whole = _read("--data", source, *where)
    learnt = labelled_faces.join(whole, *(_damaged(whole, n, seed) for n in damage))
    accepted()
    path = run_dir / "cascade.dat"
    progress.say(f"training the cascade on {len(learnt.names)} faces")
    pixels_off = cascade_training.train(learnt, settings=settings, path=path)
    report: dict[str, Any] = {
        "settings": dataclasses.asdict(settings),
        "damage": damage,
        "faces": len(learnt.names),
        "error_train": _mean_error(pixels_off, learnt),
    }
    if tested is not None:
        report |= _tested(tested, path)
    report |= reporting.environment()
    files.write_json(run_dir / "cascade.json", report)
    return report


def _tested(faces: labelled_faces.LabelledFaces, path: pathlib.Path) -> dict[str, Any]:
    pixels_off = cascade_training.errors(faces, path=path)
    error = _mean_error(pixels_off, faces)
    return {"error_test": error, "faces_test": len(faces.names)}


def _damage_names(given: tuple[str, ...]) -> list[str]:
    if given == ("all",):
        return list(masks.MASKS)
    with naming("--damage", ",".join(given)):
        return [masks.named(name)[0] for name in given]


def _read(
    flag: str, source: str, crop: int, size: int, landmark_model: str | None
) -> labelled_faces.LabelledFaces:
    kind, _, path = source.partition(":")
    readers = {"xml": labelled_faces.read_xml, "labelled": labelled_faces.read_arrays}
    if kind in readers:
        with naming(flag, source):
            labelled = readers[kind](path)
        _check_points(flag, labelled)
        return labelled
    faces = face_sets.load(source, flag=flag, crop=crop, size=size)
    with naming("--landmark_model", landmark_model):
        predictor = dlib_host.Predictor(landmark_model)
    found = labelling.label(predictor, faces, crop=crop, nudged=True)
    return labelled_faces.LabelledFaces(
        images=list(faces.images),
        image_index=np.arange(len(faces.images)),
        boxes=found.box,
        landmarks=found.landmarks,
        names=faces.names,
    )


def _damaged(
    faces: labelled_faces.LabelledFaces, name: str, seed: int
) -> labelled_faces.LabelledFaces:
    # Pictures may differ in size, so masks are made one by one.
    make = masks.named(name)[1]
    key = jax.random.key(seed)
    holes = [
        make(jax.random.fold_in(key, number), image.shape[:2])
        for number, image in enumerate(faces.images)
    ]
    return labelled_faces.mask_faces(faces, holes)


def _check_points(flag: str, faces: labelled_faces.LabelledFaces) -> None:
    points = faces.landmarks.shape[1]
    if points != dlib_host.POINTS:
        raise InputError(
            f"{flag}: the faces have {points} points; errors are over the distance "
            f"between the eyes, which takes {dlib_host.POINTS}."
        )


def _mean_error(
    pixels_off: Float[np.ndarray, " faces"], faces: labelled_faces.LabelledFaces
) -> float:
    eyes = annotation.eye_distance(jnp.asarray(faces.landmarks, jnp.float32))
    return float(np.mean(pixels_off / np.asarray(eyes)))
