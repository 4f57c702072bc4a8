"""The form for the platform runs, and its derivatives are those that are taken."""

import jax
import jax.numpy as jnp
import numpy as np

from inpaint_jax.ops import platform


def here(x, y):
    return jnp.sin(x) * y**2


def elsewhere(x, y):
    # Wrong on purpose: nothing of it may reach a result on CPU.
    return jnp.cos(x) + y


CHOSEN = platform.choose(cpu=here, default=elsewhere)


def test_the_form_for_cpu_runs_with_all_its_derivatives():
    x, y = jnp.float32(0.7), jnp.float32(-1.3)
    for order in range(3):
        ours, theirs = CHOSEN, here
        for _ in range(order):
            ours, theirs = (jax.grad(f, argnums=order % 2) for f in (ours, theirs))
        np.testing.assert_allclose(jax.jit(ours)(x, y), theirs(x, y), rtol=1e-6)


def test_another_platform_gets_the_other_form():
    def program(function, name):
        traced = jax.jit(function).trace(jnp.float32(1.0), jnp.float32(2.0))
        return traced.lower(lowering_platforms=(name,)).as_text()

    assert "cosine" in program(elsewhere, "cuda") and "sine" in program(here, "cuda")
    for name, run, other in (("cpu", "sine", "cosine"), ("cuda", "cosine", "sine")):
        text = program(CHOSEN, name)
        assert f"stablehlo.{run}" in text and f"stablehlo.{other}" not in text
