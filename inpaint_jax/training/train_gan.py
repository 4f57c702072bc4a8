"""Adversarial training of the DCGAN (eq. 13 of the thesis; Goodfellow et al. 2014).

A step updates G, D and perhaps an encoder at the same time, from the same point. It
also updates the average of G's weights, the probability of the augmentation and the
average of D's logits of real images.
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
from inpaint_jax.training import (
    averaging,
    descent,
    gan_gradients,
    gan_losses,
    reconstruction_loss,
)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """What is minimised, and how it changes in the course of a training.

    Attributes:
      adversarial: loss of G and D.
      reconstruction: loss of E and G.
      prior: of z.
      flip: whether real images are mirrored half of the time.
      augment_probability: of each change of the augmentation; the largest one if the
        probability adapts.
      augment_target: mean sign of D's verdict on real images, in (0, 1). Above it D
        memorises its images, and the augmentation's probability rises; below it the
        probability falls (ADA, Karras et al. 2020). 0: the probability is constant.
      average_images: half-life of the moving average of G's weights, in real images.
      final_rate: the learning rates at the end, as a fraction of those at the start; a
        cosine lies between.
      final_penalty: the same for the penalties of D.
    """

    adversarial: gan_losses.LossConfig = gan_losses.LossConfig()
    reconstruction: reconstruction_loss.LossConfig = reconstruction_loss.LossConfig()
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
    def variables(self) -> dict[str, types.Variables]:
        """{name of the network: its variables}."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "encoder": self.encoder,
        }


class GANInfo(NamedTuple):
    """Metrics of a step; no step depends on them.

    Attributes:
      generator_loss: `[batch]`.
      discriminator_loss: `[batch]`.
      real_accuracy: fraction of real images that D recognises as real.
      fooling_rate: fraction of generated images that D takes for real.
      gradient_penalty: mean squared gradient of D by the images that are penalised.
      augment_probability: of each change of the augmentation.
      reconstruction: error of the pixels of G(E(image)), `[batch]`; 0 without E.
      feature_matching: error of D's features of the same, `[batch]`; 0 without weight.
      sliced_wasserstein: distance of E's codes from the prior, `[batch]`; 0 without E.
    """

    generator_loss: types.PerExample
    discriminator_loss: types.PerExample
    real_accuracy: Float[Array, ""]
    fooling_rate: Float[Array, ""]
    gradient_penalty: Float[Array, ""]
    augment_probability: Float[Array, ""]
    reconstruction: types.PerExample
    feature_matching: types.PerExample
    sliced_wasserstein: types.PerExample


def sample_z(
    key: types.PRNGKey, count: int, z_dim: int, *, prior: dcgan.Prior = "uniform"
) -> types.Latent:
    """Draws latent vectors, `[count, z_dim]`: uniform on [-1, 1] or normal."""
    if prior == "normal":
        return jax.random.normal(key, (count, z_dim))
    return jax.random.uniform(key, (count, z_dim), minval=-1.0, maxval=1.0)


def init(
    key: types.PRNGKey,
    *,
    networks: gan_gradients.Networks,
    config: TrainConfig | None = None,
) -> GANState:
    """Returns new weights and new states of the optimizers.

    Args:
      key: of the initial weights.
      networks: the networks and their optimizers.
      config: gives the augmentation's first probability.
    """
    config = config or TrainConfig()
    key_generator, key_discriminator, key_encoder = jax.random.split(key, 3)
    architecture = networks.generator.architecture
    z = jnp.zeros((1, architecture.z_dim))
    image = jnp.zeros((1, architecture.image_size, architecture.image_size, 3))
    generator = networks.generator.init(key_generator, z, train=False)
    discriminator = networks.discriminator.init(key_discriminator, image, train=False)
    opt_state = {
        "generator": networks.generator_optimizer.init(generator["params"]),
        "discriminator": networks.discriminator_optimizer.init(discriminator["params"]),
        "encoder": (),
    }
    encoder: types.Variables = {"params": {}}
    if networks.encoder is not None and networks.encoder_optimizer is not None:
        mask = image[..., :1]
        encoder = networks.encoder.init(key_encoder, image, mask, train=False)
        opt_state["encoder"] = networks.encoder_optimizer.init(encoder["params"])
    adapts = config.augment_target > 0.0
    return GANState(
        step=jnp.zeros((), jnp.int32),
        generator=generator,
        discriminator=discriminator,
        encoder=encoder,
        average=generator["params"],
        opt_state=opt_state,
        augment_probability=jnp.array(
            0.0 if adapts else config.augment_probability, jnp.float32
        ),
        real_logit=jnp.zeros(()),
    )


