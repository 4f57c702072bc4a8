"""Adversarial training of the DCGAN (eq. 13 of the thesis; Goodfellow et al. 2014)."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from inpaint_jax import augmentation, losses, pixels, types
from inpaint_jax.models import dcgan


class Players(NamedTuple):
    """The two networks and how each is moved; static, no weights."""

    generator: dcgan.Generator
    discriminator: dcgan.Discriminator
    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation


class GANState(NamedTuple):
    """Exactly what the next training step needs.

    Attributes:
      step: number of steps taken, int32 scalar.
      generator: {"params", "batch_stats"}.
      discriminator: {"params", "batch_stats"}.
      average: exponential moving average of the generator's params.
      generator_moments: state of the generator's optimizer.
      discriminator_moments: state of the discriminator's optimizer.
    """

    step: Int[Array, ""]
    generator: types.Variables
    discriminator: types.Variables
    average: types.Variables
    generator_moments: Any
    discriminator_moments: Any


class GANInfo(NamedTuple):
    """What a step tells about itself; never fed back.

    Attributes:
      generator_loss: `[batch]`.
      discriminator_loss: `[batch]`.
      real_share: share of real images that D takes for real.
      fake_share: share of generated images that D takes for real.
    """

    generator_loss: types.PerExample
    discriminator_loss: types.PerExample
    real_share: Float[Array, ""]
    fake_share: Float[Array, ""]


def sample_z(key: types.PRNGKey, count: int, z_dim: int) -> types.Latent:
    """Draws latent vectors uniformly from [-1, 1], `[count, z_dim]`."""
    return jax.random.uniform(key, (count, z_dim), minval=-1.0, maxval=1.0)


def init(key: types.PRNGKey, *, players: Players) -> GANState:
    """Returns fresh networks and optimizers.

    Args:
      key: of the initial weights, N(0, 0.02).
      players: networks and optimizers.
    """
    key_generator, key_discriminator = jax.random.split(key)
    architecture = players.generator.architecture
    z = jnp.zeros((1, architecture.z_dim))
    generator = players.generator.init(key_generator, z, train=False)
    image = jnp.zeros((1, architecture.image_size, architecture.image_size, 3))
    discriminator = players.discriminator.init(key_discriminator, image, train=False)
    return GANState(
        step=jnp.zeros((), jnp.int32),
        generator=generator,
        discriminator=discriminator,
        average=generator["params"],
        generator_moments=players.generator_optimizer.init(generator["params"]),
        discriminator_moments=players.discriminator_optimizer.init(
            discriminator["params"]
        ),
    )


def train_step(
    key: types.PRNGKey,
    state: GANState,
    images: types.ImageBytes,
    *,
    players: Players,
    saturating: bool = False,
    real_label: float = 1.0,
    average_decay: float = 0.999,
    augment: bool = False,
) -> tuple[GANState, GANInfo]:
    """Moves both players once, from the same point, on one batch.

    One forward pass of each network on the generated images serves both players. D
    normalises real and generated images by the statistics of their own batch.

    Args:
      key: of z, the flips and the augmentation.
      state: where the players are.
      images: real images, uint8 `[batch, H, W, 3]`.
      players: networks and optimizers.
      saturating: whether G minimises log(1 - D(G(z))) as eq. 13 is printed, in place of
        -log D(G(z)).
      real_label: target of D on real images; 0.9 is one-sided label smoothing
        (Salimans et al. 2016).
      average_decay: of the moving average of G's weights.
      augment: whether D sees all images through `augmentation.random_view`.

    Returns:
      The next state, and what happened.
    """
    key_z, key_flip, key_real, key_fake = jax.random.split(key, 4)
    real = augmentation.random_flip(key_flip, pixels.from_bytes(images))
    z = sample_z(key_z, real.shape[0], players.generator.architecture.z_dim)

    def generate(params):
        return _apply(players.generator, state.generator, params, z)

    def judge(params, image, key_view):
        if augment:
            image = augmentation.random_view(key_view, image)
        return _apply(players.discriminator, state.discriminator, params, image)

    fake, generator_pullback, generator_stats = jax.vjp(
        generate, state.generator["params"], has_aux=True
    )
    params = state.discriminator["params"]
    real_logits, real_pullback, real_stats = jax.vjp(
        lambda p: judge(p, real, key_real), params, has_aux=True
    )
    fake_logits, fake_pullback, fake_stats = jax.vjp(
        lambda p, image: judge(p, image, key_fake), params, fake, has_aux=True
    )

    def discriminator_objective(real_logits, fake_logits):
        each = losses.discriminator(real_logits, fake_logits, real_label=real_label)
        return jnp.mean(each), each

    def generator_objective(fake_logits):
        each = losses.generator(fake_logits, saturating=saturating)
        return jnp.mean(each), each

    (toward_real, toward_fake), discriminator_loss = jax.grad(
        discriminator_objective, argnums=(0, 1), has_aux=True
    )(real_logits, fake_logits)
    toward_fooled, generator_loss = jax.grad(generator_objective, has_aux=True)(
        fake_logits
    )
    discriminator_gradient = jax.tree.map(
        jnp.add, real_pullback(toward_real)[0], fake_pullback(toward_fake)[0]
    )
    generator_gradient = generator_pullback(fake_pullback(toward_fooled)[1])[0]

    generator_params, generator_moments = _move(
        players.generator_optimizer,
        state.generator["params"],
        generator_gradient,
        state.generator_moments,
    )
    discriminator_params, discriminator_moments = _move(
        players.discriminator_optimizer,
        params,
        discriminator_gradient,
        state.discriminator_moments,
    )
    # In its first steps the average must not remember the random start.
    decay = jnp.minimum(average_decay, (1.0 + state.step) / (10.0 + state.step))
    next_state = GANState(
        step=state.step + 1,
        generator={"params": generator_params, "batch_stats": generator_stats},
        discriminator={
            "params": discriminator_params,
            "batch_stats": jax.tree.map(
                lambda a, b: 0.5 * (a + b), real_stats, fake_stats
            ),
        },
        average=jax.tree.map(
            lambda old, new: decay * old + (1.0 - decay) * new,
            state.average,
            generator_params,
        ),
        generator_moments=generator_moments,
        discriminator_moments=discriminator_moments,
    )
    info = GANInfo(
        generator_loss=generator_loss,
        discriminator_loss=discriminator_loss,
        real_share=jnp.mean(real_logits > 0),
        fake_share=jnp.mean(fake_logits > 0),
    )
    return next_state, info


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


def _apply(network: nn.Module, variables, params, x):
    output, updated = network.apply(
        {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
    )
    return output, updated["batch_stats"]


def _move(optimizer, params, gradient, moments):
    updates, moments = optimizer.update(gradient, moments, params)
    return optax.apply_updates(params, updates), moments
