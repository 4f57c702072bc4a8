"""Moving averages that do not remember where they started."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from inpaint_jax import types

# An average is never longer than this share of what was seen (Karras et al. 2020).
_AVERAGE_SHARE = 0.05
_NUMBER_DECAY = 0.99


def number(
    average: Float[Array, ""], new: Float[Array, ""], *, step: Int[Array, ""]
) -> Float[Array, ""]:
    """Moves the average of a number; the first steps count alike."""
    share = jnp.maximum(1.0 - _NUMBER_DECAY, 1.0 / (step + 1.0))
    return average + share * (new - average)


def weights(
    average: types.Variables,
    new: types.Variables,
    *,
    step: Int[Array, ""],
    batch: int,
    half_life: float,
) -> types.Variables:
    """Moves the average of a network's weights.

    Args:
      average: a tree of arrays.
      new: the weights of the moment.
      step: number of steps taken before this one.
      batch: images in each of them.
      half_life: of the average, in images; shorter where few were seen.
    """
    seen = batch * (step + 1.0)
    half = jnp.minimum(half_life, _AVERAGE_SHARE * seen)
    decay = 0.5 ** (batch / jnp.maximum(half, 1e-3))

    def moved(old: jax.Array, now: jax.Array) -> jax.Array:
        return decay * old + (1.0 - decay) * now

    return jax.tree.map(moved, average, new)
