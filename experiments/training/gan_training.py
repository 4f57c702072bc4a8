"""Trains G and D, and the encoder with which G learns to redraw real faces."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.common import options, reporting
from experiments.common.options import option
from experiments.training import stepping, training
from inpaint_jax.errors import InputError
from inpaint_jax.evaluation import distribution
from inpaint_jax.images import augmentation, pixels
from inpaint_jax.io import data
from inpaint_jax.landmarks import embedding
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import weights
from inpaint_jax.training import game, gan_networks, judging, redrawing, train_gan

_JUDGED = 500
_AUGMENTATIONS = tuple(augmentation.CHANGES)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How G, D and E are trained; each field is a flag."""

    adversarial_loss: str = option(
        "cross_entropy",
        "What G and D minimise; saturating is G's loss as eq. 13 is printed.",
        of=("cross_entropy", "saturating", "relativistic"),
    )
    real_label: float = option(
        0.9, "D's target for real images by cross entropy.", least=0.5, most=1.0
    )
    real_penalty: float = option(
        0.0, "Weight of D's squared slope at real images, halved (R1).", least=0.0
    )
    fake_penalty: float = option(0.0, "The same at generated images (R2).", least=0.0)
    penalty_every: int = option(
        1, "In how many steps the penalties count once, that many times.", least=1
    )
    final_penalty: float = option(
        1.0, "Share that the penalties fall to, by a cosine.", least=0.0, most=1.0
    )
    augment: tuple[str, ...] = option(
        ("brightness", "translation"),
        "How all images are changed before D sees them; empty: not at all.",
        of=_AUGMENTATIONS,
    )
    augment_probability: float = option(
        1.0, "Of each change; where it adapts, the largest.", least=0.0, most=1.0
    )
    augment_target: float = option(
        0.0,
        "Mean sign of D's verdict on real images above which the probability of the "
        "changes rises from 0, and below which it falls; 0: it does not adapt.",
        least=0.0,
        most=0.99,
    )
    beta2: float = option(0.999, "Adam's second decay.", least=0.0, most=0.999999)
    final_rate: float = option(
        1.0, "Share that the rates fall to, by a cosine.", least=0.0, most=1.0
    )
    average_images: float = option(
        44_000.0,
        "Half-life of G's moving average, in real images; 0: no average.",
        least=0.0,
    )
    lambda_reconstruction: float = option(
        100.0,
        "Weight of the error with which G redraws real images; 0: no encoder beside "
        "it.",
        least=0.0,
    )
    reconstruction_error: str = option(
        "squared", "Of the pixels.", of=("squared", "absolute")
    )
    lambda_features: float = option(
        0.0,
        "Weight of the error of D's features beside that of the pixels, both times "
        "--lambda_reconstruction.",
        least=0.0,
    )
    lambda_latent: float = option(
        20.0, "Of the mismatch between encoded images and z.", least=0.0
    )
    z_prior: str = option(
        "uniform", "How z is drawn in training.", of=("uniform", "normal")
    )
    flip: bool = option(True, "Mirror real images half of the time.")

    def rules(self) -> train_gan.Rules:
        """Returns what the players minimise."""
        return train_gan.Rules(
            game=judging.Rules(
                loss=self.adversarial_loss,  # pyright: ignore[reportArgumentType]
                real_label=self.real_label,
                augment=self.augment,
                real_penalty=self.real_penalty,
                fake_penalty=self.fake_penalty,
                penalty_every=self.penalty_every,
            ),
            redraw=redrawing.Rules(
                weight=self.lambda_reconstruction,
                error=self.reconstruction_error,
                features=self.lambda_features,
                latent_weight=self.lambda_latent,
            ),
            prior=self.z_prior,  # pyright: ignore[reportArgumentType]
            flip=self.flip,
            augment_probability=self.augment_probability,
            augment_target=self.augment_target,
            average_images=self.average_images,
            final_rate=self.final_rate,
            final_penalty=self.final_penalty,
        )


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
    precision: str
    pretrained: str
    recipe: Recipe

    @property
    def encodes(self) -> weights.Encodes:
        """What the encoder is trained on, if there is one."""
        alone = self.recipe.lambda_reconstruction <= 0.0
        return "nothing" if alone else "whole faces"

    def players(self, architecture: dcgan.Architecture) -> game.Players:
        """Returns the networks and their optimizers.

        Raises:
          InputError: D normalises by the batch, and its slope is to be penalised.
        """
        recipe = self.recipe
        penalised = recipe.real_penalty > 0.0 or recipe.fake_penalty > 0.0
        if penalised and architecture.discriminator_norm != "none":
            raise InputError(
                f"--discriminator_norm={architecture.discriminator_norm}: the slope of "
                "a D that normalises by the batch is not that of one image; give none "
                "with --real_penalty or --fake_penalty."
            )
        rate = optax.adam(self.generator_rate, b1=self.beta1, b2=recipe.beta2)
        products = jnp.dtype(self.precision)
        with_encoder = self.encodes != "nothing"
        return game.Players(
            architecture.generator(products=products),
            architecture.discriminator(products=products),
            rate,
            optax.adam(self.discriminator_rate, b1=self.beta1, b2=recipe.beta2),
            architecture.encoder(products=products) if with_encoder else None,
            rate if with_encoder else None,
        )


