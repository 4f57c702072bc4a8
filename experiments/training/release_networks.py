"""The networks of a release: how large each is, and how it is trained.

None of it needs dlib, and each network is chosen among its checkpoints by its score on
the validation faces.
"""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import jax

from experiments.common import options
from experiments.common.options import option
from experiments.training import (
    completer_training,
    encoder_training,
    gan_training,
    landmark_check,
    landmark_training,
    release_files,
    release_scores,
    training,
)
from inpaint_jax.errors import InputError
from inpaint_jax.io import checkpoints, data
from inpaint_jax.models import context_encoder, dcgan, face_completion, landmark_net
from inpaint_jax.pretrained import landmark_predictor, networks, weights

_ENDLESS = 1_000_000_000
# Checkpoints of one network.
_CHECKPOINTS = 4


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What decides the networks that come out."""

    data: str = option("", "Faces to learn from, see experiments.train.")
    minutes: float = option(
        10.0,
        "Minutes for all networks, compilation and writing included.",
        least=0.01,
    )
    image_size: int = option(64, "Height and width in pixels: 64 or 128.")
    crop: int = option(128, "Side of the crop in CelebA pixels.", least=16, most=178)
    width: float = option(
        1.0,
        "Of all networks, as a share of the release's numbers of channels.",
        least=1e-3,
        most=4.0,
    )
    batch_size: int = option(256, "Images a step.", least=16)
    seed: int = option(0, "Of everything.", least=0, most=2**32 - 1)
    precision: Literal["auto", "float32", "bfloat16"] = option(
        "auto",
        "In which type the convolutions of G, D and E multiply; auto: bfloat16 on "
        "accelerators.",
    )
    recipe: gan_training.Recipe = gan_training.Recipe()

    def __post_init__(self):
        """Refuses a size of which there are no networks.

        Raises:
          InputError: so it is.
        """
        try:
            dcgan.Architecture(image_size=self.image_size)
        except ValueError as error:
            raise InputError(f"--{error}.") from error

    @property
    def settings(self) -> dict[str, Any]:
        """What the settings of all networks' trainings share."""
        return {"data": self.data, "seed": self.seed, "batch_size": self.batch_size}

    def features(self, count: int) -> int:
        """Returns a number of channels, made wider or narrower."""
        return max(2, round(self.width * count))


@dataclasses.dataclass(frozen=True)
class Job:
    """What each network's training needs; `seconds` is that network's time."""

    wanted: Wanted
    faces: data.Faces
    validation: data.Faces
    landmarks: release_files.Landmarks
    run_dir: pathlib.Path
    output_dir: pathlib.Path
    provenance: dict[str, Any]
    began: float = 0.0
    seconds: float = 0.0

    @contextlib.contextmanager
    def run(self, name: str) -> Iterator[training.Run]:
        """Opens the run of one network, which goes on until its time is over."""
        schedule = training.Schedule(
            steps=_ENDLESS,
            log_every=50,
            save_every=_ENDLESS,
            show_every=_ENDLESS,
            seconds=self.seconds,
            save_seconds=self.seconds / _CHECKPOINTS,
        )
        folder = self.folder(name)
        with checkpoints.opened(folder) as store:
            yield training.Run(store, folder, schedule, began=self.began)

    def folder(self, name: str) -> pathlib.Path:
        """Folder of one network's checkpoints."""
        return self.run_dir / name

    def best(self, name: str) -> pathlib.Path:
        """Folder of one network's best checkpoint.

        Raises:
          InputError: it was not trained yet.
        """
        folder = self.folder(name) / "best"
        if not checkpoints.is_run(folder):
            raise InputError(
                f"--only: {name} is missing in {self.run_dir}; train it first."
            )
        return folder

    def about(self, settings: dict[str, Any], path: pathlib.Path) -> dict[str, Any]:
        """Provenance of one network."""
        step, meta = checkpoints.read_meta(path)
        return {
            **self.provenance,
            "settings": settings,
            "steps": step,
            "images_seen": step * self.wanted.batch_size,
            "seconds": round(meta["seconds"], 1),
            "validation_score": meta.get("score"),
        }


class Done(NamedTuple):
    """A trained network: its folder in the release, None if it is no part of it."""

    folder: str | None
    export: Callable[[str], None]
    about: dict[str, Any]


def _generator(job: Job) -> Done:
    wanted = job.wanted
    architecture = dcgan.Architecture(
        image_size=wanted.image_size,
        features=wanted.features(64),
        z_dim=256,
        kernel_size=5,
        discriminator_norm="none",
    )
    settings = gan_training.Settings(
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


def _model(job, name, settings):
    best = job.best(name)
    about = job.about(settings, best)
    model = weights.load(best)
    provenance = {"generator": _generators_provenance(job, name), name: about}
    export = functools.partial(weights.export, model=model, provenance=provenance)
    return Done("dcgan", export, about)


def _generators_provenance(job, name):
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
            run, job.faces, truth.faces, architecture, settings, judge=judge
        )
    best = job.best("landmarks")
    about = job.about(options.stored(settings), best)
    net = networks.load(best, model="landmark_net")
    spread = landmark_check.fitted_spread(
        jax.random.key(wanted.seed),
        landmark_predictor.place(net),
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
    recipe: completer_training.Recipe | None = None,
) -> Done:
    wanted = job.wanted
    settings = completer_training.Settings(
        **wanted.settings,
        crop=wanted.crop,
        generator_rate=1e-3,
        discriminator_rate=1e-4,
        beta1=0.5,
        pretrained="",
        recipe=recipe or completer_training.Recipe(),
    )
    with job.run(name) as run:
        what = (run, job.faces, architecture, settings)
        if name == "parser":
            completer_training.run_parser(*what, points=job.landmarks.faces)
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
    recipe = completer_training.Recipe(
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
    recipe = completer_training.Recipe(
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
"""Networks in the order in which they are trained."""
