"""Training of the encoder that maps a damaged face to the z where its search starts.

G is fixed. The encoder sees a face under a random mask. Its loss compares G(z) with the
whole face, and once more with the pixels around the hole, as the search does.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from inpaint_jax import losses, types
from inpaint_jax.images import augmentation, masks, pixels
from inpaint_jax.models import dcgan
from inpaint_jax.training import descent, supervised


class EncoderInfo(NamedTuple):
    """Metrics of a step; no step depends on them.

    Attributes:
      error: mean absolute error of G(E(damaged)) over the whole face, `[batch]`.
      context: context loss of the same, normalised (eq. 16), `[batch]`.
    """

    error: types.PerExample
    context: types.PerExample


def fresh(key: types.PRNGKey, *, encoder: dcgan.Encoder) -> types.Variables:
    """Returns an encoder's initial weights, drawn from N(0, 0.02)."""
    size = encoder.architecture.image_size
    image, mask = jnp.zeros((1, size, size, 3)), jnp.zeros((1, size, size, 1))
    return encoder.init(key, image, mask, train=False)


def train_step(
    key: types.PRNGKey,
    state: supervised.State,
    images: types.ImageBytes,
    progress: descent.Progress = 0.0,
    *,
    encoder: dcgan.Encoder,
    generate: types.Generate,
    optimizer: optax.GradientTransformation,
    window: int = 21,
) -> tuple[supervised.State, EncoderInfo]:
    """Takes one step of the encoder.

    Args:
      key: of the flips and the masks.
      state: of the training.
      images: undamaged faces, uint8 `[batch, H, W, 3]`.
      progress: fraction of the training that is over; the learning rate falls to 0
        with it.
      encoder: the network.
      generate: G with its weights, as the search uses it.
      optimizer: of the encoder.
      window: of the context weights, eq. 15, as in the search.

    Returns:
      The next state, and metrics of this step.
    """
    key_flip, key_mask = jax.random.split(key)
    image = augmentation.random_flip(key_flip, pixels.from_bytes(images))
    batch, height, width, _ = image.shape
    mask = masks.sample(key_mask, batch, (height, width))
    weights = losses.image.context_weights(mask, window=window)

    def objective(
        variables: types.Variables,
    ) -> tuple[Float[Array, ""], tuple[EncoderInfo, types.Variables]]:
        z, updated = encoder.apply(
            variables, image, mask, train=True, mutable=["batch_stats"]
        )
        generated = generate(z)
        info = EncoderInfo(
            error=jnp.mean(jnp.abs(generated - image), axis=(1, 2, 3)),
            context=losses.image.context(generated, image, weights, normalised=True),
        )
        return jnp.mean(info.error + info.context), (info, updated)

    rate = descent.cosine(progress)
    return supervised.step(state, objective, optimizer=optimizer, rate=rate)
