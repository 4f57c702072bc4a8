"""What a discriminator minimises, and what the network minimises that it judges.

D's loss is a function of D's parameters, the other one of the generated images, so that
`jax.grad` gives each network its gradient. Each is eq. 13 of the thesis (Goodfellow et
al. 2014) or the relativistic paired loss; D's may contain a penalty on its gradient by
real and generated images.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from inpaint_jax import losses, types
from inpaint_jax.images import augmentation

Params = Mapping[str, Any]
"""The trained part of a network's variables."""


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Which loss is minimised, and how D is kept from winning.

    Attributes:
      loss: "cross_entropy": -log D(G(z)) for G; "saturating": log(1 - D(G(z))), as
        eq. 13 is printed; "relativistic": only the difference of a real and a
        generated image's logits counts (Jolicoeur-Martineau 2018).
      real_label: target of D on real images; 0.9 is one-sided label smoothing
        (Salimans et al. 2016).
      augment: names of `augmentation.CHANGES` that are made to all images before D
        sees them.
      real_penalty: weight of half the squared gradient of D's logit by real images
        (R1).
      fake_penalty: the same for generated images (R2).
      penalty_every: the penalties are added in one of this many steps, multiplied by
        it.
    """

    loss: Literal["cross_entropy", "saturating", "relativistic"] = "cross_entropy"
    real_label: float = 1.0
    augment: tuple[str, ...] = ()
    real_penalty: float = 0.0
    fake_penalty: float = 0.0
    penalty_every: int = 1


class Logits(NamedTuple):
    """D's logits of one batch.

    Attributes:
      real: `[batch]`, of real images.
      fake: `[batch]`, of generated images.
    """

    real: types.Logits
    fake: types.Logits


class DiscriminatorInfo(NamedTuple):
    """What is known once D's loss is computed.

    Attributes:
      loss: `[batch]`, without the penalties.
      logits: of real and generated images.
      gradient_penalty: mean squared gradient of D by the images that are penalised; 0
        in a step without penalties.
      updated: D's other collections after this batch, such as {"batch_stats": ...}.
    """

    loss: types.PerExample
    logits: Logits
    gradient_penalty: Float[Array, ""]
    updated: dict[str, Any]


def discriminator_loss(
    params: Params,
    variables: types.Variables,
    real: types.Image,
    fake: types.Image,
    *,
    discriminator: nn.Module,
    config: LossConfig,
    penalty_scale: Float[Array, ""] | float = 1.0,
    penalised: Bool[Array, ""] | bool = True,
) -> tuple[Float[Array, ""], DiscriminatorInfo]:
    """Computes what D minimises.

    Args:
      params: D's, by which the loss is differentiated.
      variables: D's; their params are not used.
      real: `[batch, H, W, 3]`, as D is to see them.
      fake: the same shape.
      discriminator: D without weights.
      config: the loss.
      penalty_scale: what the penalties are multiplied by.
      penalised: whether this step has penalties.

    Returns:
      The mean loss with its penalties, and its parts.
    """
    variables = {**variables, "params": params}
    logits, updated = _logits(variables, real, fake, discriminator=discriminator)
    if config.loss == "relativistic":
        each = losses.adversarial.relativistic(logits.real, logits.fake)
    else:
        each = losses.adversarial.discriminator(*logits, real_label=config.real_label)
    weighted, penalty = jnp.zeros(()), jnp.zeros(())
    if config.real_penalty > 0.0 or config.fake_penalty > 0.0:
        compute = lambda: _penalties(
            variables, real, fake, discriminator=discriminator, config=config
        )
        zero = weighted, penalty
        weighted, penalty = jax.lax.cond(penalised, compute, lambda: zero)
    loss = jnp.mean(each) + penalty_scale * config.penalty_every * weighted
    return loss, DiscriminatorInfo(each, logits, penalty, updated)


def generator_loss(
    variables: types.Variables,
    real: types.Image,
    fake: types.Image,
    *,
    discriminator: nn.Module,
    config: LossConfig,
) -> types.PerExample:
    """Computes the adversarial loss of generated images.

    Args:
      variables: D's, which are not trained by this.
      real: `[batch, H, W, 3]`, as D is to see them; only the relativistic loss looks.
      fake: the same shape.
      discriminator: D without weights.
      config: the loss.
    """
    logits, _ = _logits(variables, real, fake, discriminator=discriminator)
    if config.loss == "relativistic":
        return losses.adversarial.relativistic(logits.fake, logits.real)
    saturating = config.loss == "saturating"
    return losses.adversarial.generator(logits.fake, saturating=saturating)


def augmented(
    key: types.PRNGKey,
    real: types.Image,
    fake: types.Image,
    *,
    config: LossConfig,
    probability: Float[Array, ""] | float = 1.0,
) -> tuple[types.Image, types.Image]:
    """Changes real and generated images at random, as D is to see them.

    Args:
      key: of the changes; with the same key both losses see the same images.
      real: `[batch, H, W, 3]`.
      fake: the same shape.
      config: which changes are made.
      probability: of each change.
    """
    key_real, key_fake = jax.random.split(key)
    options: Any = {"probability": probability, "changes": config.augment}
    return (
        augmentation.random_view(key_real, real, **options),
        augmentation.random_view(key_fake, fake, **options),
    )


def real_accuracy(logits: Logits, *, config: LossConfig) -> Float[Array, ""]:
    """Computes the fraction of real images that D recognises as real.

    A relativistic D has no threshold: there it is the fraction of pairs in which the
    real image has the larger logit.
    """
    threshold = logits.fake if config.loss == "relativistic" else 0.0
    return jnp.mean(logits.real - threshold > 0)


def fooling_rate(logits: Logits, *, config: LossConfig) -> Float[Array, ""]:
    """Computes the fraction of generated images that D takes for real.

    A relativistic D has no threshold: there it is the fraction of generated images
    whose logit is larger than the mean logit of the real ones.
    """
    threshold = jnp.mean(logits.real) if config.loss == "relativistic" else 0.0
    return jnp.mean(logits.fake > threshold)


def _logits(
    variables: types.Variables,
    real: types.Image,
    fake: types.Image,
    *,
    discriminator: nn.Module,
) -> tuple[Logits, dict[str, Any]]:
    """Logits of both batches, and D's collections after them.

    BatchNorm uses each batch's own statistics; the mean of both is stored.
    """
    (of_real, after_real), (of_fake, after_fake) = (
        discriminator.apply(variables, image, train=True, mutable=["batch_stats"])
        for image in (real, fake)
    )
    updated = jax.tree.map(lambda a, b: 0.5 * (a + b), after_real, after_fake)
    return Logits(of_real, of_fake), updated


def _penalties(
    variables: types.Variables,
    real: types.Image,
    fake: types.Image,
    *,
    discriminator: nn.Module,
    config: LossConfig,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The weighted sum of R1 and R2, halved, and the mean of those with a weight."""

    def logits(image: types.Image) -> types.Logits:
        return discriminator.apply(
            variables, image, train=True, mutable=["batch_stats"]
        )[0]

    weighted, penalties = jnp.zeros(()), []
    for weight, image in ((config.real_penalty, real), (config.fake_penalty, fake)):
        if weight > 0.0:
            squared = jnp.mean(losses.adversarial.gradient_penalty(logits, image))
            weighted += 0.5 * weight * squared
            penalties.append(squared)
    return weighted, sum(penalties, jnp.zeros(())) / len(penalties)
