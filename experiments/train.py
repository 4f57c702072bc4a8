"""Trains the networks that a search runs through.

python -m experiments.train --data=folder:faces --run_dir=runs/dcgan
python -m experiments.train --model=encoder --checkpoint=runs/dcgan \
    --data=folder:faces --run_dir=runs/encoder
python -m experiments.train --pack=faces.zip --data=folder:faces
"""

import dataclasses
import functools
import os
import pathlib
from typing import Any

import jax
from absl import flags

from experiments.common import application, options, reporting
from experiments.training import (
    completer_training,
    encoder_training,
    gan_training,
    health,
    reconstruction,
    training,
)
from inpaint_jax.errors import InputError
from inpaint_jax.io import checkpoints, files
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import networks, stablehlo, weights
from inpaint_jax.training import packing

_MODEL = flags.DEFINE_enum(
    "model",
    "gan",
    ["gan", "encoder", *completer_training.MODELS],
    "gan: generator and discriminator; encoder: where a search in --checkpoint's "
    "generator starts; ce, gfc: completion in one pass; parser: of faces, for gfc.",
)
_DATA = flags.DEFINE_string(
    "data",
    None,
    "folder:DIR, zip:FILE, array:FILE or tfds:NAME, with an optional [start:stop]; "
    "several are joined by commas.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where tensorflow-datasets keeps its sets, if not as usual."
)
_VALIDATION = flags.DEFINE_string(
    "validation",
    None,
    "Real faces, as --data, to score each checkpoint by; the best is kept in "
    "RUN_DIR/best.",
)
_RECONSTRUCT = flags.DEFINE_integer(
    "reconstruct", 100, "With --check: how many real faces to redraw; 0: none.", 0
)
_RECONSTRUCT_STEPS = flags.DEFINE_integer(
    "reconstruct_iterations", 300, "Steps of the search for each of them.", 1
)
_CACHE = flags.DEFINE_string(
    "cache", None, "File.npy that keeps the cropped pictures for the next run."
)
_RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of this run; resumed if used.")
_EXPORT = flags.DEFINE_string(
    "export",
    None,
    "Folder to write the release (safetensors) and its networks as programs that need "
    "only JAX (.stablehlo) to when training is done.",
)
_PACK = flags.DEFINE_string(
    "pack",
    None,
    "Train nothing, but write the cropped faces of --data into FILE.zip, at most "
    "1.5 kB each, from which --data=zip:FILE.zip takes them.",
)
_CHECK = flags.DEFINE_string(
    "check",
    None,
    'Train nothing, but judge this --run_dir, release folder or "release" with real '
    "faces in --data that it has not seen; health.json, health.png and neighbours.png "
    "go into --run_dir.",
)
_TRAIN_DATA = flags.DEFINE_string(
    "train_data", None, "Of --check: the faces that it was trained on, as --data."
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "release", "Generator of --model=encoder: a --run_dir or a release."
)
_START_FROM = flags.DEFINE_string(
    "start_from",
    None,
    "Networks that --model=gan starts from, in place of fresh ones: a --run_dir or a "
    "release of the same architecture.",
)
_STEPS = flags.DEFINE_integer("steps", 25_000, "Training steps in all.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of weights, order, z and flips.", 0, 2**32 - 1)
_BATCH = flags.DEFINE_integer("batch_size", 64, "Images a step.", lower_bound=2)
_SIZE = flags.DEFINE_integer("image_size", 64, "Height and width: 64 or 128.")
_CROP = flags.DEFINE_integer(
    "crop", 128, "Side of the crop in CelebA pixels.", lower_bound=16, upper_bound=178
)
_FEATURES = flags.DEFINE_integer("features", 64, "Channels next to the image.", 1)
_Z_DIM = flags.DEFINE_integer("z_dim", 128, "Length of the latent vector.", 1)
_KERNEL = flags.DEFINE_integer("kernel_size", 4, "Side of the kernels.", 2)
_ACTIVATION = flags.DEFINE_enum(
    "activation", "relu", ["relu", "leaky_relu"], "Of the generator's hidden layers."
)
_NORM_G = flags.DEFINE_enum(
    "generator_norm", "batch", ["batch", "none"], "BatchNorm in G, or nothing."
)
_NORM_D = flags.DEFINE_enum(
    "discriminator_norm", "batch", ["batch", "none"], "BatchNorm in D, or nothing."
)
_SPECTRAL = flags.DEFINE_bool(
    "spectral_norm", False, "Divide D's convolutions by their largest singular value."
)
_PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "bfloat16"],
    "In which type convolutions multiply; bfloat16 is for accelerators.",
)
_RATE_G = flags.DEFINE_float("generator_rate", 2e-4, "Adam's rate for G and E.", 0.0)
_RATE_D = flags.DEFINE_float("discriminator_rate", 1e-4, "Adam's rate for D.", 0.0)
_BETA1 = flags.DEFINE_float("beta1", 0.5, "Adam's first decay.", 0.0, 0.999)
_LOG = flags.DEFINE_integer("log_every", 50, "Steps between lines of metrics.", 1)
_SHEET = flags.DEFINE_integer("sample_every", 500, "Steps between sample sheets.", 1)
_SAVE = flags.DEFINE_integer("checkpoint_every", 500, "Steps between checkpoints.", 1)
_MINUTES = flags.DEFINE_float(
    "minutes",
    None,
    "After which training ends, if not by --steps; compilation and the time before a "
    "resumption count.",
    0.01,
)


