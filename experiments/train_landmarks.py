"""Trains what places landmarks: the net for damaged faces, or dlib's tree cascade.

python -m experiments.train_landmarks --data=folder:faces --run_dir=runs/landmarks
python -m experiments.train_landmarks --model=cascade --data=xml:faces.xml \
    --run_dir=runs/cascade
"""

import dataclasses
import functools

import jax
from absl import flags

from experiments.common import application, reporting
from experiments.training import (
    labelling,
    landmark_check,
    landmark_training,
    training,
    tree_cascade,
)
from inpaint_jax.errors import InputError
from inpaint_jax.io import checkpoints, files
from inpaint_jax.landmarks import dlib_host, labels
from inpaint_jax.models import landmark_net
from inpaint_jax.pretrained import networks

_MODEL = flags.DEFINE_enum(
    "model", "net", ["net", "cascade"], "net: for damaged faces; cascade: thesis 2.4."
)
_DATA = flags.DEFINE_string(
    "data",
    None,
    "Faces, as --data of experiments.train, labelled by dlib; for the cascade also "
    "xml:FILE (dlib's) or labelled:FILE.npz.",
)
_VALIDATION = flags.DEFINE_string(
    "validation", None, "Other faces, as --data, to fit the size of the ellipses on."
)
_CHECK = flags.DEFINE_string(
    "check",
    None,
    'Train nothing, but measure this --run_dir, release folder or "release" on the '
    "faces of --check_data beside simpler guesses that learn from --data; writes "
    "landmarks.json into --run_dir.",
)
_CHECK_DATA = flags.DEFINE_string("check_data", None, "Faces for --check, as --data.")
_RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of this run; resumed if used.")
_EXPORT = flags.DEFINE_string(
    "export", None, "Folder to write safetensors to when training is done."
)
_LANDMARK_MODEL = flags.DEFINE_string(
    "landmark_model", None, "dlib's 68-point model; by default the installed one."
)
_START_FROM = flags.DEFINE_string(
    "start_from", None, "Net to go on from, as --check; by default a new one."
)
_STEPS = flags.DEFINE_integer("steps", 10_000, "Training steps in all.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of weights, order and masks.", 0, 2**32 - 1)
_BATCH = flags.DEFINE_integer("batch_size", 64, "Images a step.", lower_bound=7)
_SIZE = flags.DEFINE_integer("image_size", 64, "Height and width, a multiple of 16.")
_CROP = flags.DEFINE_integer(
    "crop", 128, "Side of the crop in CelebA pixels.", lower_bound=16, upper_bound=178
)
_FEATURES = flags.DEFINE_integer("features", 32, "Channels at half size.", 1)
_HIDDEN = flags.DEFINE_integer("hidden", 256, "Width of the last hidden layer.", 1)
_RATE = flags.DEFINE_float(
    "learning_rate",
    1e-3,
    "AdamW's highest; it rises for 200 steps and falls to 0.",
    0.0,
)
_DECAY = flags.DEFINE_float("weight_decay", 0.05, "AdamW's.", 0.0)
_LOG = flags.DEFINE_integer("log_every", 50, "Steps between lines of metrics.", 1)
_SAVE = flags.DEFINE_integer("checkpoint_every", 500, "Steps between checkpoints.", 1)


def main() -> int:
    """Trains or measures; returns the exit code."""
    run_dir = files.make_directory(application.given(_RUN_DIR))
    if _CHECK.value:
        return _check(_CHECK.value, run_dir)
    if _MODEL.value == "cascade":
        return _train_cascade(run_dir)
    architecture, settings = _from_flags()
    predictor = dlib_host.Predictor(_LANDMARK_MODEL.value)
    faces = training.load(
        settings.data, crop=settings.crop, size=architecture.image_size
    )
    truth = labelling.landmarks(run_dir, predictor, faces, crop=settings.crop)
    keep_flags = functools.partial(application.write_effective_flags, run_dir)
    with checkpoints.opened(run_dir) as store:
        run = training.Run(store, run_dir, _schedule(), accepted=keep_flags)
        net = landmark_training.run(run, faces, truth, architecture, settings)
    if _EXPORT.value:
        _export(_EXPORT.value, net, settings, predictor, images=len(faces.images))
    return 1 if faces.skipped else 0


def _schedule():
    return training.Schedule(
        _STEPS.value, _LOG.value, save_every=_SAVE.value, show_every=_SAVE.value
    )


def _train_cascade(run_dir):
    application.write_effective_flags(run_dir, tree_cascade)
    report = tree_cascade.run(
        application.given(_DATA),
        run_dir,
        seed=_SEED.value,
        crop=_CROP.value,
        size=_SIZE.value,
        landmark_model=_LANDMARK_MODEL.value,
    )
    line = f"{run_dir / 'cascade.dat'}: error {report['error_train']:.4f} in training"
    if "error_test" in report:
        line += f", {report['error_test']:.4f} on other faces"
    print(line)
    return 0


def _check(path, run_dir):
    net = networks.load(path, model="landmark_net")
    size = net.architecture.image_size
    predictor = dlib_host.Predictor(_LANDMARK_MODEL.value)
    known = training.load(application.given(_DATA), crop=net.crop, size=size)
    truth = labelling.landmarks(run_dir, predictor, known, crop=net.crop)
    faces = training.load(application.given(_CHECK_DATA), crop=net.crop, size=size)
    key = jax.random.key(_SEED.value)
    found = landmark_check.check(key, net, predictor, faces, known=(known, truth))
    found |= {"net": net.source, "spread": net.spread, **reporting.environment()}
    files.write_json(run_dir / "landmarks.json", found)
    for mask, guesses in found["nme"].items():
        errors = ", ".join(f"{g} {e['all']:.4f}" for g, e in guesses.items())
        print(f"{mask}: {errors}")
    return 0


def _export(directory, net, settings, predictor, *, images):
    if _VALIDATION.value:
        faces = training.load(
            _VALIDATION.value, crop=net.crop, size=net.architecture.image_size
        )
        truth = labels.label(predictor, faces.images, crop=net.crop, nudged=False)
        key = jax.random.key(settings.seed)
        spread = landmark_check.fitted_spread(key, net, faces, truth.landmarks)
        net = dataclasses.replace(net, spread=spread)
    provenance = {
        "command": application.command(without=("run_dir", "export")),
        "settings": dataclasses.asdict(settings),
        "images": images,
        "landmark_model_sha256": predictor.sha256,
        "environment": reporting.environment(),
    }
    networks.export(directory, net, provenance=provenance)
    print(f"wrote {directory}")


def _from_flags():
    application.check_numbers(_RATE, _DECAY)
    try:
        architecture = landmark_net.Architecture(
            image_size=_SIZE.value, features=_FEATURES.value, hidden=_HIDDEN.value
        )
    except ValueError as error:
        raise InputError(f"--{error}.") from error
    return architecture, landmark_training.Settings(
        data=application.given(_DATA),
        start_from=_START_FROM.value,
        seed=_SEED.value,
        steps=_STEPS.value,
        batch_size=_BATCH.value,
        crop=_CROP.value,
        learning_rate=_RATE.value,
        weight_decay=_DECAY.value,
    )


if __name__ == "__main__":
    application.run(main)
