"""Steps of optimizers, and the schedules of their learning rates.

A schedule is a function of `progress`, the fraction of the training that is over, and
not of a number of steps, because a training may also end by the clock.
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
    """Returns a factor that falls from 1 to `final` as a cosine (Loshchilov 2017)."""
    return final + (1.0 - final) * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))


def warm_cosine(progress: Progress, *, warm: float) -> Float[Array, ""]:
    """Returns a factor that rises linearly from 0 to 1, then falls to 0 as a cosine.

    Args:
      progress: from 0 to 1.
      warm: fraction of the training in which the factor rises.
    """
    falling = cosine(jnp.maximum(progress - warm, 0.0) / (1.0 - warm))
    return jnp.where(progress < warm, progress / warm, falling)


def update(
    optimizer: optax.GradientTransformation,
    params: Any,
    gradient: Any,
    opt_state: Any,
    *,
    rate: Float[Array, ""] | float = 1.0,
) -> tuple[Any, Any]:
    """Applies one optimizer update, scaled by `rate`; returns params and state.

    Args:
      optimizer: with its highest learning rate.
      params: a tree of arrays.
      gradient: of the loss by them.
      opt_state: the optimizer's state.
      rate: factor of the step.

    Returns:
      The parameters after the step, and the optimizer's next state.
    """
    changes, opt_state = optimizer.update(gradient, opt_state, params)
    changes = jax.tree.map(lambda change: rate * change, changes)
    return optax.apply_updates(params, changes), opt_state


def update_all(
    optimizers: Mapping[str, optax.GradientTransformation | None],
    variables: Mapping[str, types.Variables],
    gradients: Mapping[str, Any],
    opt_state: Mapping[str, Any],
    *,
    updated: Mapping[str, Mapping[str, Any]],
    rates: Mapping[str, Float[Array, ""] | float],
) -> tuple[dict[str, types.Variables], dict[str, Any]]:
    """Applies one update to each of several networks, all at their old parameters.

    Args:
      optimizers: {name: of the network's params}; None for one that is not trained.
      variables: {name: of the network}.
      gradients: {name: of the network's loss by its params}.
      opt_state: {name: state of the optimizer}.
      updated: {name: the network's other collections after this batch}.
      rates: {name: factor of the step}.

    Returns:
      {name: variables} and {name: state of the optimizer}, after the step.
    """
    next_variables, next_opt_state = {}, {}
    for name, optimizer in optimizers.items():
        params, next_opt_state[name] = variables[name]["params"], opt_state[name]
        if optimizer is not None:
            params, next_opt_state[name] = update(
                optimizer, params, gradients[name], opt_state[name], rate=rates[name]
            )
        next_variables[name] = {"params": params, **updated[name]}
    return next_variables, next_opt_state
