"""Supervised training of one network: its state, and one step."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from inpaint_jax import types
from inpaint_jax.training import descent

Objective = Callable[
    [types.Variables], tuple[Float[Array, ""], tuple[Any, Mapping[str, Any]]]
]
"""Variables -> (mean loss, (metrics, {"batch_stats": after this batch}))."""


class State(NamedTuple):
    """Exactly what the next training step needs.

    Attributes:
      step: number of steps taken, int32 scalar.
      variables: {"params", "batch_stats"} of the network.
      opt_state: state of the optimizer.
    """

    step: Int[Array, ""]
    variables: types.Variables
    opt_state: Any


def init(
    variables: types.Variables, *, optimizer: optax.GradientTransformation
) -> State:
    """Returns the state of a training before its first step.

    Args:
      variables: of the network.
      optimizer: of its weights.
    """
    opt_state = optimizer.init(variables["params"])
    return State(jnp.zeros((), jnp.int32), variables, opt_state)


def step(
    state: State,
    objective: Objective,
    *,
    optimizer: optax.GradientTransformation,
    rate: descent.Progress,
) -> tuple[State, Any]:
    """Takes one step of the optimizer.

    Args:
      state: of the training.
      objective: the loss on one batch.
      optimizer: of the weights.
      rate: factor of its step.

    Returns:
      The next state, and the metrics that the objective returned.
    """

    def of_params(
        params: Mapping[str, Any],
    ) -> tuple[Float[Array, ""], tuple[Any, Mapping[str, Any]]]:
        return objective({**state.variables, "params": params})

    params = state.variables["params"]
    gradient, (info, updated) = jax.grad(of_params, has_aux=True)(params)
    params, opt_state = descent.update(
        optimizer, params, gradient, state.opt_state, rate=rate
    )
    variables = {"params": params, "batch_stats": updated["batch_stats"]}
    return State(state.step + 1, variables, opt_state), info