Judge = Callable[[Callable[..., Any], dict[str, Any]], float]
"""(draw, networks) -> score, the lower the better; draw: (variables, z) -> bytes."""


def run(
    this: training.Run,
    faces: data.Faces,
    architecture: dcgan.Architecture,
    settings: Settings,
    *,
    start: weights.Model | None = None,
    judge: Judge | None = None,
) -> weights.Model:
    """Trains from where the store stands to the last step.

    Args:
      this: where it leaves what it makes, and when.
      faces: what to learn from.
      architecture: of the networks.
      settings: of the training.
      start: networks to start from in place of fresh ones.
      judge: scores each checkpoint, so that the best one is kept.

    Returns:
      The averaged generator, the discriminator, and the encoder if there is one.
    """
    players, rules = settings.players(architecture), settings.recipe.rules()
    key_init, key_steps, key_samples = jax.random.split(
        jax.random.key(settings.seed), 3
    )
    static: Any = {"players": players, "rules": rules}
    state = jax.jit(functools.partial(train_gan.init, **static))(key_init)
    if start is not None:
        state = _starting_from(start, state)
    meta = {
        "architecture": dataclasses.asdict(architecture),
        "crop": settings.crop,
        "encodes": settings.encodes,
        "prior": rules.prior,
        "settings": options.stored(settings),
        "pictures": faces.digest,
    }
    rows = stepping.rows(
        faces.images, batch_size=settings.batch_size, seed=settings.seed
    )
    average = jax.jit(
        functools.partial(
            gan_networks.averaged_generator,
            generator=players.generator,
            prior=rules.prior,
        )
    )

    def networks(state):
        found = {
            "generator": average(key_samples, state),
            "discriminator": gan_networks.fixed_discriminator(state, rules=rules),
        }
        return found if players.encoder is None else {**found, "encoder": state.encoder}

    fixed_z = train_gan.sample_z(key_samples, 64, architecture.z_dim, prior=rules.prior)

    @jax.jit
    def draw(variables, z):
        image: Any = players.generator.apply(variables, z, train=False)
        return pixels.to_bytes(image)

    def show(step, state):
        images = np.asarray(draw(average(key_samples, state), fixed_z))
        training.write_samples(this.run_dir, step, reporting.in_rows(images))

    state = training.run(
        key_steps,
        this,
        state,
        rows,
        meta=meta,
        advance=jax.tree_util.Partial(
            functools.partial(train_gan.train_step, **static)
        ),
        networks=networks,
        show=show,
        judge=None if judge is None else functools.partial(judge, draw),
        name="generator",
    )
    return weights.Model(
        architecture,
        settings.crop,
        **networks(state),
        source={"path": str(this.run_dir), "step": int(state.step)},
        encodes=settings.encodes,
        prior=rules.prior,
    )


def _starting_from(model, state):
    # Copies: the steps reuse the memory of the state that they are given.
    networks: Any = jax.tree.map(jnp.array, model.networks)
    average = jax.tree.map(jnp.array, model.generator["params"])
    if not state.encoder["params"]:
        networks.pop("encoder", None)
    return state._replace(**networks, average=average)


def judged_by(faces: data.Faces, *, crop: int, z_dim: int) -> Judge:
    """Scores networks by the Frechet distance of their samples from real faces."""
    real = embedding.embed(faces.images[:_JUDGED], crop=crop)
    z = train_gan.sample_z(jax.random.key(0), len(real), z_dim)

    def judge(draw, networks):
        samples = np.asarray(draw(networks["generator"], z))
        return float(distribution.frechet(embedding.embed(samples, crop=crop), real))

    return judge
