"""Which networks a release trains, how, and for how long each.

A network's time is its share of what is left when it begins, so that one that took
longer takes from all that follow. The damaged faces' encoder needs the generator, face
completion its parser; who begins without what it needs takes what an earlier run left.
"""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from experiments import (
    completer_training,
    encoder_training,
    gan_training,
    landmark_check,
    landmark_training,
    release_files,
    release_scores,
    reporting,
    training,
)
from inpaint_jax import (
    checkpoints,
    data,
    feed_forward,
    landmark_predictor,
    weights,
)
from inpaint_jax.errors import InputError
from inpaint_jax.models import (
    context_encoder,
    dcgan,
    face_completion,
    landmark_net,
)

SHARES = {
    "generator": 0.50,
    "encoder": 0.09,
    "landmarks": 0.17,
    "parser": 0.02,
    "ce": 0.09,
    "gfc": 0.13,
}
"""Networks in the order in which they are trained, and each one's share of the time."""

# Seconds kept for the last checkpoint, scores and files of a network.
_RESERVE = 6.0
_ENDLESS = 1_000_000_000
# Checkpoints of one network.
_CHECKPOINTS = 4

now = time.monotonic


@dataclasses.dataclass(frozen=True)
class Options:
    """What decides the networks that come out.

    Attributes:
      data: source of the faces.
      minutes: for all networks.
      image_size: height and width.
      crop: side of the crop in CelebA pixels.
      width: of all networks, as a share of the release's numbers of channels.
      batch_size: images a step.
      seed: of everything.
      precision: of the convolutions of G, D and E.
      recipe: of these three.
    """

    data: str
    minutes: float
    image_size: int
    crop: int
    width: float
    batch_size: int
    seed: int
    precision: str
    recipe: gan_training.Recipe

    def features(self, count: int) -> int:
        """Returns a number of channels, made wider or narrower."""
        return max(2, round(self.width * count))


def usual_precision() -> str:
    """Returns in which type convolutions multiply where nobody says."""
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


@dataclasses.dataclass(frozen=True)
class _Job:
    """What each network's training needs; `seconds` is that network's time."""

    options: Options
    faces: data.Faces
    validation: data.Faces
    landmarks: release_files.Landmarks
    run_dir: pathlib.Path
    output_dir: pathlib.Path
    provenance: dict[str, Any]
    began: float = 0.0
    seconds: float = 0.0

    @property
    def schedule(self) -> training.Schedule:
        """Until the time is over."""
        return training.Schedule(
            steps=_ENDLESS,
            log_every=50,
            save_every=_ENDLESS,
            show_every=_ENDLESS,
            seconds=self.seconds,
            save_seconds=self.seconds / _CHECKPOINTS,
        )

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
            "images_seen": step * self.options.batch_size,
            "seconds": round(meta["seconds"], 1),
            "validation_score": meta.get("score"),
        }


def run(
    options: Options,
    faces: data.Faces,
    validation: data.Faces,
    landmarks: release_files.Landmarks,
    *,
    run_dir: pathlib.Path,
    output_dir: pathlib.Path,
    only: tuple[str, ...],
    began: float,
    command: str,
) -> None:
    """Trains the networks that are not finished yet, and writes each.

    Args:
      options: of the release.
      faces: to learn from.
      validation: to choose checkpoints by.
      landmarks: of both.
      run_dir: folder of checkpoints.
      output_dir: folder of the release.
      only: names of `SHARES`.
      began: when the time began, by `now`.
      command: that repeats this.

    Raises:
      InputError: the release in `output_dir` was begun with other options.
    """
    stored = release_files.read(output_dir)
    _check_same(stored, options, output_dir)
    finished = stored.get("networks", {})
    spent = sum(about["seconds"] for about in finished.values())
    ends = began + 60.0 * options.minutes - spent
    job = _Job(
        options,
        faces,
        validation,
        landmarks,
        run_dir,
        output_dir,
        {
            "command": command,
            "images": len(faces.images),
            "environment": reporting.environment(),
        },
    )
    missing = [name for name in SHARES if name in only and name not in finished]
    for place, name in enumerate(missing):
        start = began if place == 0 else now()
        share = SHARES[name] / sum(SHARES[other] for other in missing[place:])
        seconds = max(share * (ends - now()) - _RESERVE, 1.0)
        # What was spent on an interrupted network counts, and so does getting here.
        this = dataclasses.replace(job, began=start, seconds=seconds + now() - start)
        print(f"{name}: {this.seconds:.0f} s, until {share:.0%} of the rest is over")
        done = _NETWORKS[name](this)
        if done.folder:
            release_files.add(output_dir, done.folder, done.export)
        # All of it, and not only what training took: the next network begins now.
        about = {**done.about, "seconds": round(now() - start, 1)}
        release_files.describe(
            output_dir, name, about, options=dataclasses.asdict(options)
        )
        release_files.write_logs(output_dir, run_dir)
        print(f"{name}: written to {output_dir}", flush=True)
    print(f"done: {', '.join(release_files.read(output_dir).get('networks', {}))}")


def _check_same(stored, options, output_dir):
    before = stored.get("options", {})
    for name, value in dataclasses.asdict(options).items():
        if name in before and name != "minutes" and before[name] != value:
            raise InputError(
                f"--{name}={value}: the release in {output_dir} was begun with "
                f"{before[name]}; give the same or another --output_dir."
            )


class _Done(NamedTuple):
    """A trained network: its folder in the release, None if it is no part of it."""

    folder: str | None
    export: Callable[[str], None]
    about: dict[str, Any]


