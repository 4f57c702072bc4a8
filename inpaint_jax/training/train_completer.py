"""Training of the networks that complete a face in one pass: CE and GFC.

Both are trained to reconstruct a damaged face, and to make it look real to critics,
which are discriminators trained beside them. The context encoder (Pathak et al. 2016)
has a critic of the whole image. Face completion (Li et al. 2017) has a second one of
the hole's content, and a fixed parser. A critic or parser whose weight is 0 is left
out.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from inpaint_jax import types
from inpaint_jax.images import augmentation, masks, pixels
from inpaint_jax.models import context_encoder, dcgan, face_completion
from inpaint_jax.training import completion_loss, descent, gan_losses

# Of all critics; one-sided label smoothing (Salimans et al. 2016).
_ADVERSARIAL = gan_losses.LossConfig(real_label=0.9)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """What a completion network minimises.

    Attributes:
      families: of the masks in training, see `masks.sample`.
      overlap: width of the band around the hole, in pixels, in which errors weigh ten
        times those in the hole, so that both fit together, while known pixels further
        away do not count (Pathak et al., section 4); 0: all pixels count alike.
      lambda_global: weight of the critic of the whole completed image.
      lambda_local: weight of the critic that sees the hole's content only.
      lambda_parsing: weight of the parser's cross entropy in the hole.
    """

    families: tuple[str, ...] = tuple(masks.MASKS)
    overlap: int = 4
    lambda_global: float = 0.0002
    lambda_local: float = 0.0
    lambda_parsing: float = 0.0

    @property
    def critics(self) -> dict[str, float]:
        """{name: weight} of each critic with a weight."""
        weights = {"global": self.lambda_global, "local": self.lambda_local}
        return {name: weight for name, weight in weights.items() if weight > 0.0}


class Networks(NamedTuple):
    """The networks and their optimizers; static, without weights.

    Attributes:
      completer: CE or GFC.
      critic: architecture of the critics.
      completer_optimizer: of the completer's weights.
      critic_optimizer: of each critic's weights.
    """

    completer: context_encoder.ContextEncoder | face_completion.Completer
    critic: dcgan.Discriminator
    completer_optimizer: optax.GradientTransformation
    critic_optimizer: optax.GradientTransformation


class CompleterState(NamedTuple):
    """Exactly what the next training step needs.

    Attributes:
      step: number of steps taken, int32 scalar.
      completer: {"params", "batch_stats"}.
      critics: {name: {"params", "batch_stats"}}.
      opt_state: {"completer", then the critics}: states of the optimizers.
    """

    step: Int[Array, ""]
    completer: types.Variables
    critics: dict[str, types.Variables]
    opt_state: dict[str, Any]


class CompleterInfo(NamedTuple):
    """Metrics of a step; no step depends on them.

    Attributes:
      error: mean squared error in the hole, `[batch]`.
      adversarial_loss: weighted sum over the critics, `[batch]`.
      parsing: cross entropy of the parser in the hole, `[batch]`; 0 without it.
      critic_loss: what the critics minimise, sum over them, `[batch]`.
    """

    error: types.PerExample
    adversarial_loss: types.PerExample
    parsing: types.PerExample
    critic_loss: types.PerExample


def init(
    key: types.PRNGKey, *, networks: Networks, config: TrainConfig
) -> CompleterState:
    """Returns new weights and new states of the optimizers.

    Args:
      key: of the initial weights.
      networks: the networks and their optimizers.
      config: says which critics there are.
    """
    size = networks.completer.architecture.image_size
    image = jnp.zeros((1, size, size, 3))
    key_completer, key_critics = jax.random.split(key)
    completer = networks.completer.init(
        key_completer, image, image[..., :1], train=False
    )
    critics: dict[str, types.Variables] = {
        name: networks.critic.init(
            jax.random.fold_in(key_critics, i), image, train=False
        )
        for i, name in enumerate(config.critics)
    }
    opt_state = {"completer": networks.completer_optimizer.init(completer["params"])}
    for name, critic in critics.items():
        opt_state[name] = networks.critic_optimizer.init(critic["params"])
    return CompleterState(jnp.zeros((), jnp.int32), completer, critics, opt_state)


def train_step(
    key: types.PRNGKey,
    state: CompleterState,
    images: types.ImageBytes,
    progress: descent.Progress = 0.0,
    *,
    networks: Networks,
    config: TrainConfig,
    parser: jax.tree_util.Partial | None = None,
) -> tuple[CompleterState, CompleterInfo]:
    """Updates the completer and its critics at once, from the same point, on one batch.

    Args:
      key: of the flips and the masks.
      state: of the training.
      images: whole faces, uint8 `[batch, H, W, 3]`.
      progress: fraction of the training that is over; the completer's learning rate
        falls to 0 with it.
      networks: the networks and their optimizers.
      config: what is minimised.
      parser: image -> logits of its parts; None if it has no weight.

    Returns:
      The next state, and metrics of this step.
    """
    key_flip, key_mask = jax.random.split(key)
    image = augmentation.random_flip(key_flip, pixels.from_bytes(images))
    batch, height, width, _ = image.shape
    mask = masks.sample(key_mask, batch, (height, width), families=config.families)
    of_completer, completed = jax.grad(_completer_loss, has_aux=True)(
        state.completer["params"],
        state,
        image,
        mask,
        networks=networks,
        config=config,
        parser=parser,
    )
    gradients, updated = {"completer": of_completer}, {"completer": completed.updated}
    critic_loss = jnp.zeros(batch)
    for name in state.critics:
        seen = _seen(name, image, completed.image, mask)
        gradients[name], info = _critic_gradient(state.critics[name], *seen, networks)
        updated[name], critic_loss = info.updated, critic_loss + info.loss
    parts = completed.parts
    return _updated(state, gradients, updated, progress, networks), CompleterInfo(
        parts.error, completed.adversarial_loss, parts.parsing, critic_loss
    )


class _Completed(NamedTuple):
    """What is known once the completer's loss is computed."""

    image: types.Image
    updated: types.Variables
    adversarial_loss: types.PerExample
    parts: completion_loss.Losses


