"""Trains G and D, and the encoder with which G learns to reconstruct real faces."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import reporting
from experiments.training import keeping, stepping, training
from experiments.training.gan_recipe import Settings
from inpaint_jax import types
from inpaint_jax.evaluation import distribution
from inpaint_jax.images import pixels
from inpaint_jax.io import data
from inpaint_jax.landmarks import embedding
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import weights
from inpaint_jax.training import gan_gradients, gan_networks, train_gan

_JUDGED, _SHOWN = 500, 64

Draw = Callable[[types.Variables, types.Latent], types.ImageBytes]
"""(variables of G, z) -> pictures."""


def run(
    this: training.Run,
    faces: data.Faces,
    architecture: dcgan.Architecture,
    settings: Settings,
    *,
    start: weights.Model | None = None,
    judge: keeping.Judge | None = None,
) -> weights.Model:
    """Trains G, D and the encoder, from the newest checkpoint if there is one.

    Args:
      this: the folder of the run, and its schedule.
      faces: the training images.
      architecture: of the networks.
      settings: of the training.
      start: networks to start from in place of new ones.
      judge: scores each checkpoint, by (draw, networks); the best one is kept.

    Returns:
      The averaged generator, the discriminator, and the encoder if there is one.
    """
    trained, config = settings.networks(architecture), settings.recipe.train_config()
    key_init, key_steps, key_shown = jax.random.split(jax.random.key(settings.seed), 3)
    static: Any = {"networks": trained, "config": config}
    state = stepping.initial(functools.partial(train_gan.init, **static), key_init)
    if start is not None:
        state = _starting_from(start, state)
    kinds: Any = {"encodes": settings.encodes, "prior": config.prior}
    draw = _drawing(trained.generator)
    networks, show = _views(
        key_shown, this, trained, config, draw=draw, z_dim=architecture.z_dim
    )
    task = training.Task(
        meta=keeping.meta(architecture, settings, faces, crop=settings.crop, **kinds),
        advance=jax.tree_util.Partial(
            functools.partial(train_gan.train_step, **static)
        ),
        networks=networks,
        show=show,
        judge=None if judge is None else _given(judge, draw),
        name="generator",
    )
    size, seed = settings.batch_size, settings.seed
    rows = stepping.rows(faces.images, batch_size=size, seed=seed)
    state = training.run(key_steps, this, task, state, rows)
    source = {"path": str(this.run_dir), "step": int(state.step)}
    return weights.Model(
        architecture, settings.crop, **networks(state), source=source, **kinds
    )


def _given(judge: keeping.Judge, draw: Draw) -> keeping.Judge:
    return judge._replace(score=functools.partial(judge.score, draw))


def _starting_from(
    model: weights.Model, state: train_gan.GANState
) -> train_gan.GANState:
    # Copies: the steps reuse the memory of the state that they are given.
    networks: Any = jax.tree.map(jnp.array, model.networks)
    average = jax.tree.map(jnp.array, model.generator["params"])
    if not state.encoder["params"]:
        networks.pop("encoder", None)
    return state._replace(**networks, average=average)


def _views(
    key: types.PRNGKey,
    this: training.Run,
    trained: gan_gradients.Networks,
    config: train_gan.TrainConfig,
    *,
    draw: Draw,
    z_dim: int,
) -> tuple[
    Callable[[train_gan.GANState], dict[str, Any]],
    Callable[[int, train_gan.GANState], None],
]:
    """Returns functions of a state: one gives its networks, one writes samples."""
    average = jax.jit(
        functools.partial(
            gan_networks.averaged_generator,
            generator=trained.generator,
            prior=config.prior,
        )
    )

    def networks(state: train_gan.GANState) -> keeping.Networks:
        found = {
            "generator": average(key, state),
            "discriminator": gan_networks.fixed_discriminator(state, config=config),
        }
        return found if trained.encoder is None else {**found, "encoder": state.encoder}

    z = train_gan.sample_z(key, _SHOWN, z_dim, prior=config.prior)

    def show(step: int, state: train_gan.GANState) -> None:
        images = np.asarray(draw(average(key, state), z))
        training.write_samples(this.run_dir, step, reporting.in_rows(images))

    return networks, show


def _drawing(generator: dcgan.Generator) -> Draw:
    @jax.jit
    def draw(variables: types.Variables, z: types.Latent) -> types.ImageBytes:
        image: Any = generator.apply(variables, z, train=False)
        return pixels.to_bytes(image)

    return draw


def judged_by(faces: data.Faces, *, crop: int, z_dim: int) -> keeping.Judge:
    """Returns a judge: the Frechet distance of G's samples from real faces.

    Args:
      faces: the real faces; the first 500 are used.
      crop: side of their crop in CelebA pixels.
      z_dim: length of z.
    """
    real = embedding.embed(faces.images[:_JUDGED], crop=crop)
    z = train_gan.sample_z(jax.random.key(0), len(real), z_dim)

    def score(draw: Draw, networks: keeping.Networks) -> float:
        samples = np.asarray(draw(networks["generator"], z))
        return float(distribution.frechet(embedding.embed(samples, crop=crop), real))

    return keeping.Judge(score, sees=faces.digest)
