"""Adversarial training of the DCGAN (eq. 13 of the thesis; Goodfellow et al. 2014).

A search can only find faces that G can draw, and nothing in the game of two asks G to
draw every face. So there may be a third player: an encoder E, with which G must redraw
the real images from E(image), while E must spread its codes as z is spread (Larsen et
al. 2016; Kolouri et al. 2019). Without an encoder this is the DCGAN as published.
"""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from inpaint_jax import augmentation, losses, pixels, types
from inpaint_jax.models import dcgan


@dataclasses.dataclass(frozen=True)
class Rules:
    """What the players minimise.

    Attributes:
      saturating: whether G minimises log(1 - D(G(z))) as eq. 13 is printed, in place of
        -log D(G(z)).
      real_label: target of D on real images; 0.9 is one-sided label smoothing
        (Salimans et al. 2016).
      augment: whether D sees all images through `augmentation.random_view`.
      average_decay: of the moving average of G's weights.
      lambda_reconstruction: weight of the mean squared error of G(E(image)).
      lambda_latent: weight of `losses.latent_match` of E(image).
    """

    saturating: bool = False
    real_label: float = 1.0
    augment: bool = False
    average_decay: float = 0.999
    lambda_reconstruction: float = 0.0
    lambda_latent: float = 1.0


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
      discriminator: {"params", "batch_stats"}.
      encoder: {"params", "batch_stats"}; both empty without an encoder.
      average: exponential moving average of the generator's params.
      moments: {"generator", "discriminator", "encoder"}: states of the optimizers.
    """

    step: Int[Array, ""]
    generator: types.Variables
    discriminator: types.Variables
    encoder: types.Variables
    average: types.Variables
    moments: dict[str, Any]


class GANInfo(NamedTuple):
    """What a step tells about itself; never fed back.

    Attributes:
      generator_loss: `[batch]`.
      discriminator_loss: `[batch]`.
      real_share: share of real images that D takes for real.
      fake_share: share of generated images that D takes for real.
      reconstruction: mean squared error of G(E(image)), `[batch]`; 0 without E.
      latent_match: `[batch]`; 0 without E.
    """

    generator_loss: types.PerExample
    discriminator_loss: types.PerExample
    real_share: Float[Array, ""]
    fake_share: Float[Array, ""]
    reconstruction: types.PerExample
    latent_match: types.PerExample


def sample_z(key: types.PRNGKey, count: int, z_dim: int) -> types.Latent:
    """Draws latent vectors uniformly from [-1, 1], `[count, z_dim]`."""
    return jax.random.uniform(key, (count, z_dim), minval=-1.0, maxval=1.0)


def init(key: types.PRNGKey, *, players: Players) -> GANState:
    """Returns fresh networks and optimizers.

    Args:
      key: of the initial weights, N(0, 0.02).
      players: networks and optimizers.
    """
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
    encoder: types.Variables = {"params": {}, "batch_stats": {}}
    if players.encoder is not None and players.encoder_optimizer is not None:
        mask = image[..., :1]
        encoder = players.encoder.init(key_encoder, image, mask, train=False)
        moments["encoder"] = players.encoder_optimizer.init(encoder["params"])
    return GANState(
        step=jnp.zeros((), jnp.int32),
        generator=generator,
        discriminator=discriminator,
        encoder=encoder,
        average=generator["params"],
        moments=moments,
    )


def train_step(
    key: types.PRNGKey,
    state: GANState,
    images: types.ImageBytes,
    *,
    players: Players,
    rules: Rules,
) -> tuple[GANState, GANInfo]:
    """Moves all players once, from the same point, on one batch.

    One forward pass of each network on the generated images serves both players. D
    normalises real and generated images by the statistics of their own batch; G draws
    G(z) and G(E(image)) as one batch, so that both are normalised alike.

    Args:
      key: of z, the flips, the augmentation and the directions of `latent_match`.
      state: where the players are.
      images: real images, uint8 `[batch, H, W, 3]`.
      players: networks and optimizers.
      rules: what they minimise.

    Returns:
      The next state, and what happened.
    """
    key_z, key_flip, key_views, key_match = jax.random.split(key, 4)
    real = augmentation.random_flip(key_flip, pixels.from_bytes(images))
    z = sample_z(key_z, real.shape[0], players.generator.architecture.z_dim)

    drawn, draw_pullback, draw_stats = jax.vjp(
        lambda g, e: _draw(players, state, g, e, z, real),
        state.generator["params"],
        state.encoder["params"],
        has_aux=True,
    )
    judged = _judge(key_views, state, real, drawn.fake, players=players, rules=rules)
    redrawn = _redraw(key_match, z, real, drawn, rules=rules)
    generator_gradient, encoder_gradient = draw_pullback(
        redrawn.gradient._replace(fake=judged.toward_fooled)
    )

    optimizers = {
        "generator": players.generator_optimizer,
        "discriminator": players.discriminator_optimizer,
        "encoder": players.encoder_optimizer,
    }
    gradients = {
        "generator": generator_gradient,
        "discriminator": judged.gradient,
        "encoder": encoder_gradient,
    }
    stats = {**draw_stats, "discriminator": judged.stats}
    moved, moments = {}, {}
    for name, optimizer in optimizers.items():
        params = getattr(state, name)["params"]
        params, moments[name] = _move(
            optimizer, params, gradients[name], state.moments[name]
        )
        moved[name] = {"params": params, "batch_stats": stats[name]}
    # In its first steps the average must not remember the random start.
    decay = jnp.minimum(rules.average_decay, (1.0 + state.step) / (10.0 + state.step))
    next_state = GANState(
        step=state.step + 1,
        **moved,
        average=jax.tree.map(
            lambda old, new: decay * old + (1.0 - decay) * new,
            state.average,
            moved["generator"]["params"],
        ),
        moments=moments,
    )
    info = GANInfo(
        generator_loss=judged.generator_loss,
        discriminator_loss=judged.discriminator_loss,
        real_share=jnp.mean(judged.real_logits > 0),
        fake_share=jnp.mean(judged.fake_logits > 0),
        reconstruction=redrawn.error,
        latent_match=redrawn.match,
    )
    return next_state, info


class _Drawn(NamedTuple):
    fake: Any
    code: Any
    rebuilt: Any


def _draw(players, state, generator_params, encoder_params, z, real):
    """G(z), and E(real) with G(E(real)) where there is an encoder."""
    if players.encoder is None:
        fake, stats = _apply(players.generator, state.generator, generator_params, z)
        code, rebuilt, encoder_stats = None, None, state.encoder["batch_stats"]
    else:
        everything = jnp.ones_like(real[..., :1])
        code, encoder_stats = _apply(
            players.encoder, state.encoder, encoder_params, real, everything
        )
        both, stats = _apply(
            players.generator,
            state.generator,
            generator_params,
            jnp.concatenate([z, code]),
        )
        fake, rebuilt = jnp.split(both, 2)
    return _Drawn(fake, code, rebuilt), {"generator": stats, "encoder": encoder_stats}


class _Redrawn(NamedTuple):
    error: Any
    match: Any
    gradient: _Drawn


def _redraw(key, z, real, drawn, *, rules):
    """What redrawing costs, and its gradient."""
    if drawn.code is None:
        nothing = jnp.zeros(real.shape[0])
        return _Redrawn(nothing, nothing, drawn)

    def objective(code, rebuilt):
        error = jnp.mean((rebuilt - real) ** 2, axis=(1, 2, 3))
        match = losses.latent_match(key, code, z)
        each = rules.lambda_reconstruction * error + rules.lambda_latent * match
        return jnp.mean(each), (error, match)

    gradient, (error, match) = jax.grad(objective, argnums=(0, 1), has_aux=True)(
        drawn.code, drawn.rebuilt
    )
    return _Redrawn(error, match, _Drawn(None, *gradient))


class _Judged(NamedTuple):
    gradient: Any
    toward_fooled: Any
    stats: Any
    real_logits: Any
    fake_logits: Any
    generator_loss: Any
    discriminator_loss: Any


def _judge(key, state, real, fake, *, players, rules):
    """D's gradient, and how G(z) must change to fool D."""
    key_real, key_fake = jax.random.split(key)

    def judge(params, image, key_view):
        if rules.augment:
            image = augmentation.random_view(key_view, image)
        return _apply(players.discriminator, state.discriminator, params, image)

    params = state.discriminator["params"]
    real_logits, real_pullback, real_stats = jax.vjp(
        lambda p: judge(p, real, key_real), params, has_aux=True
    )
    fake_logits, fake_pullback, fake_stats = jax.vjp(
        lambda p, image: judge(p, image, key_fake), params, fake, has_aux=True
    )

    def discriminator_objective(real_logits, fake_logits):
        each = losses.discriminator(
            real_logits, fake_logits, real_label=rules.real_label
        )
        return jnp.mean(each), each

    def generator_objective(fake_logits):
        each = losses.generator(fake_logits, saturating=rules.saturating)
        return jnp.mean(each), each

    (toward_real, toward_fake), discriminator_loss = jax.grad(
        discriminator_objective, argnums=(0, 1), has_aux=True
    )(real_logits, fake_logits)
    toward_fooled, generator_loss = jax.grad(generator_objective, has_aux=True)(
        fake_logits
    )
    return _Judged(
        gradient=jax.tree.map(
            jnp.add, real_pullback(toward_real)[0], fake_pullback(toward_fake)[0]
        ),
        toward_fooled=fake_pullback(toward_fooled)[1],
        stats=jax.tree.map(lambda a, b: 0.5 * (a + b), real_stats, fake_stats),
        real_logits=real_logits,
        fake_logits=fake_logits,
        generator_loss=generator_loss,
        discriminator_loss=discriminator_loss,
    )


def averaged_generator(
    key: types.PRNGKey,
    state: GANState,
    *,
    generator: dcgan.Generator,
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
      batches: how many batches to run; the running mean remembers about the last 20.
      batch_size: of these.

    Returns:
      {"params", "batch_stats"} for use with `train=False`.
    """

    def settle(stats, key):
        z = sample_z(key, batch_size, generator.architecture.z_dim)
        variables = {"params": state.average, "batch_stats": stats}
        return _apply(generator, variables, state.average, z)[1], None

    stats, _ = jax.lax.scan(
        settle, state.generator["batch_stats"], jax.random.split(key, batches)
    )
    return {"params": state.average, "batch_stats": stats}


def _apply(network: nn.Module, variables, params, *inputs):
    output, updated = network.apply(
        {**variables, "params": params}, *inputs, train=True, mutable=["batch_stats"]
    )
    return output, updated["batch_stats"]


def _move(optimizer, params, gradient, moments):
    if optimizer is None:
        return params, moments
    updates, moments = optimizer.update(gradient, moments, params)
    return optax.apply_updates(params, updates), moments
