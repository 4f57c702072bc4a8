"""The form for the platform runs, and its derivatives are those that are taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.ops import platform


def here(x, y):
    return x[:, None] * y[None]


def elsewhere(x, y):
    # Wrong on purpose: nothing of it may reach a result on CPU.
    return jnp.flip(x)[:, None] * y[None]


CHOSEN = platform.choose(cpu=here, default=elsewhere)
X, Y = jnp.array([0.7, -1.3]), jnp.array([0.2, 1.1, -0.4])


def slopes(function, order):
    """A number that holds derivatives of the function up to an order."""

    def total(x, y):
        return jnp.sum(jnp.sin(function(x, y)))

    for _ in range(order):
        inner = total

        def total(x, y, inner=inner):
            one, other = jax.grad(inner, argnums=(0, 1))(x, y)
            return jnp.sum(jnp.sin(one)) + jnp.sum(other**2)

    return total


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_the_form_for_cpu_runs_with_all_its_derivatives(order):
    found = jax.jit(slopes(CHOSEN, order))(X, Y)
    np.testing.assert_allclose(found, slopes(here, order)(X, Y), rtol=1e-5)


@pytest.mark.parametrize("order", [0, 2])
def test_another_platform_gets_the_other_form(order):
    def program(name):
        traced = jax.jit(slopes(CHOSEN, order)).trace(X, Y)
        return traced.lower(lowering_platforms=(name,)).as_text()

    assert "stablehlo.reverse" in program("cuda")
    assert "stablehlo.reverse" not in program("cpu")
