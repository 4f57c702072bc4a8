r"""Trains a landmark detector: a net for damaged faces, or dlib's tree cascade.

python -m experiments.train_landmarks --data=folder:faces --run_dir=runs/landmarks
python -m experiments.train_landmarks --model=cascade --data=xml:faces.xml \
    --run_dir=runs/cascade
"""

import dataclasses
import pathlib
from typing import Literal

import jax

from experiments.common import (
    application,
    options,
    output_folders,
    progress,
    reporting,
)
from experiments.common.options import option
from experiments.training import (
    face_sets,
    labelling,
    landmark_check,
    landmark_training,
    training,
    tree_cascade,
)
from inpaint_jax.errors import InputError, naming
from inpaint_jax.io import checkpoints, data, files
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.models import landmark_net
from inpaint_jax.pretrained import landmark_predictor, networks, release_folders

_RATE = (
    "Peak learning rate of AdamW; it rises during the first 2.5 % of the training and "
    "then falls to 0."
)


@dataclasses.dataclass(frozen=True)
class Run:
    """What is trained or evaluated, on which faces."""

    model: Literal["net", "cascade"] = option(
        "net",
        "net: landmark net for damaged faces; cascade: dlib's cascade of regression "
        "trees (thesis section 2.4).",
    )
    data: str | None = option(
        None,
        "Training faces, as --data of experiments.train, which dlib labels; for the "
        "cascade also xml:FILE (of dlib's imglab) or labelled:FILE.npz.",
    )
    validation: str | None = option(
        None,
        "Held-out faces, as --data, on which the size of the net's uncertainty "
        "ellipses is fitted.",
    )
    check: str | None = option(
        None,
        'Train nothing, but evaluate this --run_dir, release folder or "release" on '
        "the faces of --check_data, beside simpler predictors fitted to --data; writes "
        "landmarks.json into --run_dir.",
    )
    check_data: str | None = option(None, "Held-out faces for --check, as --data.")
    run_dir: str | None = option(None, "Folder of this run; a run in it is resumed.")
    export: str | None = option(
        None, "Folder to write the net's release to when training is done."
    )
    landmark_model: str | None = option(
        None, "File of dlib's 68-point model; by default the installed one."
    )


@dataclasses.dataclass(frozen=True)
class Training:
    """How the net is trained."""

    pretrained: str | None = option(
        None,
        "Net from which training starts: a --run_dir or a release; by default a new "
        "one.",
    )
    steps: int = option(10_000, "Total number of training steps.", least=1)
    seed: int = option(0, "Seed of weights, order and masks.", least=0, most=2**32 - 1)
    batch_size: int = option(64, "Number of images in a batch.", least=7)
    image_size: int = option(64, "Height and width in pixels, a multiple of 16.")
    crop: int = option(128, "Side of the crop in CelebA pixels.", least=16, most=178)
    features: int = option(32, "Channels of the first layer.", least=1)
    hidden: int = option(256, "Width of the last hidden layer.", least=1)
    learning_rate: float = option(1e-3, _RATE, above=0.0)
    weight_decay: float = option(0.05, "Weight decay of AdamW.", least=0.0)
    log_every: int = option(50, "Steps between lines of metrics.", least=1)
    checkpoint_every: int = option(500, "Steps between checkpoints.", least=1)

    @property
    def schedule(self) -> training.Schedule:
        """The number of steps, and when to log and to save."""
        return training.Schedule(
            self.steps,
            self.log_every,
            save_every=self.checkpoint_every,
            show_every=self.checkpoint_every,
        )

    @property
    def architecture(self) -> landmark_net.Architecture:
        """The architecture of the net.

        Raises:
          InputError: no such net can be built.
        """
        try:
            return landmark_net.Architecture(
                self.image_size, features=self.features, hidden=self.hidden
            )
        except ValueError as error:
            raise InputError(f"--{error}.") from error

    def settings(self, data: str) -> landmark_training.Settings:
        """Returns the hyperparameters that determine the trained weights."""
        return landmark_training.Settings(
            data=data,
            pretrained=self.pretrained,
            seed=self.seed,
            steps=self.steps,
            batch_size=self.batch_size,
            crop=self.crop,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )


options.define(Run, heading="Run")
options.define(Training, heading="Training")


def main() -> int:
    """Trains or evaluates; returns the exit code."""
    wanted = options.read(Run)
    options.given(wanted, "data")
    given, written = options.given(wanted, "run_dir"), training.FOLDERS
    with output_folders.claim(given, flag="run_dir", folders=written) as run_dir:
        return _run(wanted, options.read(Training), run_dir)


