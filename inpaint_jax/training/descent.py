"""How weights are moved: an optimizer's step, its rate falling as the training goes on.

How much of a training is over is given as `progress`, from 0 to 1, and not as a number
of steps: a training may as well be given minutes.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from inpaint_jax import types

Progress = Float[Array, ""] | float


def cosine(progress: Progress, *, final: float = 0.0) -> Float[Array, ""]:
    """Returns what falls from 1 to `final` by half a cosine (Loshchilov 2017)."""
    return final + (1.0 - final) * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))


def warm_cosine(progress: Progress, *, warm: float) -> Float[Array, ""]:
    """Returns what rises evenly from 0 to 1 and then falls to 0 by half a cosine.

    Args:
      progress: from 0 to 1.
      warm: the share of the training in which it rises.
    """
    falling = cosine(jnp.maximum(progress - warm, 0.0) / (1.0 - warm))
    return jnp.where(progress < warm, progress / warm, falling)


def update(
    optimizer: optax.GradientTransformation,
    params: Any,
    gradient: Any,
    opt_state: Any,
    *,
    rate: Progress = 1.0,
) -> tuple[Any, Any]:
    """Moves parameters once.

    Args:
      optimizer: with its own highest rate.
      params: a tree of arrays.
      gradient: of the loss by them.
      opt_state: the optimizer's state.
      rate: what the step is multiplied by.

    Returns:
      The moved parameters, and the optimizer's next state.
    """
    changes, opt_state = optimizer.update(gradient, opt_state, params)
    changes = jax.tree.map(lambda change: rate * change, changes)
    return optax.apply_updates(params, changes), opt_state


def update_all(
    optimizers: Mapping[str, optax.GradientTransformation | None],
    networks: Mapping[str, types.Variables],
    gradients: Mapping[str, Any],
    opt_state: Mapping[str, Any],
    *,
    updated: Mapping[str, Mapping[str, Any]],
    rates: Mapping[str, Progress],
) -> tuple[dict[str, types.Variables], dict[str, Any]]:
    """Moves several networks once, from the same point.

    Args:
      optimizers: {name: of this network}; None for one that stays where it is.
      networks: {name: variables}.
      gradients: {name: by the network's params}.
      opt_state: {name: state of the optimizer}.
      updated: {name: the other collections, as the batch leaves them}.
      rates: {name: what the step is multiplied by}.

    Returns:
      {name: variables} and {name: state of the optimizer}, after the step.
    """
    moved, next_opt_state = {}, {}
    for name, optimizer in optimizers.items():
        params, next_opt_state[name] = networks[name]["params"], opt_state[name]
        if optimizer is not None:
            params, next_opt_state[name] = update(
                optimizer, params, gradients[name], opt_state[name], rate=rates[name]
            )
        moved[name] = {"params": params, **updated[name]}
    return moved, next_opt_state