def _generator(job: _Job) -> _Done:
    options = job.options
    architecture = dcgan.Architecture(
        image_size=options.image_size,
        features=options.features(64),
        z_dim=256,
        kernel_size=5,
        discriminator_norm="none",
    )
    settings = gan_training.Settings(
        data=options.data,
        seed=options.seed,
        batch_size=options.batch_size,
        crop=options.crop,
        generator_rate=4e-4,
        discriminator_rate=4e-4,
        beta1=0.0,
        precision=options.precision,
        start_from="",
        recipe=options.recipe,
    )
    judge = release_scores.of_samples(
        job.validation,
        z_dim=architecture.z_dim,
        predictor=landmark_predictor.load("release"),
    )
    folder = job.folder("generator")
    with checkpoints.opened(folder) as store:
        gan_training.run(
            store,
            folder,
            job.faces,
            architecture,
            settings,
            job.schedule,
            judge=judge,
            began=job.began,
        )
    return _model(job, "generator", settings.stored())


def _encoder(job: _Job) -> _Done:
    model = weights.load(job.best("generator"))
    settings = encoder_training.Settings(
        data=job.options.data,
        seed=job.options.seed,
        batch_size=job.options.batch_size,
        generator_rate=5e-4,
        beta1=0.5,
        checkpoint=str(model.source),
    )
    folder = job.folder("encoder")
    with checkpoints.opened(folder) as store:
        encoder_training.run(
            store,
            folder,
            job.faces,
            model,
            settings,
            job.schedule,
            judge=release_scores.of_guesses(job.validation, model),
            began=job.began,
        )
    return _model(job, "encoder", dataclasses.asdict(settings))


def _model(job, name, settings):
    best = job.best(name)
    about = job.about(settings, best)
    model = weights.load(best)
    provenance = {"generator": _generators_provenance(job, name), name: about}
    export = functools.partial(weights.export, model=model, provenance=provenance)
    return _Done("dcgan", export, about)


def _generators_provenance(job, name):
    if name == "generator":
        return {}
    stored = release_files.read(job.output_dir).get("networks", {})
    return stored.get("generator", {})


def _landmarks(job: _Job) -> _Done:
    options = job.options
    architecture = landmark_net.Architecture(
        image_size=options.image_size,
        features=options.features(36),
        hidden=options.features(256),
    )
    settings = landmark_training.Settings(
        data=options.data,
        start_from=None,
        seed=options.seed,
        steps=0,
        batch_size=options.batch_size,
        crop=options.crop,
        learning_rate=2e-3,
        weight_decay=0.05,
    )
    folder = job.folder("landmarks")
    with checkpoints.opened(folder) as store:
        landmark_training.run(
            store,
            folder,
            job.faces,
            job.landmarks.faces,
            architecture,
            settings,
            job.schedule,
            judge=release_scores.of_landmarks(
                job.validation, job.landmarks.validation, architecture
            ),
            began=job.began,
        )
    best = job.best("landmarks")
    about = job.about(dataclasses.asdict(settings), best)
    net = landmark_predictor.load(best)
    spread = landmark_check.fitted_spread(
        jax.random.key(options.seed), net, job.validation, job.landmarks.validation
    )
    net = dataclasses.replace(net, spread=spread)
    export = functools.partial(
        landmark_predictor.export, predictor=net, provenance=about
    )
    return _Done("landmark_net", export, about)


def _feed_forward(
    job: _Job,
    name: str,
    architecture: feed_forward.Architecture,
    recipe: completer_training.Recipe | None = None,
) -> _Done:
    options = job.options
    settings = completer_training.Settings(
        data=options.data,
        seed=options.seed,
        batch_size=options.batch_size,
        crop=options.crop,
        generator_rate=1e-3,
        discriminator_rate=1e-4,
        beta1=0.5,
        start_from="",
        recipe=recipe or completer_training.Recipe(),
    )
    folder = job.folder(name)
    schedule, began = job.schedule, job.began
    with checkpoints.opened(folder) as store:
        place = (store, folder, job.faces, architecture, settings, schedule)
        if name == "parser":
            completer_training.run_parser(
                *place, points=job.landmarks.faces, began=began
            )
        else:
            judge = release_scores.of_completion(job.validation)
            completer_training.run(*place, judge=judge, began=began)
    best = folder if name == "parser" else job.best(name)
    about = job.about(settings.stored(), best)
    network = feed_forward.load(best, model=name)
    export = functools.partial(feed_forward.export, network=network, provenance=about)
    return _Done(None if name == "parser" else name, export, about)


def _parser(job: _Job) -> _Done:
    options = job.options
    architecture = face_completion.ParserArchitecture(
        image_size=options.image_size, features=options.features(16)
    )
    return _feed_forward(job, "parser", architecture)


def _ce(job: _Job) -> _Done:
    options = job.options
    architecture = context_encoder.Architecture(
        image_size=options.image_size, features=options.features(40)
    )
    recipe = completer_training.Recipe(
        lambda_global=0.0001, critic_features=options.features(32)
    )
    return _feed_forward(job, "ce", architecture, recipe)


def _gfc(job: _Job) -> _Done:
    options = job.options
    architecture = face_completion.Architecture(
        image_size=options.image_size,
        features=options.features(32),
        bottleneck=options.features(192),
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
        critic_features=options.features(32),
    )
    return _feed_forward(job, "gfc", architecture, recipe)


_NETWORKS: dict[str, Callable[[_Job], _Done]] = {
    "generator": _generator,
    "encoder": _encoder,
    "landmarks": _landmarks,
    "parser": _parser,
    "ce": _ce,
    "gfc": _gfc,
}
