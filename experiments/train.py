"""Trains the generator that a search runs through, and the discriminator with it.

python -m experiments.train --data=folder:faces --run_dir=runs/dcgan
"""

import dataclasses
import functools
import os
from typing import Any

import jax
import numpy as np
import optax
from absl import flags

from experiments import application, health, reporting, training
from inpaint_jax import adversarial, checkpoints, data, files, pixels, weights
from inpaint_jax.errors import InputError
from inpaint_jax.models import dcgan

_DATA = flags.DEFINE_string(
    "data", None, "folder:DIR, array:FILE or tfds:NAME, with an optional [start:stop]."
)
_RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of this run; resumed if used.")
_EXPORT = flags.DEFINE_string(
    "export", None, "Folder to write safetensors to when training is done."
)
_CHECK = flags.DEFINE_string(
    "check",
    None,
    "Train nothing, but write health.json and health.png of this --run_dir, release "
    'folder or "release" into --run_dir, beside the real faces of --data.',
)
_STEPS = flags.DEFINE_integer("steps", 25_000, "Training steps in all.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of weights, order, z and flips.", 0, 2**32 - 1)
_BATCH = flags.DEFINE_integer("batch_size", 64, "Images a step.", lower_bound=2)
_SIZE = flags.DEFINE_integer("image_size", 64, "Height and width: 64 or 128.")
_CROP = flags.DEFINE_integer(
    "crop", 128, "Side of the crop in CelebA pixels.", lower_bound=16, upper_bound=178
)
_FEATURES = flags.DEFINE_integer("features", 64, "Channels next to the image.", 1)
_Z_DIM = flags.DEFINE_integer("z_dim", 100, "Length of the latent vector.", 1)
_KERNEL = flags.DEFINE_integer("kernel_size", 5, "Side of the kernels.", 2)
_ACTIVATION = flags.DEFINE_enum(
    "activation", "relu", ["relu", "leaky_relu"], "Of the generator's hidden layers."
)
_RATE_G = flags.DEFINE_float("generator_rate", 2e-4, "Adam's rate for G.", 0.0)
_RATE_D = flags.DEFINE_float("discriminator_rate", 2e-4, "Adam's rate for D.", 0.0)
_BETA1 = flags.DEFINE_float("beta1", 0.5, "Adam's first decay.", 0.0, 0.999)
_SATURATING = flags.DEFINE_bool("saturating", False, "G's loss as eq. 13 is printed.")
_REAL_LABEL = flags.DEFINE_float("real_label", 1.0, "D's target for real.", 0.5, 1.0)
_DECAY = flags.DEFINE_float("average_decay", 0.999, "Of G's moving average.", 0.0, 1.0)
_AUGMENT = flags.DEFINE_bool("augment", False, "Show D all images slightly changed.")
_LOG = flags.DEFINE_integer("log_every", 50, "Steps between lines of metrics.", 1)
_SHEET = flags.DEFINE_integer("sample_every", 500, "Steps between sample sheets.", 1)
_SAVE = flags.DEFINE_integer("checkpoint_every", 500, "Steps between checkpoints.", 1)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides the weights that come out; stored with every checkpoint."""

    data: str
    seed: int
    batch_size: int
    crop: int
    generator_rate: float
    discriminator_rate: float
    beta1: float
    saturating: bool
    real_label: float
    average_decay: float
    augment: bool


def main() -> int:
    """Trains, or goes on training; returns the exit code."""
    architecture, settings = _from_flags()
    if _CHECK.value:
        return _check_health(_CHECK.value)
    run_dir = files.make_directory(application.given(_RUN_DIR))
    faces = training.load(
        settings.data, crop=settings.crop, size=architecture.image_size
    )
    with checkpoints.opened(run_dir) as store:
        model = train(store, run_dir, faces, architecture, settings)
    if _EXPORT.value:
        provenance = {
            "command": application.command(
                "experiments.train", without=("run_dir", "export", "sample_every")
            ),
            "settings": dataclasses.asdict(settings),
            "steps": model.source["step"],
            "images": len(faces.images),
            "environment": reporting.environment(),
        }
        weights.export(_EXPORT.value, model, provenance=provenance)
        print(f"wrote {_EXPORT.value}")
    return 1 if faces.skipped else 0


def train(
    store: checkpoints.Store,
    run_dir: os.PathLike[str],
    faces: data.Faces,
    architecture: dcgan.Architecture,
    settings: Settings,
) -> weights.Model:
    """Runs training from where the store stands to the last step.

    Args:
      store: open checkpoints of the run.
      run_dir: where logs and sample sheets go.
      faces: what to learn from.
      architecture: of the networks.
      settings: of the training.

    Returns:
      The averaged generator and the discriminator.
    """
    players = adversarial.Players(
        architecture.generator(),
        architecture.discriminator(),
        optax.adam(settings.generator_rate, b1=settings.beta1),
        optax.adam(settings.discriminator_rate, b1=settings.beta1),
    )
    key_init, key_steps, key_samples = jax.random.split(
        jax.random.key(settings.seed), 3
    )
    state = jax.jit(functools.partial(adversarial.init, players=players))(key_init)
    meta = _meta(architecture, settings)
    first, state = training.resume(store, state, meta=meta, steps=_STEPS.value)
    advance = jax.jit(
        functools.partial(
            adversarial.train_step,
            players=players,
            saturating=settings.saturating,
            real_label=settings.real_label,
            average_decay=settings.average_decay,
            augment=settings.augment,
        ),
        donate_argnums=1,
    )
    average = jax.jit(
        functools.partial(adversarial.averaged_generator, generator=players.generator)
    )
    fixed_z = adversarial.sample_z(key_samples, 64, architecture.z_dim)

    @jax.jit
    def draw(variables, z):
        image: Any = players.generator.apply(variables, z, train=False)
        return pixels.to_bytes(image)

    def networks(state):
        generator = average(key_samples, state)
        return {"generator": generator, "discriminator": state.discriminator}

    def show(step, state):
        _write_sheet(
            run_dir, step, np.asarray(draw(average(key_samples, state), fixed_z))
        )

    application.write_effective_flags(run_dir, "experiments.train")
    state = training.run(
        key_steps,
        state,
        training.batches(
            faces.images,
            batch_size=settings.batch_size,
            seed=settings.seed,
            first=first,
        ),
        first=first,
        schedule=training.Schedule(
            _STEPS.value, _LOG.value, save_every=_SAVE.value, show_every=_SHEET.value
        ),
        store=store,
        run_dir=run_dir,
        meta=meta,
        advance=advance,
        networks=networks,
        show=show,
    )
    return weights.Model(
        architecture=architecture,
        crop=settings.crop,
        **networks(state),
        source={"path": str(run_dir), "step": int(state.step)},
    )


def _check_health(path):
    model = weights.load(path)
    size = model.architecture.image_size
    faces = data.load(application.given(_DATA), crop=model.crop, size=size)
    key = jax.random.key(_SEED.value)
    found = health.check(key, model, faces, run_dir=application.given(_RUN_DIR))
    print(
        f"exactly one face in {found['face_share']:.1%} of {found['samples']} samples, "
        f"in {found['face_share_real']:.1%} of {found['real']} real pictures"
    )
    return 0


def _write_sheet(run_dir, step, images):
    rows = [list(images[i : i + 8]) for i in range(0, len(images), 8)]
    folder = files.make_directory(os.path.join(run_dir, "samples"))
    files.write_picture(folder / f"step_{step:07d}.png", reporting.sheet(rows))


def _from_flags():
    application.check_numbers(_RATE_G, _RATE_D, _BETA1, _REAL_LABEL, _DECAY)
    try:
        architecture = dcgan.Architecture(
            image_size=_SIZE.value,
            features=_FEATURES.value,
            z_dim=_Z_DIM.value,
            kernel_size=_KERNEL.value,
            activation=_ACTIVATION.value,
        )
    except ValueError as error:
        raise InputError(f"--{error}.") from error
    return architecture, Settings(
        data=application.given(_DATA),
        seed=_SEED.value,
        batch_size=_BATCH.value,
        crop=_CROP.value,
        generator_rate=_RATE_G.value,
        discriminator_rate=_RATE_D.value,
        beta1=_BETA1.value,
        saturating=_SATURATING.value,
        real_label=_REAL_LABEL.value,
        average_decay=_DECAY.value,
        augment=_AUGMENT.value,
    )


def _meta(architecture, settings) -> dict[str, Any]:
    return {
        "architecture": dataclasses.asdict(architecture),
        "crop": settings.crop,
        "settings": dataclasses.asdict(settings),
    }


if __name__ == "__main__":
    application.run(main)
