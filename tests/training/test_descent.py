"""Learning rates follow their schedules, and scale what an optimizer does."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inpaint_jax.training import descent

pytestmark = pytest.mark.usefixtures("standard_promotion")

PROGRESS = np.linspace(0.0, 1.0, 41, dtype=np.float32)


def rates(schedule):
    return np.asarray(jax.vmap(schedule)(PROGRESS))


@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
def test_cosine_falls_from_one_to_its_end(final):
    found = rates(lambda progress: descent.cosine(progress, final=final))
    angle = np.pi * PROGRESS.astype(np.float64)
    half = final + (1.0 - final) * (1.0 + np.cos(angle)) / 2.0
    np.testing.assert_allclose(found, half, atol=1e-6)
    assert found[0] == 1.0 and abs(found[-1] - final) < 1e-7
    assert (np.diff(found) <= 0.0).all()
    assert (np.diff(found) < 0.0).all() or final == 1.0


def test_cosine_goes_to_zero_by_default():
    np.testing.assert_array_equal(
        rates(descent.cosine), rates(lambda p: descent.cosine(p, final=0.0))
    )


def test_warm_cosine_rises_evenly_and_falls_by_a_cosine():
    found = rates(lambda progress: descent.warm_cosine(progress, warm=0.25))
    rising, falling = found[:11], found[10:]
    np.testing.assert_allclose(rising, np.linspace(0.0, 1.0, 11), atol=1e-6)
    angle = np.linspace(0.0, np.pi, 31)
    np.testing.assert_allclose(falling, (1.0 + np.cos(angle)) / 2.0, atol=1e-6)
    assert (np.diff(rising) > 0.0).all() and (np.diff(falling) < 0.0).all()


def test_moves_are_those_of_an_optimizer_with_a_schedule():
    rng = np.random.default_rng(0)
    params = {
        "a": jnp.asarray(rng.normal(size=(3, 4)), jnp.float32),
        "b": jnp.asarray(rng.normal(size=4), jnp.float32),
    }
    steps = 6
    schedule = optax.cosine_decay_schedule(0.05, steps, alpha=0.1)
    theirs, ours = optax.adam(schedule, b1=0.5), optax.adam(0.05, b1=0.5)

    @jax.jit
    def both(params, gradients):
        expected, found = params, params
        state, opt_state = theirs.init(params), ours.init(params)
        for i, gradient in enumerate(gradients):
            updates, state = theirs.update(gradient, state, expected)
            expected = optax.apply_updates(expected, updates)
            rate = descent.cosine(i / steps, final=0.1)
            found, opt_state = descent.update(
                ours, found, gradient, opt_state, rate=rate
            )
        return expected, found

    gradients = [
        {
            n: jnp.asarray(rng.normal(size=x.shape), jnp.float32)
            for n, x in params.items()
        }
        for _ in range(steps)
    ]
    expected, found = both(params, gradients)
    for name, start in params.items():
        assert np.abs(found[name] - start).max() > 0.05
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)


def test_a_rate_of_zero_moves_nothing_but_is_remembered():
    params, optimizer = {"a": jnp.ones(3)}, optax.adam(0.1)
    opt_state = optimizer.init(params)
    gradient = {"a": jnp.arange(1.0, 4.0)}
    moved, after = descent.update(optimizer, params, gradient, opt_state, rate=0.0)
    np.testing.assert_array_equal(moved["a"], params["a"])
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(opt_state), strict=True)
    )