options.define(gan_training.Recipe, module="experiments.train")
options.define(completer_training.Recipe, module="experiments.train")


def main() -> int:
    """Trains, or goes on training; returns the exit code."""
    application.check_numbers(_RATE_G, _RATE_D, _BETA1, _MINUTES)
    if _PACK.value:
        return _pack(_PACK.value)
    if _CHECK.value:
        return _check_health(_CHECK.value)
    if _EXPORT.value:
        stablehlo.check_available()  # now, and not after hours of training
    if _MODEL.value in completer_training.MODELS:
        return _train_feed_forward(_MODEL.value)
    return _train_encoder() if _MODEL.value == "encoder" else _train_gan()


def _train_gan():
    architecture = _architecture()
    start = _start(architecture)
    settings = _gan_settings("" if start is None else str(start.source))
    run_dir = files.make_directory(application.given(_RUN_DIR))
    faces = _load_data(settings.crop, architecture)
    judge = None
    if _VALIDATION.value:
        judge = gan_training.judged_by(
            _load(_VALIDATION.value, settings.crop, architecture),
            crop=settings.crop,
            z_dim=architecture.z_dim,
        )
    with checkpoints.opened(run_dir) as store:
        run = _run(store, run_dir)
        model = gan_training.run(
            run, faces, architecture, settings, start=start, judge=judge
        )
    return _finish(model, settings, faces)


def _train_encoder():
    model = weights.load(_CHECKPOINT.value)
    settings = encoder_training.Settings(
        data=application.given(_DATA),
        seed=_SEED.value,
        batch_size=_BATCH.value,
        generator_rate=_RATE_G.value,
        beta1=_BETA1.value,
        checkpoint=str(model.source),
    )
    run_dir = files.make_directory(application.given(_RUN_DIR))
    faces = _load_data(model.crop, model.architecture)
    with checkpoints.opened(run_dir) as store:
        run = _run(store, run_dir)
        trained = encoder_training.run(run, faces, model, settings)
    return _finish(trained, settings, faces)


def _train_feed_forward(model):
    settings = completer_training.Settings(
        data=application.given(_DATA),
        seed=_SEED.value,
        batch_size=_BATCH.value,
        crop=_CROP.value,
        generator_rate=_RATE_G.value,
        discriminator_rate=_RATE_D.value,
        beta1=_BETA1.value,
        start_from=_START_FROM.value or "",
    )
    shape: dict[str, Any] = {
        "image_size": _SIZE.value,
        "features": _FEATURES.value,
    }
    if model != "parser":
        recipe = options.read(completer_training.Recipe)
        settings = dataclasses.replace(settings, recipe=recipe)
        shape["kernel_size"] = _KERNEL.value
    if model == "gfc":
        shape["bottleneck"] = _Z_DIM.value
    architecture = _built(networks.KINDS[model].architecture, shape)
    run_dir = files.make_directory(application.given(_RUN_DIR))
    faces = _load_data(settings.crop, architecture)
    train = completer_training.run
    if model == "parser":
        train = completer_training.run_parser
    with checkpoints.opened(run_dir) as store:
        trained = train(_run(store, run_dir), faces, architecture, settings)
    if _EXPORT.value:
        provenance = _provenance(settings, trained, faces)
        networks.export(_EXPORT.value, trained, provenance=provenance)
        print(f"wrote {_EXPORT.value}")
    return 1 if faces.skipped else 0


