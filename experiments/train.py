r"""Trains the networks of a search, and networks that complete faces in one pass.

python -m experiments.train --data=folder:faces --run_dir=runs/dcgan
python -m experiments.train --model=encoder --checkpoint=runs/dcgan \
    --data=folder:faces --run_dir=runs/encoder
python -m experiments.train --pack=faces.zip --data=folder:faces
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import jax

from experiments.common import (
    application,
    options,
    output_folders,
    plots,
    progress,
    reporting,
)
from experiments.training import (
    completer_recipe,
    completer_training,
    encoder_training,
    gan_recipe,
    gan_training,
    health,
    reconstruction,
    train_inputs,
    training,
)
from experiments.training.train_options import Check, Networks, Run, Training
from inpaint_jax.errors import InputError, naming
from inpaint_jax.io import checkpoints, data, sources
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import networks, release_folders, stablehlo, weights
from inpaint_jax.training import packing

OPTIONS = {
    Run: "Run",
    Training: "Training",
    Networks: "Networks",
    Check: "Evaluation of a model",
    gan_recipe.Recipe: "Only for --model=gan",
    completer_recipe.Recipe: "Only for --model=ce and --model=gfc",
}
for _options, _heading in OPTIONS.items():
    options.define(_options, heading=_heading)


def main() -> int:
    """Trains a network or resumes its training; returns the exit code."""
    run, check = options.read(Run), options.read(Check)
    asked, shape = options.read(Training), options.read(Networks)
    if run.pack:
        used = ("data", "data_dir", "cache", "crop", "image_size")
        options.check_used(*OPTIONS, beside="pack", used=used)
        return _pack(run, shape.generator(), crop=asked.crop)
    if check.check:
        if _log(check.check):
            plots.check_available()  # now, and not after minutes of scoring
        given = options.given(run, "run_dir")
        with output_folders.claim(given, flag="run_dir") as run_dir:
            return _check_health(check.check, check, run, run_dir, seed=asked.seed)
    options.given(run, "data")
    given, written = options.given(run, "run_dir"), training.FOLDERS
    with output_folders.claim(given, flag="run_dir", folders=written):
        if run.model in completer_recipe.MODELS:
            return _train_feed_forward(run, asked, shape)
        if run.model == "encoder":
            return _train_encoder(run, asked)
        return _train_gan(run, asked, shape.generator())


def _train_gan(run: Run, asked: Training, architecture: dcgan.Architecture) -> int:
    start = train_inputs.start(asked.pretrained, architecture)
    names = ("seed", "batch_size", "crop", "generator_rate", "discriminator_rate")
    settings = gan_recipe.Settings(
        **asked.shared(*names, "beta1", "precision"),
        data=options.given(run, "data"),
        pretrained="" if start is None else str(start.source),
        recipe=options.read(gan_recipe.Recipe),
    )
    encoder = [] if settings.encodes == "nothing" else ["encoder"]
    _check_export(run, ["generator", "discriminator", *encoder])
    run_dir = options.folder(run, "run_dir")
    faces = train_inputs.training_faces(run, settings.crop, architecture)
    judge = None
    if run.validation:
        judge = gan_training.judged_by(
            train_inputs.faces(
                "validation", run, settings.crop, architecture, data_dir=run.data_dir
            ),
            crop=settings.crop,
            z_dim=architecture.z_dim,
        )
    with checkpoints.opened(run_dir) as store:
        model = gan_training.run(
            _this(store, run_dir, asked),
            faces,
            architecture,
            settings,
            start=start,
            judge=judge,
        )
    return _finish(run, model, settings, faces)


def _train_encoder(run: Run, asked: Training) -> int:
    with naming("--checkpoint", run.checkpoint):
        model = weights.load(run.checkpoint)
    _check_export(run, {*model.networks, "encoder"})
    settings = encoder_training.Settings(
        **asked.shared("seed", "batch_size", "generator_rate", "beta1"),
        data=options.given(run, "data"),
        checkpoint=str(model.source),
    )
    run_dir = options.folder(run, "run_dir")
    faces = train_inputs.training_faces(run, model.crop, model.architecture)
    with checkpoints.opened(run_dir) as store:
        this = _this(store, run_dir, asked)
        trained = encoder_training.run(this, faces, model, settings)
    return _finish(run, trained, settings, faces)


def _train_feed_forward(run: Run, asked: Training, shape: Networks) -> int:
    names = ("seed", "batch_size", "crop", "generator_rate", "discriminator_rate")
    settings = completer_recipe.Settings(
        **asked.shared(*names, "beta1"),
        data=options.given(run, "data"),
        pretrained=asked.pretrained or "",
    )
    train = completer_training.run_parser
    if run.model != "parser":
        recipe = options.read(completer_recipe.Recipe)
        settings = dataclasses.replace(settings, recipe=recipe)
        train = completer_training.run
    architecture = shape.feed_forward(run.model)
    _check_export(run, [run.model])
    run_dir = options.folder(run, "run_dir")
    faces = train_inputs.training_faces(run, settings.crop, architecture)
    with checkpoints.opened(run_dir) as store:
        trained = train(_this(store, run_dir, asked), faces, architecture, settings)
    if run.export:
        provenance = _provenance(settings, trained, faces)
        with naming("--export", run.export):
            networks.export(run.export, trained, provenance=provenance)
        progress.say(f"wrote {run.export}")
    return 1 if faces.skipped else 0


def _this(
    store: checkpoints.Store, run_dir: pathlib.Path, asked: Training
) -> training.Run:
    return training.Run(
        store,
        run_dir,
        asked.schedule,
        accepted=lambda: application.write_effective_flags(run_dir, *OPTIONS),
    )


def _check_export(run: Run, networks: Iterable[str]) -> None:
    """Checks that these networks can be exported: now, not after hours of training."""
    if run.export:
        stablehlo.check_available()
        with naming("--export", run.export):
            release_folders.check_replaceable(run.export, networks)


def _finish(run: Run, model: weights.Model, settings: Any, faces: data.Faces) -> int:
    if run.export:
        provenance = _provenance(settings, model, faces)
        watch = functools.partial(progress.over, what="exporting", unit="programs")
        programs = stablehlo.programs(model, watch=watch)
        with naming("--export", run.export):
            weights.export(run.export, model, provenance=provenance, programs=programs)
        progress.say(f"wrote {run.export}")
    return 1 if faces.skipped else 0


def _provenance(settings: Any, model: Any, faces: data.Faces) -> dict[str, Any]:
    folders = ("run_dir", "export", "sample_every")
    return {
        "command": application.command(*OPTIONS, without=folders),
        "settings": options.stored(settings),
        "steps": model.source["step"],
        "images": len(faces.images),
        "environment": reporting.environment(),
    }


def _pack(run: Run, architecture: dcgan.Architecture, *, crop: int) -> int:
    path = options.output_file(run, "pack", ours=packing.is_packed)
    source = options.given(run, "data")
    if os.path.exists(path) and sources.reads(source, path):
        raise InputError(f"--pack={path}: --data={source} reads it; give another name.")
    faces = train_inputs.training_faces(run, crop, architecture)
    with naming("--pack", path):
        packed = packing.pack(path, faces.images)
    progress.say(f"wrote {path}: {packed}")
    return 1 if faces.skipped else 0


def _check_health(
    path: str, check: Check, run: Run, run_dir: pathlib.Path, *, seed: int
) -> int:
    model = train_inputs.pair("check", path)
    faces = train_inputs.training_faces(run, model.crop, model.architecture)
    known = None
    if check.train_data:
        where = model.crop, model.architecture
        known = train_inputs.faces("train_data", check, *where, data_dir=run.data_dir)
    key = jax.random.key(seed)
    reconstructed = None
    if check.reconstruct:
        unseen, _ = health.choose(faces, known)
        reconstructed = reconstruction.score(
            key,
            model,
            unseen[: check.reconstruct],
            iterations=check.reconstruct_iterations,
        )
    found = health.check(
        key,
        model,
        faces,
        known,
        run_dir=run_dir,
        log=_log(path),
        reconstruction=reconstructed,
    )
    print("\n".join(found["verdict"]))
    print(f"{'fit' if found['fit'] else 'not fit'} for searching")
    return 1 if faces.skipped or (known and known.skipped) else 0


def _log(path: str) -> str | None:
    """Returns the path of the metrics that lie beside a model, or None."""
    found = os.path.join(path, "metrics.jsonl")
    return found if os.path.isfile(found) else None


if __name__ == "__main__":
    application.run(main)
