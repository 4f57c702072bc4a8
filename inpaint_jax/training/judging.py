"""How a discriminator judges one batch: its gradient, and the way to fool it.

One forward pass of D on the generated images serves both players (eq. 13 of the thesis;
Goodfellow et al. 2014). What D minimises may be eq. 13's cross entropy or the
relativistic paired loss, with a penalty on D's slope at real and generated images.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from inpaint_jax import losses, types
from inpaint_jax.images import augmentation


@dataclasses.dataclass(frozen=True)
class Rules:
    """What D and whoever wants to fool it minimise.

    Attributes:
      loss: "cross_entropy": -log D(G(z)) for G; "saturating": log(1 - D(G(z))), as
        eq. 13 is printed; "relativistic": only the difference of a real and a
        generated image's logits counts (Jolicoeur-Martineau 2018).
      real_label: target of D on real images; 0.9 is one-sided label smoothing
        (Salimans et al. 2016).
      augment: names of `augmentation.CHANGES` that D sees all images through.
      real_penalty: weight of half of D's squared slope at real images (R1).
      fake_penalty: the same at generated images (R2).
      penalty_every: in how many steps the penalties count once, and that many times.
    """

    loss: Literal["cross_entropy", "saturating", "relativistic"] = "cross_entropy"
    real_label: float = 1.0
    augment: tuple[str, ...] = ()
    real_penalty: float = 0.0
    fake_penalty: float = 0.0
    penalty_every: int = 1


class Judged(NamedTuple):
    """What came of it.

    Attributes:
      gradient: of D's mean loss by its parameters.
      toward_fooled: of the other player's mean loss by the generated images.
      updated: D's other collections, such as {"batch_stats": ...}.
      real_logits: `[batch]`.
      fake_logits: `[batch]`.
      generator_loss: `[batch]`.
      discriminator_loss: `[batch]`, penalties apart.
      slope: mean squared slope of D at the images that are penalised; 0 where none is.
    """

    gradient: Any
    toward_fooled: types.Image
    updated: dict[str, Any]
    real_logits: types.Logits
    fake_logits: types.Logits
    generator_loss: types.PerExample
    discriminator_loss: types.PerExample
    slope: Float[Array, ""]


def judge(
    key: types.PRNGKey,
    variables: types.Variables,
    real: types.Image,
    fake: types.Image,
    *,
    network: nn.Module,
    rules: Rules,
    probability: Float[Array, ""] | float = 1.0,
    penalty: Float[Array, ""] | float = 1.0,
    penalised: Bool[Array, ""] | bool = True,
) -> Judged:
    """Lets D judge as many generated images as real ones.

    Args:
      key: of the augmentation.
      variables: D's.
      real: `[batch, H, W, 3]`.
      fake: the same shape.
      network: D.
      rules: what is minimised.
      probability: of each change of the augmentation.
      penalty: what the rules' penalties are multiplied by.
      penalised: whether the penalties count in this step.
    """
    key_real, key_fake = jax.random.split(key)
    view = functools.partial(
        augmentation.random_view, probability=probability, changes=rules.augment
    )
    seen_real = view(key_real, real)
    seen_fake, back = jax.vjp(functools.partial(view, key_fake), fake)
    judged = judge_seen(
        variables,
        seen_real,
        seen_fake,
        network=network,
        rules=rules,
        penalty=penalty,
        penalised=penalised,
    )
    return judged._replace(toward_fooled=back(judged.toward_fooled)[0])


def judge_seen(
    variables: types.Variables,
    real: types.Image,
    fake: types.Image,
    *,
    network: nn.Module,
    rules: Rules,
    penalty: Float[Array, ""] | float = 1.0,
    penalised: Bool[Array, ""] | bool = True,
) -> Judged:
    """Lets D judge images just as they are; see `judge`."""

    def run(params: _Params, image: types.Image) -> tuple[types.Logits, _Updated]:
        return network.apply(
            {**variables, "params": params}, image, train=True, mutable=["batch_stats"]
        )

    params = variables["params"]
    real_logits, real_pullback, real_updated = jax.vjp(
        lambda p: run(p, real), params, has_aux=True
    )
    fake_logits, fake_pullback, fake_updated = jax.vjp(run, params, fake, has_aux=True)
    of_discriminator, of_generator = _losses(rules)
    (toward_real, toward_fake), discriminator_loss = _gradient(
        of_discriminator, real_logits, fake_logits
    )
    (_, toward_fooled), generator_loss = _gradient(
        of_generator, real_logits, fake_logits
    )
    gradient = jax.tree.map(
        jnp.add, real_pullback(toward_real)[0], fake_pullback(toward_fake)[0]
    )
    slope = jnp.zeros(())
    if rules.real_penalty > 0.0 or rules.fake_penalty > 0.0:
        logits = lambda p, image: run(p, image)[0]
        slope, smoother = _penalty(
            logits, params, real, fake, rules=rules, penalised=penalised
        )
        scale = penalty * rules.penalty_every
        gradient = jax.tree.map(lambda g, s: g + scale * s, gradient, smoother)
    return Judged(
        gradient=gradient,
        toward_fooled=fake_pullback(toward_fooled)[1],
        updated=jax.tree.map(lambda a, b: 0.5 * (a + b), real_updated, fake_updated),
        real_logits=real_logits,
        fake_logits=fake_logits,
        generator_loss=generator_loss,
        discriminator_loss=discriminator_loss,
        slope=slope,
    )


class Shares(NamedTuple):
    """How often D is right, and how often it is fooled.

    Attributes:
      told: share of real images that D tells from generated ones.
      fooled: share of generated images that D takes for real.
    """

    told: Float[Array, ""]
    fooled: Float[Array, ""]


def shares(judged: Judged, *, rules: Rules) -> Shares:
    """Counts what D told apart.

    A relativistic D has no zero of its own: it tells each real image from one generated
    image, and takes for real what lies above the average real one.
    """
    if rules.loss == "relativistic":
        rival, zero = judged.fake_logits, jnp.mean(judged.real_logits)
    else:
        rival, zero = 0.0, 0.0
    return Shares(
        told=jnp.mean(judged.real_logits - rival > 0),
        fooled=jnp.mean(judged.fake_logits > zero),
    )


Pair = Callable[[types.Logits, types.Logits], types.PerExample]
"""The logits of real and of generated images -> a loss."""

_Params = Mapping[str, Any]
_Updated = Mapping[str, Any]
_Judge = Callable[[_Params, types.Image], types.Logits]
_Towards = tuple[types.Logits, types.Logits]


def _losses(rules: Rules) -> tuple[Pair, Pair]:
    """What D and G minimise, as functions of the logits of real and generated."""
    if rules.loss == "relativistic":
        return (
            losses.adversarial.relativistic,
            lambda real, fake: losses.adversarial.relativistic(fake, real),
        )
    saturating = rules.loss == "saturating"
    return (
        functools.partial(
            losses.adversarial.discriminator, real_label=rules.real_label
        ),
        lambda real, fake: losses.adversarial.generator(fake, saturating=saturating),
    )


def _gradient(
    loss: Pair, real: types.Logits, fake: types.Logits
) -> tuple[_Towards, types.PerExample]:
    """The gradient of the mean loss by both logits, and each loss."""

    def mean(
        real: types.Logits, fake: types.Logits
    ) -> tuple[Float[Array, ""], types.PerExample]:
        each = loss(real, fake)
        return jnp.mean(each), each

    return jax.grad(mean, argnums=(0, 1), has_aux=True)(real, fake)


def _penalty(
    run: _Judge,
    params: _Params,
    real: types.Image,
    fake: types.Image,
    *,
    rules: Rules,
    penalised: Bool[Array, ""] | bool,
) -> tuple[Float[Array, ""], _Params]:
    """Mean squared slope of D, and the gradient of the weighted halves of it."""
    weighted = [(rules.real_penalty, real), (rules.fake_penalty, fake)]

    def objective(params: _Params) -> tuple[Float[Array, ""], Float[Array, ""]]:
        slopes = [
            (
                weight,
                jnp.mean(
                    losses.adversarial.gradient_penalty(lambda x: run(params, x), image)
                ),
            )
            for weight, image in weighted
            if weight > 0.0
        ]
        zero = jnp.zeros(())
        half = sum((0.5 * weight * slope for weight, slope in slopes), zero)
        return half, sum((slope for _, slope in slopes), zero) / len(slopes)

    def measure() -> tuple[Float[Array, ""], _Params]:
        gradient, slope = jax.grad(objective, has_aux=True)(params)
        return slope, gradient

    def leave() -> tuple[Float[Array, ""], _Params]:
        return jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)

    return measure() if penalised is True else jax.lax.cond(penalised, measure, leave)
