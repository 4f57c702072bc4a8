"""Training of one network that is told what is right: its state, and one step of it."""

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
"""Variables -> (mean loss, (info, {"batch_stats": as the batch leaves them}))."""


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
    """Returns the state that starts from a network's variables."""
    opt_state = optimizer.init(variables["params"])
    return State(jnp.zeros((), jnp.int32), variables, opt_state)


def step(
    state: State,
    objective: Objective,
    *,
    optimizer: optax.GradientTransformation,
    rate: descent.Progress,
) -> tuple[State, Any]:
    """Moves the network once.

    Args:
      state: where training is.
      objective: what is minimised, on one batch.
      optimizer: of the weights.
      rate: what its step is multiplied by.

    Returns:
      The next state, and the info of the objective.
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
