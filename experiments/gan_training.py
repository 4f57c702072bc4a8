"""Trains G and D, and the encoder with which G learns to redraw real faces."""

import dataclasses
import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import application, reporting, training
from inpaint_jax import (
    adversarial,
    checkpoints,
    data,
    distribution,
    pixels,
    weights,
)
from inpaint_jax.landmarks import embedding
from inpaint_jax.models import dcgan

_JUDGED = 500


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
    lambda_reconstruction: float
    lambda_latent: float
    precision: str
    start_from: str

    @property
    def encodes(self) -> weights.Encodes:
        """What the encoder is trained on, if there is one."""
        return "whole faces" if self.lambda_reconstruction > 0.0 else "nothing"

    def players(self, architecture: dcgan.Architecture) -> adversarial.Players:
        """Returns the networks and their optimizers."""
        rate = optax.adam(self.generator_rate, b1=self.beta1)
        products = jnp.dtype(self.precision)
        with_encoder = self.encodes != "nothing"
        return adversarial.Players(
            architecture.generator(products=products),
            architecture.discriminator(products=products),
            rate,
            optax.adam(self.discriminator_rate, b1=self.beta1),
            architecture.encoder(products=products) if with_encoder else None,
            rate if with_encoder else None,
        )

    def rules(self) -> adversarial.Rules:
        """Returns what the players minimise."""
        names = [field.name for field in dataclasses.fields(adversarial.Rules)]
        return adversarial.Rules(**{name: getattr(self, name) for name in names})


def run(
    store: checkpoints.Store,
    run_dir: str | os.PathLike[str],
    faces: data.Faces,
    architecture: dcgan.Architecture,
    settings: Settings,
    schedule: training.Schedule,
    *,
    start: weights.Model | None = None,
    validation: data.Faces | None = None,
) -> weights.Model:
    """Trains from where the store stands to the last step.

    Args:
      store: open checkpoints of the run.
      run_dir: where logs and sample sheets go.
      faces: what to learn from.
      architecture: of the networks.
      settings: of the training.
      schedule: of the run.
      start: networks to start from in place of fresh ones.
      validation: faces to score each checkpoint by, so that the best one is kept.

    Returns:
      The averaged generator, the discriminator, and the encoder if there is one.
    """
    players = settings.players(architecture)
    key_init, key_steps, key_samples = jax.random.split(
        jax.random.key(settings.seed), 3
    )
    state = jax.jit(functools.partial(adversarial.init, players=players))(key_init)
    if start is not None:
        state = _starting_from(start, state)
    meta = {
        "architecture": dataclasses.asdict(architecture),
        "crop": settings.crop,
        "encodes": settings.encodes,
        "settings": dataclasses.asdict(settings),
    }
    first, state = training.resume(store, state, meta=meta, steps=schedule.steps)
    advance = jax.jit(
        functools.partial(
            adversarial.train_step, players=players, rules=settings.rules()
        ),
        donate_argnums=1,
    )
    average = jax.jit(
        functools.partial(adversarial.averaged_generator, generator=players.generator)
    )

    def networks(state):
        found = {
            "generator": average(key_samples, state),
            "discriminator": state.discriminator,
        }
        return found if players.encoder is None else {**found, "encoder": state.encoder}

    fixed_z = adversarial.sample_z(key_samples, 64, architecture.z_dim)

    @jax.jit
    def draw(variables, z):
        image: Any = players.generator.apply(variables, z, train=False)
        return pixels.to_bytes(image)

    def show(step, state):
        images = np.asarray(draw(average(key_samples, state), fixed_z))
        training.write_samples(run_dir, step, reporting.in_rows(images))

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
        schedule=schedule,
        store=store,
        run_dir=run_dir,
        meta=meta,
        advance=advance,
        networks=networks,
        show=show,
        judge=None
        if validation is None
        else _judge(draw, validation, settings.crop, architecture.z_dim),
    )
    return weights.Model(
        architecture,
        settings.crop,
        **networks(state),
        source={"path": str(run_dir), "step": int(state.step)},
        encodes=settings.encodes,
    )


def _starting_from(model, state):
    # Copies: the steps reuse the memory of the state that they are given.
    networks = jax.tree.map(jnp.array, model.networks)
    average = jax.tree.map(jnp.array, model.generator["params"])
    if not state.encoder["params"]:
        networks.pop("encoder", None)
    return state._replace(**networks, average=average)


def _judge(draw, faces, crop, z_dim):
    """Scores networks by the Frechet distance of their samples from real faces."""
    real = embedding.embed(faces.images[:_JUDGED], crop=crop)
    z = adversarial.sample_z(jax.random.key(0), len(real), z_dim)

    def judge(networks):
        samples = np.asarray(draw(networks["generator"], z))
        return float(distribution.frechet(embedding.embed(samples, crop=crop), real))

    return judge