def train_step(
    key: types.PRNGKey,
    state: GANState,
    images: types.ImageBytes,
    progress: descent.Progress = 0.0,
    *,
    networks: gan_gradients.Networks,
    config: TrainConfig,
) -> tuple[GANState, GANInfo]:
    """Updates G, D and the encoder at once, by gradients at their old parameters.

    Args:
      key: of z, the flips, the augmentation and the directions in latent space.
      state: of the training.
      images: real images, uint8 `[batch, H, W, 3]`.
      progress: fraction of the training that is over, from 0 to 1.
      networks: the networks and their optimizers.
      config: what is minimised.

    Returns:
      The next state, and metrics of this step.
    """
    key_z, key_flip, key_views, key_directions = jax.random.split(key, 4)
    real = pixels.from_bytes(images)
    if config.flip:
        real = augmentation.random_flip(key_flip, real)
    z_dim = networks.generator.architecture.z_dim
    z = sample_z(key_z, real.shape[0], z_dim, prior=config.prior)
    gradients = gan_gradients.compute(
        key_directions,
        z,
        real,
        state.variables,
        networks=networks,
        objective=_objective(key_views, state, progress, config),
    )
    info = _metrics(state, gradients, config)
    return _updated(state, gradients, info, progress, networks, config), info


def _objective(
    key: types.PRNGKey, state: GANState, progress: descent.Progress, config: TrainConfig
) -> gan_gradients.Objective:
    adversarial, probability = config.adversarial, state.augment_probability
    every = adversarial.penalty_every
    return gan_gradients.Objective(
        adversarial,
        config.reconstruction,
        view=functools.partial(
            gan_losses.augmented, key, config=adversarial, probability=probability
        ),
        penalty_scale=descent.cosine(progress, final=config.final_penalty),
        penalised=every == 1 or state.step % every == 0,
    )


def _metrics(
    state: GANState, gradients: gan_gradients.Gradients, config: TrainConfig
) -> GANInfo:
    of_discriminator, parts = gradients.discriminator, gradients.reconstruction
    logits: Any = {"logits": of_discriminator.logits, "config": config.adversarial}
    return GANInfo(
        generator_loss=gradients.generator_loss,
        discriminator_loss=of_discriminator.loss,
        real_accuracy=gan_losses.real_accuracy(**logits),
        fooling_rate=gan_losses.fooling_rate(**logits),
        gradient_penalty=of_discriminator.gradient_penalty,
        augment_probability=state.augment_probability,
        reconstruction=parts.pixels,
        feature_matching=parts.feature_matching,
        sliced_wasserstein=parts.sliced_wasserstein,
    )


def _updated(
    state: GANState,
    gradients: gan_gradients.Gradients,
    info: GANInfo,
    progress: descent.Progress,
    networks: gan_gradients.Networks,
    config: TrainConfig,
) -> GANState:
    rate = descent.cosine(progress, final=config.final_rate)
    variables, opt_state = descent.update_all(
        networks.optimizers,
        state.variables,
        gradients.by_params,
        state.opt_state,
        updated=gradients.updated,
        rates=dict.fromkeys(state.variables, rate),
    )
    real_logits = gradients.discriminator.logits.real
    batch = real_logits.shape[0]
    average = averaging.weights(
        state.average,
        variables["generator"]["params"],
        step=state.step,
        batch=batch,
        half_life=config.average_images,
    )
    return GANState(
        step=state.step + 1,
        **variables,
        average=average,
        opt_state=opt_state,
        augment_probability=_next_probability(state, info, batch, config),
        real_logit=averaging.number(
            state.real_logit, jnp.mean(real_logits), step=state.step
        ),
    )


def _next_probability(
    state: GANState, info: GANInfo, batch: int, config: TrainConfig
) -> Float[Array, ""]:
    if config.augment_target <= 0.0:
        return state.augment_probability
    mean_sign = 2.0 * info.real_accuracy - 1.0
    step = jnp.sign(mean_sign - config.augment_target) * batch / _ADAPTATION_IMAGES
    return jnp.clip(state.augment_probability + step, 0.0, config.augment_probability)
