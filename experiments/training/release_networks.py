"""The networks of a release: the architecture and the training of each.

No training needs dlib. Each network but the parser is the checkpoint with the best
score on the validation faces.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax

from experiments.common import options
from experiments.training import (
    completer_recipe,
    completer_training,
    encoder_training,
    gan_recipe,
    gan_training,
    landmark_check,
    landmark_training,
    release_files,
    release_scores,
)
from experiments.training.release_job import Done, Job
from inpaint_jax.errors import InputError
from inpaint_jax.io import checkpoints
from inpaint_jax.models import context_encoder, dcgan, face_completion, landmark_net
from inpaint_jax.pretrained import landmark_predictor, networks, weights


def _generator(job: Job) -> Done:
    wanted = job.wanted
    architecture = dcgan.Architecture(
        image_size=wanted.image_size,
        features=wanted.features(64),
        z_dim=256,
        kernel_size=5,
        discriminator_norm="none",
    )
    settings = gan_recipe.Settings(
        **wanted.settings,
        crop=wanted.crop,
        generator_rate=4e-4,
        discriminator_rate=4e-4,
        beta1=0.0,
        precision=wanted.precision,
        pretrained="",
        recipe=wanted.recipe,
    )
    judge = release_scores.of_samples(
        job.validation,
        z_dim=architecture.z_dim,
        predictor=networks.load("release", model="landmark_net"),
    )
    with job.run("generator") as run:
        gan_training.run(run, job.faces, architecture, settings, judge=judge)
    return _model(job, "generator", options.stored(settings))


def _encoder(job: Job) -> Done:
    model = weights.load(job.best("generator"))
    settings = encoder_training.Settings(
        **job.wanted.settings,
        generator_rate=5e-4,
        beta1=0.5,
        checkpoint=str(model.source),
    )
    judge = release_scores.of_guesses(job.validation, model)
    with job.run("encoder") as run:
        encoder_training.run(run, job.faces, model, settings, judge=judge)
    return _model(job, "encoder", options.stored(settings))


def _model(job: Job, name: str, settings: dict[str, Any]) -> Done:
    best = job.best(name)
    about = job.about(settings, best)
    model = weights.load(best)
    provenance = {"generator": _generators_provenance(job, name), name: about}
    export = functools.partial(weights.export, model=model, provenance=provenance)
    return Done("dcgan", export, about)


def _generators_provenance(job: Job, name: str) -> dict[str, Any]:
    if name == "generator":
        return {}
    stored = release_files.read(job.output_dir).get("networks", {})
    return stored.get("generator", {})


def _landmarks(job: Job) -> Done:
    wanted = job.wanted
    architecture = landmark_net.Architecture(
        image_size=wanted.image_size,
        features=wanted.features(36),
        hidden=wanted.features(256),
    )
    settings = landmark_training.Settings(
        **wanted.settings,
        pretrained=None,
        steps=0,
        crop=wanted.crop,
        learning_rate=2e-3,
        weight_decay=0.05,
    )
    truth = job.landmarks
    judge = release_scores.of_landmarks(job.validation, truth.validation, architecture)
    with job.run("landmarks") as run:
        landmark_training.run(
            run, job.faces, truth.learnt, architecture, settings, judge=judge
        )
    best = job.best("landmarks")
    about = job.about(options.stored(settings), best)
    net = networks.load(best, model="landmark_net")
    spread = landmark_check.fitted_spread(
        jax.random.key(wanted.seed),
        landmark_predictor.predict(net),
        job.validation,
        truth.validation,
    )
    net = dataclasses.replace(net, spread=spread)
    export = functools.partial(networks.export, model=net, provenance=about)
    return Done("landmark_net", export, about)


def _feed_forward(
    job: Job,
    name: str,
    architecture: networks.Architecture,
    recipe: completer_recipe.Recipe | None = None,
) -> Done:
    wanted = job.wanted
    settings = completer_recipe.Settings(
        **wanted.settings,
        crop=wanted.crop,
        generator_rate=1e-3,
        discriminator_rate=1e-4,
        beta1=0.5,
        pretrained="",
        recipe=recipe or completer_recipe.Recipe(),
    )
    with job.run(name) as run:
        what = (run, job.faces, architecture, settings)
        if name == "parser":
            completer_training.run_parser(*what, labels=job.landmarks.learnt)
        else:
            judge = release_scores.of_completion(job.validation)
            completer_training.run(*what, judge=judge)
    best = job.folder(name) if name == "parser" else job.best(name)
    about = job.about(options.stored(settings), best)
    network = networks.load(best, model=name)
    export = functools.partial(networks.export, model=network, provenance=about)
    return Done(None if name == "parser" else name, export, about)


def _parser(job: Job) -> Done:
    wanted = job.wanted
    architecture = face_completion.ParserArchitecture(
        image_size=wanted.image_size, features=wanted.features(16)
    )
    return _feed_forward(job, "parser", architecture)


def _ce(job: Job) -> Done:
    wanted = job.wanted
    architecture = context_encoder.Architecture(
        image_size=wanted.image_size, features=wanted.features(40)
    )
    recipe = completer_recipe.Recipe(
        lambda_global=0.0001, critic_features=wanted.features(32)
    )
    return _feed_forward(job, "ce", architecture, recipe)


def _gfc(job: Job) -> Done:
    wanted = job.wanted
    architecture = face_completion.Architecture(
        image_size=wanted.image_size,
        features=wanted.features(32),
        bottleneck=wanted.features(192),
    )
    parser = job.folder("parser")
    if not checkpoints.is_run(parser):
        raise InputError(f"--only: parser is missing in {job.run_dir}; train it first.")
    recipe = completer_recipe.Recipe(
        overlap=0,
        lambda_global=0.0001,
        lambda_local=0.0001,
        lambda_parsing=0.002,
        parser=str(parser),
        critic_features=wanted.features(32),
    )
    return _feed_forward(job, "gfc", architecture, recipe)


NETWORKS: dict[str, Callable[[Job], Done]] = {
    "generator": _generator,
    "encoder": _encoder,
    "landmarks": _landmarks,
    "parser": _parser,
    "ce": _ce,
    "gfc": _gfc,
}
"""{name: function that trains the network}, in the order of training."""
