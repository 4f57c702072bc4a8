"""Moving averages of numbers and of weights that soon forget their first value."""

from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from inpaint_jax import types

# The half-life of an average is at most this fraction of the images seen so far (Karras
# et al. 2020).
_HALF_LIFE_FRACTION = 0.05
_NUMBER_DECAY = 0.99


def number(
    average: Float[Array, ""], new: Float[Array, ""], *, step: Int[Array, ""]
) -> Float[Array, ""]:
    """Updates the average of a number: the plain mean at first, then exponential.

    Args:
      average: of the numbers before.
      new: the next number.
      step: how many numbers came before.
    """
    step_size = jnp.maximum(1.0 - _NUMBER_DECAY, 1.0 / (step + 1.0))
    return average + step_size * (new - average)


def weights(
    average: types.Variables,
    new: types.Variables,
    *,
    step: Int[Array, ""],
    batch: int,
    half_life: float,
) -> types.Variables:
    """Updates the exponential moving average of a network's weights.

    Args:
      average: a tree of arrays.
      new: the weights after this step, the same tree.
      step: number of steps taken before this one.
      batch: images in each of them.
      half_life: of the average, in images; it is shorter while few were seen.
    """
    seen = batch * (step + 1.0)
    half = jnp.minimum(half_life, _HALF_LIFE_FRACTION * seen)
    decay = 0.5 ** (batch / jnp.maximum(half, 1e-3))
    updated: Any = optax.incremental_update(new, average, 1.0 - decay)
    return updated
