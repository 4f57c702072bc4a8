"""Training of the parser that is part of the loss of GFC (Li et al. 2017)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, UInt8

from inpaint_jax import types
from inpaint_jax.images import pixels
from inpaint_jax.models import face_completion
from inpaint_jax.training import descent, supervised


class ParserInfo(NamedTuple):
    """Metrics of a step; no step depends on them.

    Attributes:
      cross_entropy: mean over the pixels, `[batch]`.
      error_rate: fraction of pixels assigned to a wrong part, `[batch]`.
    """

    cross_entropy: types.PerExample
    error_rate: types.PerExample


def init(
    key: types.PRNGKey,
    *,
    parser: face_completion.Parser,
    optimizer: optax.GradientTransformation,
) -> supervised.State:
    """Returns the state of a training before its first step.

    Args:
      key: of the initial weights.
      parser: the network.
      optimizer: of its weights.
    """
    size = parser.architecture.image_size
    variables = parser.init(key, jnp.zeros((1, size, size, 3)), train=False)
    return supervised.init(variables, optimizer=optimizer)


def train_step(
    key: types.PRNGKey,
    state: supervised.State,
    images: types.ImageBytes,
    parsing: UInt8[Array, "batch height width"],
    progress: descent.Progress = 0.0,
    *,
    parser: face_completion.Parser,
    optimizer: optax.GradientTransformation,
) -> tuple[supervised.State, ParserInfo]:
    """Takes one step of the parser.

    Args:
      key: of the flips; a flipped part stays the same part.
      state: of the training.
      images: whole faces, uint8 `[batch, H, W, 3]`.
      parsing: their parts, see `landmarks.parsing`.
      progress: fraction of the training that is over; the learning rate falls to 0
        with it.
      parser: the network.
      optimizer: of its weights.

    Returns:
      The next state, and metrics of this step.
    """
    mirror = jax.random.bernoulli(key, shape=(images.shape[0], 1, 1))
    image = pixels.from_bytes(images)
    image = jnp.where(mirror[..., None], image[:, :, ::-1], image)
    truth = jnp.where(mirror, parsing[:, :, ::-1], parsing).astype(jnp.int32)

    def objective(
        variables: types.Variables,
    ) -> tuple[Float[Array, ""], tuple[ParserInfo, types.Variables]]:
        logits, updated = parser.apply(
            variables, image, train=True, mutable=["batch_stats"]
        )
        cross_entropy = optax.softmax_cross_entropy_with_integer_labels(logits, truth)
        info = ParserInfo(
            cross_entropy=jnp.mean(cross_entropy, axis=(1, 2)),
            error_rate=_error_rate(logits, truth),
        )
        return jnp.mean(info.cross_entropy), (info, updated)

    rate = descent.cosine(progress)
    return supervised.step(state, objective, optimizer=optimizer, rate=rate)


def _error_rate(
    logits: Float[Array, "batch height width classes"],
    truth: Int[Array, "batch height width"],
) -> types.PerExample:
    error_rate = jnp.argmax(logits, axis=-1) != truth
    return jnp.mean(error_rate.astype(jnp.float32), axis=(1, 2))
