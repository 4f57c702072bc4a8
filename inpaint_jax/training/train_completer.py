"""Training of networks that complete a face in one pass: CE and GFC.

Both redraw a damaged face and are told how far they are off; critics tell them how real
the result looks. The context encoder (Pathak et al. 2016) has a critic of the whole
image. Face completion (Li et al. 2017) has one more for the content of the hole, and a
parser that is fixed. Who has a weight of 0 does not take part.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from inpaint_jax import types
from inpaint_jax.images import augmentation, masks, pixels
from inpaint_jax.models import context_encoder, dcgan, face_completion
from inpaint_jax.training import descent, filling, judging

# Of both critics; one-sided label smoothing (Salimans et al. 2016).
_CRITIC = judging.Rules(real_label=0.9)


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a completer minimises.

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
        """Name and weight of each critic that takes part."""
        weights = {"global": self.lambda_global, "local": self.lambda_local}
        return {name: weight for name, weight in weights.items() if weight > 0.0}


class Players(NamedTuple):
    """The networks and how they are moved; static, no weights.

    Attributes:
      completer: CE or GFC.
      critic: architecture of the critics.
      completer_optimizer: moves the completer.
      critic_optimizer: moves the critics.
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
    """What a step tells about itself; never fed back.

    Attributes:
      error: mean squared error in the hole, `[batch]`.
      fooled: what the critics' losses add, `[batch]`.
      parsing: cross entropy of the parser in the hole, `[batch]`; 0 without it.
      critic_loss: sum over the critics, `[batch]`.
    """

    error: types.PerExample
    fooled: types.PerExample
    parsing: types.PerExample
    critic_loss: types.PerExample


def init(key: types.PRNGKey, *, players: Players, rules: Rules) -> CompleterState:
    """Returns fresh networks and optimizers.

    Args:
      key: of the initial weights.
      players: networks and optimizers.
      rules: which critics there are.
    """
    size = players.completer.architecture.image_size
    image = jnp.zeros((1, size, size, 3))
    key_completer, key_critics = jax.random.split(key)
    completer = players.completer.init(
        key_completer, image, image[..., :1], train=False
    )
    critics: dict[str, types.Variables] = {
        name: players.critic.init(
            jax.random.fold_in(key_critics, i), image, train=False
        )
        for i, name in enumerate(rules.critics)
    }
    opt_state = {"completer": players.completer_optimizer.init(completer["params"])}
    for name, critic in critics.items():
        opt_state[name] = players.critic_optimizer.init(critic["params"])
    return CompleterState(jnp.zeros((), jnp.int32), completer, critics, opt_state)


def train_step(
    key: types.PRNGKey,
    state: CompleterState,
    images: types.ImageBytes,
    progress: descent.Progress = 0.0,
    *,
    players: Players,
    rules: Rules,
    parser: jax.tree_util.Partial | None = None,
) -> tuple[CompleterState, CompleterInfo]:
    """Moves completer and critics once, from the same point, on one batch.

    Args:
      key: of the flips and the masks.
      state: where they are.
      images: whole faces, uint8 `[batch, H, W, 3]`.
      progress: how much of the training is over; the completer's rate falls to 0.
      players: networks and optimizers.
      rules: what they minimise.
      parser: image -> logits of its parts; None if it has no weight.

    Returns:
      The next state, and what happened.
    """
    key_flip, key_mask = jax.random.split(key)
    image = augmentation.random_flip(key_flip, pixels.from_bytes(images))
    batch, height, width, _ = image.shape
    mask = masks.sample(key_mask, batch, (height, width), families=rules.families)
    drawn, pullback, updated = _draw(image, mask, state, players=players)
    criticism = _criticise(image, drawn, mask, state, players=players, rules=rules)
    toward_true, filled = filling.gradient(
        drawn,
        image,
        mask,
        parser=parser,
        overlap=rules.overlap,
        lambda_parsing=rules.lambda_parsing,
    )
    toward = toward_true + (1.0 - mask) * criticism.toward_fooled
    moved = _moved(
        state,
        criticism.judged,
        pullback(toward)[0],
        updated,
        progress,
        players=players,
    )
    return moved, CompleterInfo(
        filled.error, criticism.fooled, filled.parsing, criticism.critic_loss
    )


_Pullback = Callable[[types.Image], tuple[types.Variables]]


def _draw(
    image: types.Image, mask: types.Mask, state: CompleterState, *, players: Players
) -> tuple[types.Image, _Pullback, types.Variables]:
    """Draws; with what pulls gradients back to the params, and new statistics."""

    def draw(params: types.Variables) -> tuple[types.Image, types.Variables]:
        variables = {**state.completer, "params": params}
        return players.completer.apply(
            variables, image, mask, train=True, mutable=["batch_stats"]
        )

    return jax.vjp(draw, state.completer["params"], has_aux=True)


class _Criticism(NamedTuple):
    """What the critics say, each, and together by their weights."""

    judged: dict[str, judging.Judged]
    toward_fooled: types.Image
    fooled: types.PerExample
    critic_loss: types.PerExample


def _moved(
    state: CompleterState,
    judged: Mapping[str, judging.Judged],
    gradient: types.Variables,
    updated: types.Variables,
    progress: descent.Progress,
    *,
    players: Players,
) -> CompleterState:
    """The state after the completer went by its gradient, and critics by theirs."""
    critics = {name: each.gradient for name, each in judged.items()}
    of_critics = {name: each.updated for name, each in judged.items()}
    networks, opt_state = descent.update_all(
        {
            "completer": players.completer_optimizer,
            **dict.fromkeys(judged, players.critic_optimizer),
        },
        {"completer": state.completer, **state.critics},
        {"completer": gradient, **critics},
        state.opt_state,
        updated={"completer": updated, **of_critics},
        rates={"completer": descent.cosine(progress), **dict.fromkeys(judged, 1.0)},
    )
    completer = networks.pop("completer")
    return CompleterState(state.step + 1, completer, networks, opt_state)


def _criticise(
    image: types.Image,
    drawn: types.Image,
    mask: types.Mask,
    state: CompleterState,
    *,
    players: Players,
    rules: Rules,
) -> _Criticism:
    # Seen by the critics as the user will see it.
    whole = jnp.where(mask > 0, image, drawn)
    judged = {}
    for name in rules.critics:
        seen = (1.0 - mask) if name == "local" else jnp.ones_like(mask)
        each = judging.judge_seen(
            state.critics[name],
            seen * image,
            seen * whole,
            network=players.critic,
            rules=_CRITIC,
        )
        judged[name] = each._replace(toward_fooled=seen * each.toward_fooled)
    weighted = [(weight, judged[name]) for name, weight in rules.critics.items()]
    nothing = jnp.zeros(image.shape[0])
    return _Criticism(
        judged,
        sum((w * each.toward_fooled for w, each in weighted), jnp.zeros_like(whole)),
        sum((w * each.generator_loss for w, each in weighted), nothing),
        sum((each.discriminator_loss for each in judged.values()), nothing),
    )
