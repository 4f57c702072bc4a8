"""One network's step: its gradient, its statistics, and what the rate does to them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inpaint_jax.training import supervised

RATE = optax.sgd(0.5)
VARIABLES = {"params": {"w": jnp.array([1.0, -2.0])}, "batch_stats": {"m": jnp.ones(2)}}


def objective(variables):
    """Half the squared length of w, whose gradient is w; it tells each square."""
    squares = variables["params"]["w"] ** 2
    updated = {"batch_stats": {"m": 0.5 * variables["batch_stats"]["m"]}}
    return 0.5 * jnp.sum(squares), (squares, updated)


@pytest.mark.parametrize("rate", [0.0, 0.1, 1.0])
def test_a_step_goes_down_the_gradient_at_the_rate(rate):
    state = supervised.init(VARIABLES, optimizer=RATE)
    moved, info = supervised.step(state, objective, optimizer=RATE, rate=rate)
    expected = (1.0 - 0.5 * rate) * np.array([1.0, -2.0])
    np.testing.assert_allclose(moved.variables["params"]["w"], expected, rtol=1e-6)
    np.testing.assert_array_equal(moved.variables["batch_stats"]["m"], 0.5)
    np.testing.assert_array_equal(info, [1.0, 4.0])
    assert (int(state.step), int(moved.step)) == (0, 1)


def test_the_state_has_the_names_that_checkpoints_know():
    state = supervised.init(VARIABLES, optimizer=optax.adam(1.0))
    assert state._fields == ("step", "variables", "opt_state")
    opt_state = jax.tree.map(jnp.shape, optax.adam(1.0).init(VARIABLES["params"]))
    assert jax.tree.map(jnp.shape, state.opt_state) == opt_state
