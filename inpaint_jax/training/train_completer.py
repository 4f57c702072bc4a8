"""Training of networks that complete a face in one pass: CE and GFC.

Both redraw a damaged face and are told how far they are off; critics tell them how real
the result looks. The context encoder (Pathak et al. 2016) has a critic of the whole
image. Face completion (Li et al. 2017) has one more for the content of the hole, and a
parser that is fixed. Who has a weight of 0 does not take part.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from inpaint_jax import types
from inpaint_jax.images import augmentation, masks, pixels
from inpaint_jax.models import context_encoder, dcgan, face_completion
from inpaint_jax.training import descent, judging

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
      moments: {"completer", then the critics}: states of the optimizers.
    """

    step: Int[Array, ""]
    completer: types.Variables
    critics: dict[str, types.Variables]
    moments: dict[str, Any]


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
    moments = {"completer": players.completer_optimizer.init(completer["params"])}
    for name, critic in critics.items():
        moments[name] = players.critic_optimizer.init(critic["params"])
    return CompleterState(jnp.zeros((), jnp.int32), completer, critics, moments)


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

    def draw(params):
        drawn, updated = players.completer.apply(
            {**state.completer, "params": params},
            image,
            mask,
            train=True,
            mutable=["batch_stats"],
        )
        return drawn, updated["batch_stats"]

    drawn, pullback, stats = jax.vjp(draw, state.completer["params"], has_aux=True)
    # Seen by the critics and the parser as the user will see it.
    whole = jnp.where(mask > 0, image, drawn)
    judged = {
        name: _judge(
            name, state.critics[name], image, whole, mask, network=players.critic
        )
        for name in rules.critics
    }
    toward_fooled = sum(
        (weight * judged[name].toward_fooled for name, weight in rules.critics.items()),
        start=jnp.zeros_like(whole),
    )
    (_, (error, parsing)), toward_true = jax.value_and_grad(
        functools.partial(_redrawing, image, mask, parser, rules=rules), has_aux=True
    )(drawn)
    gradients = {"completer": pullback(toward_true + (1.0 - mask) * toward_fooled)[0]}
    gradients |= {name: each.gradient for name, each in judged.items()}
    all_stats = {"completer": stats}
    all_stats |= {name: each.updated["batch_stats"] for name, each in judged.items()}
    before = {"completer": state.completer, **state.critics}
    moved, moments = {}, {}
    for name, variables in before.items():
        main = name == "completer"
        params, moments[name] = descent.move(
            players.completer_optimizer if main else players.critic_optimizer,
            variables["params"],
            gradients[name],
            state.moments[name],
            rate=descent.cosine(progress) if main else 1.0,
        )
        moved[name] = {"params": params, "batch_stats": all_stats[name]}
    nothing = jnp.zeros(batch)
    info = CompleterInfo(
        error=error,
        fooled=sum(
            (w * judged[n].generator_loss for n, w in rules.critics.items()), nothing
        ),
        parsing=parsing,
        critic_loss=sum((each.discriminator_loss for each in judged.values()), nothing),
    )
    completer = moved.pop("completer")
    return CompleterState(state.step + 1, completer, moved, moments), info


def redrawing_weights(mask: types.Mask, *, rules: Rules) -> types.ContextWeights:
    """Weighs the pixels of the redrawing loss.

    Args:
      mask: `[batch, H, W, 1]`, 1 = known.
      rules: how wide the overlap is.

    Returns:
      `[batch, H, W, 1]`: in the hole 1, around it 10, further away 0; or 1 everywhere.
    """
    if rules.overlap == 0:
        return jnp.ones_like(mask)
    side = 2 * rules.overlap + 1
    window, stride = (1, side, side, 1), (1, 1, 1, 1)
    hole = 1.0 - mask
    near = jax.lax.reduce_window(hole, 0.0, jax.lax.max, window, stride, "SAME")
    return hole + 10.0 * mask * near


def redrawing(
    drawn: types.Image, image: types.Image, mask: types.Mask, *, rules: Rules
) -> types.PerExample:
    """Computes the weighted squared error over all pixels that count.

    It is divided by the number of those pixels, not by the sum of their weights: the
    band around the hole then counts more, but the hole not less. Where the hole counts
    little, the critics decide its colours, and they know no true ones.

    Args:
      drawn: `[batch, H, W, 3]`.
      image: the true one, `[batch, H, W, 3]`.
      mask: `[batch, H, W, 1]`, 1 = known.
      rules: how wide the overlap is.

    Returns:
      `[batch]`.
    """
    weights = redrawing_weights(mask, rules=rules)
    squared = jnp.mean((drawn - image) ** 2, axis=-1, keepdims=True)
    counted = jnp.sum(weights > 0, axis=(1, 2, 3), dtype=jnp.float32)
    return jnp.sum(weights * squared, axis=(1, 2, 3)) / jnp.maximum(counted, 1.0)


def _redrawing(image, mask, parser, drawn, *, rules):
    """Mean over the batch of the weighted squared error and of the parser's loss."""
    hole = 1.0 - mask
    squared = jnp.mean((drawn - image) ** 2, axis=-1, keepdims=True)
    loss = redrawing(drawn, image, mask, rules=rules)
    parsing = jnp.zeros(image.shape[0])
    if parser is not None:
        # The parts of the true face, as sure as the parser is of them.
        target = jax.nn.softmax(parser(image))
        logits = parser(jnp.where(mask > 0, image, drawn))
        parsing = _mean_over(
            optax.softmax_cross_entropy(logits, target)[..., None], hole
        )
    each = loss + rules.lambda_parsing * parsing
    return jnp.mean(each), (_mean_over(squared, hole), parsing)


def _mean_over(values, weights):
    total = jnp.sum(weights, axis=(1, 2, 3))
    return jnp.sum(weights * values, axis=(1, 2, 3)) / jnp.maximum(total, 1.0)


def _judge(
    name: str,
    critic: types.Variables,
    image: types.Image,
    whole: types.Image,
    mask: types.Mask,
    *,
    network: dcgan.Discriminator,
) -> judging.Judged:
    """Lets a critic judge what it sees of the true and of the completed image."""
    seen = (1.0 - mask) if name == "local" else jnp.ones_like(mask)
    judged = judging.judge_seen(
        critic, seen * image, seen * whole, network=network, rules=_CRITIC
    )
    return judged._replace(toward_fooled=seen * judged.toward_fooled)
