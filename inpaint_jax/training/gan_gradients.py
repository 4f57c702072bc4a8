"""The gradient of each network of the GAN, at the same point and on the same batch.

G and D minimise what `gan_losses` says. With an encoder E, G and E also minimise what
`reconstruction_loss` says. Each loss is differentiated by itself, as it is written; in
one compiled program XLA computes only once what they have in common.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from inpaint_jax import types
from inpaint_jax.models import dcgan
from inpaint_jax.training import gan_losses, reconstruction_loss


class Networks(NamedTuple):
    """The networks of the GAN and their optimizers; static, without weights.

    Attributes:
      generator: G.
      discriminator: D.
      generator_optimizer: of G's weights.
      discriminator_optimizer: of D's weights.
      encoder: E; None to train G and D only.
      encoder_optimizer: of E's weights.
    """

    generator: dcgan.Generator
    discriminator: dcgan.Discriminator
    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    encoder: dcgan.Encoder | None = None
    encoder_optimizer: optax.GradientTransformation | None = None

    @property
    def optimizers(self) -> dict[str, optax.GradientTransformation | None]:
        """{name of the network: its optimizer}."""
        return {
            "generator": self.generator_optimizer,
            "discriminator": self.discriminator_optimizer,
            "encoder": self.encoder_optimizer,
        }


class Objective(NamedTuple):
    """What the networks minimise in one step.

    Attributes:
      adversarial: loss of G and D.
      reconstruction: loss of G and E.
      view: the augmentation: real and generated images -> both as D is to see them.
      penalty_scale: what the penalties of D are multiplied by.
      penalised: whether this step has penalties.
    """

    adversarial: gan_losses.LossConfig
    reconstruction: reconstruction_loss.LossConfig
    view: Callable[[types.Image, types.Image], tuple[types.Image, types.Image]]
    penalty_scale: Float[Array, ""] | float = 1.0
    penalised: Bool[Array, ""] | bool = True


class Gradients(NamedTuple):
    """The gradients of one batch, and the losses and metrics beside them.

    Attributes:
      by_params: {name: gradient of the network's mean loss by its params}.
      updated: {name: the network's other collections after this batch}.
      generator_loss: the adversarial loss of G, `[batch]`.
      discriminator: D's losses and logits.
      reconstruction: losses of G and E; 0 without an encoder.
    """

    by_params: dict[str, types.Variables]
    updated: dict[str, types.Variables]
    generator_loss: types.PerExample
    discriminator: gan_losses.DiscriminatorInfo
    reconstruction: reconstruction_loss.Losses


def compute(
    key: types.PRNGKey,
    z: types.Latent,
    real: types.Image,
    variables: Mapping[str, types.Variables],
    *,
    networks: Networks,
    objective: Objective,
) -> Gradients:
    """Computes the gradients of all networks.

    Args:
      key: of the directions of `losses.adversarial.sliced_wasserstein`.
      z: `[batch, z_dim]`.
      real: `[batch, H, W, 3]`.
      variables: {"generator", "discriminator" and "encoder": of the network}.
      networks: the networks and their optimizers.
      objective: what they minimise.
    """
    of_generator, generator = jax.grad(_generator_loss, has_aux=True)(
        {name: variables[name]["params"] for name in ("generator", "encoder")},
        key,
        z,
        real,
        variables,
        networks,
        objective,
    )
    before = variables["discriminator"]
    of_discriminator, info = jax.grad(gan_losses.discriminator_loss, has_aux=True)(
        before["params"],
        before,
        *objective.view(real, generator.fake),
        discriminator=networks.discriminator,
        config=objective.adversarial,
        penalty_scale=objective.penalty_scale,
        penalised=objective.penalised,
    )
    return Gradients(
        {**of_generator, "discriminator": of_discriminator},
        {**generator.updated, "discriminator": info.updated},
        generator.adversarial,
        info,
        generator.reconstruction,
    )


class _Generated(NamedTuple):
    """G(z), E(real) and G(E(real)); the last two are None without an encoder."""

    fake: types.Image
    code: types.Latent | None
    reconstruction: types.Image | None


class _GeneratorInfo(NamedTuple):
    """What is known once the loss of G and E is computed."""

    fake: types.Image
    updated: dict[str, types.Variables]
    adversarial: types.PerExample
    reconstruction: reconstruction_loss.Losses


def _generator_loss(
    params: Mapping[str, gan_losses.Params],
    key: types.PRNGKey,
    z: types.Latent,
    real: types.Image,
    variables: Mapping[str, types.Variables],
    networks: Networks,
    objective: Objective,
) -> tuple[Float[Array, ""], _GeneratorInfo]:
    """What G and E minimise, as a function of the params of both."""
    generated, updated = _generate(params, z, real, variables, networks)
    adversarial = gan_losses.generator_loss(
        variables["discriminator"],
        *objective.view(real, generated.fake),
        discriminator=networks.discriminator,
        config=objective.adversarial,
    )

    def features(image: types.Image) -> Any:
        return networks.discriminator.apply(
            variables["discriminator"], image, train=False, features=True
        )

    parts = reconstruction_loss.Losses(*4 * (jnp.zeros(real.shape[0]),))
    if generated.code is not None and generated.reconstruction is not None:
        parts = reconstruction_loss.compute(
            key,
            z,
            real,
            generated.code,
            generated.reconstruction,
            features=features,
            config=objective.reconstruction,
        )
    info = _GeneratorInfo(generated.fake, updated, adversarial, parts)
    return jnp.mean(adversarial + parts.total), info


def _generate(
    params: Mapping[str, gan_losses.Params],
    z: types.Latent,
    real: types.Image,
    variables: Mapping[str, types.Variables],
    networks: Networks,
) -> tuple[_Generated, dict[str, types.Variables]]:
    """Generates images, and returns {name: the other collections after this batch}.

    G(z) and G(E(real)) are one batch, so that BatchNorm normalises both alike.
    """

    def apply(name: str, network: nn.Module, *inputs: jax.Array) -> Any:
        trained = {**variables[name], "params": params[name]}
        return network.apply(trained, *inputs, train=True, mutable=["batch_stats"])

    if networks.encoder is None:
        fake, updated = apply("generator", networks.generator, z)
        return _Generated(fake, None, None), {"generator": updated, "encoder": {}}
    everything = jnp.ones_like(real[..., :1])
    code, encoder_updated = apply("encoder", networks.encoder, real, everything)
    both, updated = apply("generator", networks.generator, jnp.concatenate([z, code]))
    fake, reconstruction = jnp.split(both, 2)
    return (
        _Generated(fake, code, reconstruction),
        {"generator": updated, "encoder": encoder_updated},
    )
