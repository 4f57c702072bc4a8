"""Adversarial training of the DCGAN (eq. 13 of the thesis; Goodfellow et al. 2014).

The players of `game` all move at once, from the same point, and with them what the
training keeps up to date: G's average, the augmentation, what D says of real images.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from inpaint_jax import types
from inpaint_jax.images import augmentation, pixels
from inpaint_jax.models import dcgan
from inpaint_jax.training import averaging, descent, game, judging, redrawing


@dataclasses.dataclass(frozen=True)
class Rules:
    """What the players minimise, and how a training goes on.

    Attributes:
      game: of D and whoever wants to fool it.
      redraw: of E and G together.
      prior: of z.
      flip: whether real images are mirrored half of the time.
      augment_probability: of each change of the augmentation; where it adapts, the
        largest.
      augment_target: share of real images that D should tell from generated ones, as a
        mean sign in (0, 1): above it D is learning its images by heart, and the
        augmentation's probability rises (ADA, Karras et al. 2020). 0: it stays.
      average_images: half-life of the moving average of G's weights, in real images.
      final_rate: what the rates have fallen to at the end, as a share; by a cosine.
      final_penalty: the same of the penalties.
    """

    game: judging.Rules = judging.Rules()
    redraw: redrawing.Rules = redrawing.Rules()
    prior: dcgan.Prior = "uniform"
    flip: bool = True
    augment_probability: float = 1.0
    augment_target: float = 0.0
    average_images: float = 50_000.0
    final_rate: float = 1.0
    final_penalty: float = 1.0


# Within this many images the augmentation's probability goes from 0 to 1 (Karras et al.
# 2020).
_ADAPTATION_IMAGES = 100_000


class GANState(NamedTuple):
    """Exactly what the next training step needs.

    Attributes:
      step: number of steps taken, int32 scalar.
      generator: {"params", "batch_stats"}.
      discriminator: {"params", "batch_stats"}; without BatchNorm {"params"}.
      encoder: {"params", "batch_stats"}; {"params": {}} without an encoder.
      average: moving average of the generator's params.
      opt_state: {"generator", "discriminator", "encoder"}: states of the optimizers.
      augment_probability: of each change of the augmentation.
      real_logit: moving average of D's logit of real images.
    """

    step: Int[Array, ""]
    generator: types.Variables
    discriminator: types.Variables
    encoder: types.Variables
    average: types.Variables
    opt_state: dict[str, Any]
    augment_probability: Float[Array, ""]
    real_logit: Float[Array, ""]

    @property
    def networks(self) -> dict[str, types.Variables]:
        """The variables of each player."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "encoder": self.encoder,
        }


class GANInfo(NamedTuple):
    """What a step tells about itself; never fed back.

    Attributes:
      generator_loss: `[batch]`.
      discriminator_loss: `[batch]`.
      real_share: share of real images that D tells from generated ones.
      fake_share: share of generated images that D takes for real.
      slope: mean squared slope of D, where it is penalised.
      augment_probability: of each change of the augmentation.
      reconstruction: error of the pixels of G(E(image)), `[batch]`; 0 without E.
      features: error of D's features of the same; 0 without weight.
      latent_match: `[batch]`; 0 without E.
    """

    generator_loss: types.PerExample
    discriminator_loss: types.PerExample
    real_share: Float[Array, ""]
    fake_share: Float[Array, ""]
    slope: Float[Array, ""]
    augment_probability: Float[Array, ""]
    reconstruction: types.PerExample
    features: types.PerExample
    latent_match: types.PerExample


def sample_z(
    key: types.PRNGKey, count: int, z_dim: int, *, prior: dcgan.Prior = "uniform"
) -> types.Latent:
    """Draws latent vectors, `[count, z_dim]`: uniform on [-1, 1] or normal."""
    if prior == "normal":
        return jax.random.normal(key, (count, z_dim))
    return jax.random.uniform(key, (count, z_dim), minval=-1.0, maxval=1.0)