def _run(wanted: Run, asked: Training, run_dir: pathlib.Path) -> int:
    if wanted.export:  # fails now, and not when training is done
        with naming("--export", wanted.export):
            release_folders.check_replaceable(wanted.export, ["net"])
    if wanted.check:
        return _check(wanted.check, run_dir, wanted, seed=asked.seed)
    if wanted.model == "cascade":
        return _train_cascade(run_dir, wanted, asked)
    architecture = asked.architecture
    settings = asked.settings(options.given(wanted, "data"))
    predictor = _predictor(wanted)
    faces = _load("data", wanted, settings.crop, architecture.image_size)
    labels = labelling.landmarks(run_dir, predictor, faces, crop=settings.crop)
    with checkpoints.opened(run_dir) as store:
        run = training.Run(
            store,
            run_dir,
            asked.schedule,
            accepted=lambda: application.write_effective_flags(run_dir, Run, Training),
        )
        truth = labels.labels("landmark_model", predictor.path)
        run = run.and_then(labels.keep)
        net = landmark_training.run(run, faces, truth, architecture, settings)
    if wanted.export:
        if wanted.validation:
            net = _fitted(net, wanted, predictor, seed=settings.seed)
        _export(wanted.export, net, settings, predictor, images=len(faces.images))
    return 1 if faces.skipped else 0


def _train_cascade(run_dir: pathlib.Path, wanted: Run, asked: Training) -> int:
    kinds = (Run, Training, tree_cascade.Cascade)
    report = tree_cascade.run(
        options.given(wanted, "data"),
        run_dir,
        options.read(tree_cascade.Cascade),
        seed=asked.seed,
        crop=asked.crop,
        size=asked.image_size,
        landmark_model=wanted.landmark_model,
        accepted=lambda: application.write_effective_flags(run_dir, *kinds),
    )
    line = f"{run_dir / 'cascade.dat'}: error {report['error_train']:.4f} in training"
    if "error_test" in report:
        line += f", {report['error_test']:.4f} on other faces"
    progress.say(line)
    return 0


def _predictor(wanted: Run) -> dlib_host.Predictor:
    with naming("--landmark_model", wanted.landmark_model):
        return dlib_host.Predictor(wanted.landmark_model)


def _load(name: str, wanted: Run, crop: int, size: int) -> data.Faces:
    """Reads the faces that an option names."""
    source = options.given(wanted, name)
    return face_sets.load(source, flag=f"--{name}", crop=crop, size=size)


def _check(path: str, run_dir: pathlib.Path, wanted: Run, *, seed: int) -> int:
    with naming("--check", path):
        net = networks.load(path, model="landmark_net")
    size = net.architecture.image_size
    predictor = _predictor(wanted)
    known = _load("data", wanted, net.crop, size)
    labels = labelling.landmarks(run_dir, predictor, known, crop=net.crop)
    faces = _load("check_data", wanted, net.crop, size)
    labels.keep()
    key, known = jax.random.key(seed), (known, labels.points)
    found = landmark_check.check(key, net, predictor, faces, known=known)
    found |= {"net": net.source, "spread": net.spread, **reporting.environment()}
    files.write_json(run_dir / "landmarks.json", found)
    for mask, guesses in found["nme"].items():
        errors = ", ".join(f"{g} {e['all']:.4f}" for g, e in guesses.items())
        print(f"{mask}: {errors}")
    progress.say(f"all figures are in {run_dir / 'landmarks.json'}")
    return 0


def _fitted(
    net: networks.Pretrained,
    wanted: Run,
    predictor: dlib_host.Predictor,
    *,
    seed: int,
) -> networks.Pretrained:
    """Returns the net with the size of its ellipses fitted on held-out faces."""
    faces = _load("validation", wanted, net.crop, net.architecture.image_size)
    truth = labelling.label(predictor, faces, crop=net.crop, nudged=False)
    key = jax.random.key(seed)
    spread = landmark_check.fitted_spread(
        key, landmark_predictor.predict(net), faces, truth.landmarks
    )
    return dataclasses.replace(net, spread=spread)


def _export(
    directory: str,
    net: networks.Pretrained,
    settings: landmark_training.Settings,
    predictor: dlib_host.Predictor,
    *,
    images: int,
) -> None:
    provenance = {
        "command": application.command(Run, Training, without=("run_dir", "export")),
        "settings": dataclasses.asdict(settings),
        "images": images,
        "landmark_model_sha256": predictor.sha256,
        "environment": reporting.environment(),
    }
    with naming("--export", directory):
        networks.export(directory, net, provenance=provenance)
    progress.say(f"wrote {directory}")


if __name__ == "__main__":
    application.run(main)