def _completer_loss(
    params: gan_losses.Params,
    state: CompleterState,
    image: types.Image,
    mask: types.Mask,
    *,
    networks: Networks,
    config: TrainConfig,
    parser: jax.tree_util.Partial | None,
) -> tuple[Float[Array, ""], _Completed]:
    """What the completer minimises, as a function of its params."""
    output, updated = networks.completer.apply(
        {**state.completer, "params": params},
        image,
        mask,
        train=True,
        mutable=["batch_stats"],
    )
    # The critics see the completed image, as the user will.
    completed = jnp.where(mask > 0, image, output)
    adversarial = jnp.zeros(image.shape[0])
    for name, weight in config.critics.items():
        adversarial += weight * gan_losses.generator_loss(
            state.critics[name],
            *_seen(name, image, completed, mask),
            discriminator=networks.critic,
            config=_ADVERSARIAL,
        )
    parts = completion_loss.compute(
        output,
        image,
        mask,
        parser=parser,
        overlap=config.overlap,
        lambda_parsing=config.lambda_parsing,
    )
    info = _Completed(completed, updated, adversarial, parts)
    return jnp.mean(parts.total + adversarial), info


def _critic_gradient(
    critic: types.Variables, real: types.Image, fake: types.Image, networks: Networks
) -> tuple[gan_losses.Params, gan_losses.DiscriminatorInfo]:
    return jax.grad(gan_losses.discriminator_loss, has_aux=True)(
        critic["params"],
        critic,
        real,
        fake,
        discriminator=networks.critic,
        config=_ADVERSARIAL,
    )


def _seen(
    critic: str, image: types.Image, completed: types.Image, mask: types.Mask
) -> tuple[types.Image, types.Image]:
    """What a critic sees of the true and of the completed images."""
    seen = (1.0 - mask) if critic == "local" else jnp.ones_like(mask)
    return seen * image, seen * completed


def _updated(
    state: CompleterState,
    gradients: Mapping[str, gan_losses.Params],
    updated: Mapping[str, types.Variables],
    progress: descent.Progress,
    networks: Networks,
) -> CompleterState:
    critics = state.critics
    variables, opt_state = descent.update_all(
        {
            "completer": networks.completer_optimizer,
            **dict.fromkeys(critics, networks.critic_optimizer),
        },
        {"completer": state.completer, **critics},
        gradients,
        state.opt_state,
        updated=updated,
        rates={"completer": descent.cosine(progress), **dict.fromkeys(critics, 1.0)},
    )
    completer = variables.pop("completer")
    return CompleterState(state.step + 1, completer, variables, opt_state)
