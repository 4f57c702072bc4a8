"""Adversarial training of the DCGAN (eq. 13 of the thesis; Goodfellow et al. 2014).

Two players, G and D, as `judging` has it, and perhaps a third, an encoder E, with which
G must redraw the real images (`redrawing`). All move at once, from the same point.
"""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from inpaint_jax import types
from inpaint_jax.images import augmentation, pixels
from inpaint_jax.models import dcgan
from inpaint_jax.training import descent, judging, redrawing


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


# Within this many images the augmentation's probability goes from 0 to 1; an average is
# never longer than this share of what was seen (Karras et al. 2020).
_ADAPTATION_IMAGES = 100_000
_AVERAGE_SHARE = 0.05
_LOGIT_DECAY = 0.99


class Players(NamedTuple):
    """The networks and how each is moved; static, no weights.

    Attributes:
      generator: G.
      discriminator: D.
      generator_optimizer: moves G.
      discriminator_optimizer: moves D.
      encoder: E; None for the game of two.
      encoder_optimizer: moves E.
    """

    generator: dcgan.Generator
    discriminator: dcgan.Discriminator
    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    encoder: dcgan.Encoder | None = None
    encoder_optimizer: optax.GradientTransformation | None = None


class GANState(NamedTuple):
    """Exactly what the next training step needs.

    Attributes:
      step: number of steps taken, int32 scalar.
      generator: {"params", "batch_stats"}.
      discriminator: {"params", "batch_stats"}; without BatchNorm {"params"}.
      encoder: {"params", "batch_stats"}; {"params": {}} without an encoder.
      average: moving average of the generator's params.
      moments: {"generator", "discriminator", "encoder"}: states of the optimizers.
      augment_probability: of each change of the augmentation.
      real_logit: moving average of D's logit of real images.
    """

    step: Int[Array, ""]
    generator: types.Variables
    discriminator: types.Variables
    encoder: types.Variables
    average: types.Variables
    moments: dict[str, Any]
    augment_probability: Float[Array, ""]
    real_logit: Float[Array, ""]


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
    key: types.PRNGKey, *, players: Players, rules: Rules | None = None
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
    moments = {
        "generator": players.generator_optimizer.init(generator["params"]),
        "discriminator": players.discriminator_optimizer.init(discriminator["params"]),
        "encoder": (),
    }
    encoder: types.Variables = {"params": {}}
    if players.encoder is not None and players.encoder_optimizer is not None:
        mask = image[..., :1]
        encoder = players.encoder.init(key_encoder, image, mask, train=False)
        moments["encoder"] = players.encoder_optimizer.init(encoder["params"])
    adapts = rules.augment_target > 0.0
    return GANState(
        step=jnp.zeros((), jnp.int32),
        generator=generator,
        discriminator=discriminator,
        encoder=encoder,
        average=generator["params"],
        moments=moments,
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
    players: Players,
    rules: Rules,
) -> tuple[GANState, GANInfo]:
    """Moves all players once, from the same point, on one batch.

    One forward pass of each network on the generated images serves both players. With
    BatchNorm D normalises real and generated images by the statistics of their own
    batch; G draws G(z) and G(E(image)) as one batch, so that both are normalised alike.

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

    drawn, draw_pullback, draw_updated = jax.vjp(
        lambda g, e: _draw(players, state, g, e, z, real),
        state.generator["params"],
        state.encoder["params"],
        has_aux=True,
    )
    judged = judging.judge(
        key_views,
        state.discriminator,
        real,
        drawn.fake,
        network=players.discriminator,
        rules=rules.game,
        probability=state.augment_probability,
        penalty=descent.cosine(progress, final=rules.final_penalty),
        penalised=rules.game.penalty_every == 1
        or state.step % rules.game.penalty_every == 0,
    )
    toward, redrawn = _redraw(
        key_match, z, real, drawn, players=players, state=state, rules=rules.redraw
    )
    generator_gradient, encoder_gradient = draw_pullback(
        toward._replace(fake=judged.toward_fooled)
    )
    gradients = {
        "generator": generator_gradient,
        "discriminator": judged.gradient,
        "encoder": encoder_gradient,
    }
    updated = {**draw_updated, "discriminator": judged.updated}
    moved, moments = _move_all(
        players,
        state,
        gradients,
        updated,
        descent.cosine(progress, final=rules.final_rate),
    )
    probability, real_share = _told_apart(state, judged, rules)
    next_state = GANState(
        step=state.step + 1,
        **moved,
        average=_averaged(state, moved["generator"]["params"], real.shape[0], rules),
        moments=moments,
        augment_probability=probability,
        real_logit=_towards(state, jnp.mean(judged.real_logits)),
    )
    info = GANInfo(
        generator_loss=judged.generator_loss,
        discriminator_loss=judged.discriminator_loss,
        real_share=real_share,
        fake_share=jnp.mean(judged.fake_logits > _zero(judged, rules)),
        slope=judged.slope,
        augment_probability=state.augment_probability,
        reconstruction=redrawn.error,
        features=redrawn.features,
        latent_match=redrawn.latent_match,
    )
    return next_state, info


class _Drawn(NamedTuple):
    fake: Any
    code: Any
    rebuilt: Any


def _draw(players, state, generator_params, encoder_params, z, real):
    """G(z), and E(real) with G(E(real)) where there is an encoder."""
    if players.encoder is None:
        fake, updated = _apply(players.generator, state.generator, generator_params, z)
        return _Drawn(fake, None, None), {"generator": updated, "encoder": {}}
    everything = jnp.ones_like(real[..., :1])
    code, encoder_updated = _apply(
        players.encoder, state.encoder, encoder_params, real, everything
    )
    both, updated = _apply(
        players.generator, state.generator, generator_params, jnp.concatenate([z, code])
    )
    fake, rebuilt = jnp.split(both, 2)
    return _Drawn(fake, code, rebuilt), {
        "generator": updated,
        "encoder": encoder_updated,
    }


def _redraw(key, z, real, drawn, *, players, state, rules):
    """What redrawing costs, and its gradient."""
    if drawn.code is None:
        nothing = jnp.zeros(real.shape[0])
        return drawn, redrawing.Redrawn(nothing, nothing, nothing)

    def features(image):
        network = players.discriminator
        options: Any = {"train": False, "features": True}
        return network.apply(state.discriminator, image, **options)

    gradient, redrawn = redrawing.gradient(
        key, z, real, drawn.code, drawn.rebuilt, features=features, rules=rules
    )
    return _Drawn(None, *gradient), redrawn


def _move_all(players, state, gradients, updated, rate):
    optimizers = {
        "generator": players.generator_optimizer,
        "discriminator": players.discriminator_optimizer,
        "encoder": players.encoder_optimizer,
    }
    moved, moments = {}, {}
    for name, optimizer in optimizers.items():
        params, moments[name] = getattr(state, name)["params"], state.moments[name]
        if optimizer is not None:
            params, moments[name] = descent.move(
                optimizer, params, gradients[name], moments[name], rate=rate
            )
        moved[name] = {"params": params, **updated[name]}
    return moved, moments


def _zero(judged, rules):
    """The logit above which an image looks real."""
    relativistic = rules.game.loss == "relativistic"
    return jnp.mean(judged.real_logits) if relativistic else 0.0


def _told_apart(state, judged, rules):
    """The next probability of the augmentation, and the share that led to it."""
    relativistic = rules.game.loss == "relativistic"
    margin = judged.real_logits - (judged.fake_logits if relativistic else 0.0)
    share = jnp.mean(margin > 0)
    if rules.augment_target <= 0.0:
        return state.augment_probability, share
    step = jnp.sign(2.0 * share - 1.0 - rules.augment_target)
    change = step * margin.shape[0] / _ADAPTATION_IMAGES
    probability = state.augment_probability + change
    return jnp.clip(probability, 0.0, rules.augment_probability), share


def _towards(state, real_logit):
    # The first steps count alike, so that the average does not remember its start.
    share = jnp.maximum(1.0 - _LOGIT_DECAY, 1.0 / (state.step + 1.0))
    return state.real_logit + share * (real_logit - state.real_logit)


def _averaged(state, params, batch, rules):
    # In its first steps the average must not remember the random start.
    seen = batch * (state.step + 1.0)
    half_life = jnp.minimum(rules.average_images, _AVERAGE_SHARE * seen)
    decay = 0.5 ** (batch / jnp.maximum(half_life, 1e-3))
    return jax.tree.map(
        lambda old, new: decay * old + (1.0 - decay) * new, state.average, params
    )


def fixed_discriminator(state: GANState, *, rules: Rules) -> types.Variables:
    """Returns D as a search uses it.

    A relativistic D's logits have no zero of their own. They get one here, in the bias
    of the last layer: real images have logit 0 on average. Eq. 19 then asks for faces
    that look as real as the average real one.
    """
    if rules.game.loss != "relativistic":
        return state.discriminator
    params = state.discriminator["params"]
    last = params["to_logit"]
    moved = {**last, "bias": last["bias"] - state.real_logit}
    return {**state.discriminator, "params": {**params, "to_logit": moved}}


def averaged_generator(
    key: types.PRNGKey,
    state: GANState,
    *,
    generator: dcgan.Generator,
    prior: dcgan.Prior = "uniform",
    batches: int = 50,
    batch_size: int = 64,
) -> types.Variables:
    """Returns the averaged weights with BatchNorm statistics that fit them.

    The statistics that training stored belong to the weights of the moment; applied to
    the averaged weights they shift every layer. They are measured again here.

    Args:
      key: of the z that the statistics are measured on.
      state: training state.
      generator: the network.
      prior: of z.
      batches: how many batches to run; the running mean remembers about the last 20.
      batch_size: of these.

    Returns:
      {"params", "batch_stats"} for use with `train=False`; {"params"} without
      BatchNorm.
    """
    if generator.architecture.generator_norm == "none":
        return {"params": state.average}
    z_dim = generator.architecture.z_dim

    def settle(stats, key):
        z = sample_z(key, batch_size, z_dim, prior=prior)
        variables = {"params": state.average, "batch_stats": stats}
        return _apply(generator, variables, state.average, z)[1]["batch_stats"], None

    stats, _ = jax.lax.scan(
        settle, state.generator["batch_stats"], jax.random.split(key, batches)
    )
    return {"params": state.average, "batch_stats": stats}


def _apply(network: nn.Module, variables, params, *inputs):
    return network.apply(
        {**variables, "params": params}, *inputs, train=True, mutable=["batch_stats"]
    )