def init(
    key: types.PRNGKey, *, players: game.Players, rules: Rules | None = None
) -> GANState:
    """Returns fresh networks and optimizers.

    Args:
      key: of the initial weights.
      players: networks and optimizers.
      rules: where the augmentation's probability begins.
    """
    rules = rules or Rules()
    key_generator, key_discriminator, key_encoder = jax.random.split(key, 3)
    architecture = players.generator.architecture
    z = jnp.zeros((1, architecture.z_dim))
    image = jnp.zeros((1, architecture.image_size, architecture.image_size, 3))
    generator = players.generator.init(key_generator, z, train=False)
    discriminator = players.discriminator.init(key_discriminator, image, train=False)
    opt_state = {
        "generator": players.generator_optimizer.init(generator["params"]),
        "discriminator": players.discriminator_optimizer.init(discriminator["params"]),
        "encoder": (),
    }
    encoder: types.Variables = {"params": {}}
    if players.encoder is not None and players.encoder_optimizer is not None:
        mask = image[..., :1]
        encoder = players.encoder.init(key_encoder, image, mask, train=False)
        opt_state["encoder"] = players.encoder_optimizer.init(encoder["params"])
    adapts = rules.augment_target > 0.0
    return GANState(
        step=jnp.zeros((), jnp.int32),
        generator=generator,
        discriminator=discriminator,
        encoder=encoder,
        average=generator["params"],
        opt_state=opt_state,
        augment_probability=jnp.array(
            0.0 if adapts else rules.augment_probability, jnp.float32
        ),
        real_logit=jnp.zeros(()),
    )


def train_step(
    key: types.PRNGKey,
    state: GANState,
    images: types.ImageBytes,
    progress: descent.Progress = 0.0,
    *,
    players: game.Players,
    rules: Rules,
) -> tuple[GANState, GANInfo]:
    """Moves all players once, from the same point, on one batch; see `game.play`.

    Args:
      key: of z, the flips, the augmentation and the directions of `latent_match`.
      state: where the players are.
      images: real images, uint8 `[batch, H, W, 3]`.
      progress: how much of the training is over, from 0 to 1.
      players: networks and optimizers.
      rules: what they minimise.

    Returns:
      The next state, and what happened.
    """
    key_z, key_flip, key_views, key_match = jax.random.split(key, 4)
    real = pixels.from_bytes(images)
    if rules.flip:
        real = augmentation.random_flip(key_flip, real)
    z_dim = players.generator.architecture.z_dim
    z = sample_z(key_z, real.shape[0], z_dim, prior=rules.prior)
    every = rules.game.penalty_every
    judge = functools.partial(
        judging.judge,
        rules=rules.game,
        probability=state.augment_probability,
        penalty=descent.cosine(progress, final=rules.final_penalty),
        penalised=every == 1 or state.step % every == 0,
    )
    played = game.play(
        key_views,
        key_match,
        z,
        real,
        state.networks,
        players=players,
        judge=judge,
        redraw=rules.redraw,
    )
    shares = judging.shares(played.judged, rules=rules.game)
    rate = descent.cosine(progress, final=rules.final_rate)
    moved = _moved(state, played, shares, rate, players=players, rules=rules)
    return moved, _told(state, played, shares)


def _moved(
    state: GANState,
    played: game.Round,
    shares: judging.Shares,
    rate: descent.Progress,
    *,
    players: game.Players,
    rules: Rules,
) -> GANState:
    """The state after a round."""
    networks, opt_state = descent.update_all(
        players.optimizers,
        state.networks,
        played.gradients,
        state.opt_state,
        updated=played.updated,
        rates=dict.fromkeys(state.networks, rate),
    )
    batch = played.judged.real_logits.shape[0]
    average = averaging.weights(
        state.average,
        networks["generator"]["params"],
        step=state.step,
        batch=batch,
        half_life=rules.average_images,
    )
    real_logit = jnp.mean(played.judged.real_logits)
    return GANState(
        step=state.step + 1,
        **networks,
        average=average,
        opt_state=opt_state,
        augment_probability=_next_probability(state, shares.told, batch, rules),
        real_logit=averaging.number(state.real_logit, real_logit, step=state.step),
    )


def _next_probability(
    state: GANState, told: Float[Array, ""], batch: int, rules: Rules
) -> Float[Array, ""]:
    if rules.augment_target <= 0.0:
        return state.augment_probability
    step = jnp.sign(2.0 * told - 1.0 - rules.augment_target)
    probability = state.augment_probability + step * batch / _ADAPTATION_IMAGES
    return jnp.clip(probability, 0.0, rules.augment_probability)


def _told(state: GANState, played: game.Round, shares: judging.Shares) -> GANInfo:
    judged, redrawn = played.judged, played.redrawn
    return GANInfo(
        generator_loss=judged.generator_loss,
        discriminator_loss=judged.discriminator_loss,
        real_share=shares.told,
        fake_share=shares.fooled,
        slope=judged.slope,
        augment_probability=state.augment_probability,
        reconstruction=redrawn.error,
        features=redrawn.features,
        latent_match=redrawn.latent_match,
    )
