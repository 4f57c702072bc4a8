"""Training of the encoder for damaged faces: where in latent space to start a search.

G is fixed. From a face under a random mask, the encoder guesses a z whose G(z) is like
the whole face and, where the search will look hardest, like what is around the hole.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from inpaint_jax import losses, types
from inpaint_jax.images import augmentation, masks, pixels
from inpaint_jax.models import dcgan
from inpaint_jax.training import descent


class EncoderState(NamedTuple):
    """Exactly what the next training step needs.

    Attributes:
      step: number of steps taken, int32 scalar.
      variables: {"params", "batch_stats"} of the encoder.
      moments: state of the optimizer.
    """

    step: Int[Array, ""]
    variables: types.Variables
    moments: Any


class EncoderInfo(NamedTuple):
    """What a step tells about itself; never fed back.

    Attributes:
      error: mean absolute error of G(E(damaged)) over the whole face, `[batch]`.
      context: context loss of the same, normalised (eq. 16), `[batch]`.
    """

    error: types.PerExample
    context: types.PerExample


def init(
    variables: types.Variables, *, optimizer: optax.GradientTransformation
) -> EncoderState:
    """Returns the state that starts from an encoder's variables."""
    return EncoderState(
        step=jnp.zeros((), jnp.int32),
        variables=variables,
        moments=optimizer.init(variables["params"]),
    )


def fresh(key: types.PRNGKey, *, encoder: dcgan.Encoder) -> types.Variables:
    """Returns an encoder that has learnt nothing, weights N(0, 0.02)."""
    size = encoder.architecture.image_size
    image, mask = jnp.zeros((1, size, size, 3)), jnp.zeros((1, size, size, 1))
    return encoder.init(key, image, mask, train=False)


def train_step(
    key: types.PRNGKey,
    state: EncoderState,
    images: types.ImageBytes,
    progress: descent.Progress = 0.0,
    *,
    encoder: dcgan.Encoder,
    generate: types.Generate,
    optimizer: optax.GradientTransformation,
    window: int = 21,
) -> tuple[EncoderState, EncoderInfo]:
    """Moves the encoder once.

    Args:
      key: of the flips and the masks.
      state: where training is.
      images: undamaged faces, uint8 `[batch, H, W, 3]`.
      progress: how much of the training is over; the rate falls to 0 with it.
      encoder: the network.
      generate: G with its weights, as the search uses it.
      optimizer: of the encoder.
      window: of the context weights, eq. 15, as in the search.

    Returns:
      The next state, and what happened.
    """
    key_flip, key_mask = jax.random.split(key)
    image = augmentation.random_flip(key_flip, pixels.from_bytes(images))
    batch, height, width, _ = image.shape
    mask = masks.sample(key_mask, batch, (height, width))
    weights = masks.context_weights(mask, window=window)

    def objective(params):
        z, updated = encoder.apply(
            {**state.variables, "params": params},
            image,
            mask,
            train=True,
            mutable=["batch_stats"],
        )
        generated = generate(z)
        info = EncoderInfo(
            error=jnp.mean(jnp.abs(generated - image), axis=(1, 2, 3)),
            context=losses.image.context(generated, image, weights, normalised=True),
        )
        return jnp.mean(info.error + info.context), (info, updated["batch_stats"])

    params = state.variables["params"]
    gradient, (info, stats) = jax.grad(objective, has_aux=True)(params)
    params, moments = descent.move(
        optimizer, params, gradient, state.moments, rate=descent.cosine(progress)
    )
    next_state = EncoderState(
        step=state.step + 1,
        variables={"params": params, "batch_stats": stats},
        moments=moments,
    )
    return next_state, info