def _run(store: checkpoints.Store, run_dir: pathlib.Path) -> training.Run:
    keeping = _keeping_flags(run_dir)
    return training.Run(store, run_dir, _schedule(), accepted=keeping)


def _load(source, crop, architecture, *, cache=None):
    return training.load(
        source,
        crop=crop,
        size=architecture.image_size,
        data_dir=_DATA_DIR.value,
        cache=cache,
    )


def _load_data(crop, architecture):
    return _load(application.given(_DATA), crop, architecture, cache=_CACHE.value)


def _load_also(flag, crop, architecture):
    return _load(flag.value, crop, architecture) if flag.value else None


def _finish(model, settings, faces):
    if _EXPORT.value:
        provenance = _provenance(settings, model, faces)
        weights.export(_EXPORT.value, model, provenance=provenance)
        stablehlo.export(_EXPORT.value, model)
        print(f"wrote {_EXPORT.value}")
    return 1 if faces.skipped else 0


def _provenance(settings, model, faces):
    return {
        "command": application.command(without=("run_dir", "export", "sample_every")),
        "settings": options.stored(settings),
        "steps": model.source["step"],
        "images": len(faces.images),
        "environment": reporting.environment(),
    }


def _pack(path):
    files.make_directory(os.path.dirname(path) or ".")
    faces = _load_data(_CROP.value, _architecture())
    print(f"wrote {path}: {packing.pack(path, faces.images)}")
    return 1 if faces.skipped else 0


def _check_health(path):
    model = weights.load(path)
    faces = _load_data(model.crop, model.architecture)
    known = _load_also(_TRAIN_DATA, model.crop, model.architecture)
    log = os.path.join(path, "metrics.jsonl")
    key = jax.random.key(_SEED.value)
    redrawn = None
    if _RECONSTRUCT.value:
        unseen, _ = health.choose(faces, known)
        redrawn = reconstruction.score(
            key,
            model,
            unseen[: _RECONSTRUCT.value],
            iterations=_RECONSTRUCT_STEPS.value,
        )
    found = health.check(
        key,
        model,
        faces,
        known,
        run_dir=application.given(_RUN_DIR),
        log=log if os.path.isfile(log) else None,
        reconstruction=redrawn,
    )
    print("\n".join(found["verdict"]))
    print(f"{'fit' if found['fit'] else 'not fit'} for searching")
    return 1 if faces.skipped or (known and known.skipped) else 0


def _keeping_flags(run_dir):
    return functools.partial(application.write_effective_flags, run_dir)


def _schedule():
    return training.Schedule(
        _STEPS.value,
        _LOG.value,
        save_every=_SAVE.value,
        show_every=_SHEET.value,
        seconds=None if _MINUTES.value is None else 60.0 * _MINUTES.value,
    )


def _architecture():
    return _built(
        dcgan.Architecture,
        {
            "image_size": _SIZE.value,
            "features": _FEATURES.value,
            "z_dim": _Z_DIM.value,
            "kernel_size": _KERNEL.value,
            "activation": _ACTIVATION.value,
            "spectral_norm": _SPECTRAL.value,
            "generator_norm": _NORM_G.value,
            "discriminator_norm": _NORM_D.value,
        },
    )


def _built(architecture, options):
    try:
        return architecture(**options)
    except ValueError as error:
        raise InputError(f"--{error}.") from error


def _start(architecture):
    if not _START_FROM.value:
        return None
    start = weights.load(_START_FROM.value)
    for name, value in dataclasses.asdict(start.architecture).items():
        asked = getattr(architecture, name)
        if asked != value:
            raise InputError(
                f"--{name}={asked}: the networks of --start_from={_START_FROM.value} "
                f"have {value}; give the same."
            )
    return start


def _gan_settings(start_from):
    return gan_training.Settings(
        data=application.given(_DATA),
        seed=_SEED.value,
        batch_size=_BATCH.value,
        crop=_CROP.value,
        generator_rate=_RATE_G.value,
        discriminator_rate=_RATE_D.value,
        beta1=_BETA1.value,
        precision=_PRECISION.value,
        start_from=start_from,
        recipe=options.read(gan_training.Recipe),
    )


if __name__ == "__main__":
    application.run(main)
