"""The search finds minima in the box, keeps the best point, and keeps rows apart."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inpaint_jax.search import latent_descent

pytestmark = pytest.mark.usefixtures("standard_promotion")

START = np.array(
    [[0.9, -0.4, 0.0], [-0.7, 0.2, 0.5], [0.1, 0.1, -0.9]], dtype=np.float32
)
CURVATURE = np.array([1.0, 3.0, 0.5], dtype=np.float32)


def bowl(target):
    def objective(key, z, taken):
        del key
        terms = jnp.asarray(CURVATURE)[None] * (z - target) ** 2
        return jnp.sum(terms, axis=1), terms[:, 0]

    return objective


@functools.partial(jax.jit, static_argnames=("optimizer", "iterations"))
def descend(z, target, *, optimizer, iterations):
    state = latent_descent.init(jax.random.key(0), z, optimizer=optimizer)
    return latent_descent.solve(
        state, objective=bowl(target), optimizer=optimizer, iterations=iterations
    )


@functools.partial(jax.jit, static_argnames="iterations")
def root(z, floor, *, iterations):
    # NaN, and with it the gradient, as soon as a row's first number is below its floor.
    def objective(key, z, taken):
        del key
        return jnp.sqrt(z[:, 0] - floor) + jnp.sum(z[:, 1:] ** 2, axis=1), None

    optimizer = ADAM
    state = latent_descent.init(jax.random.key(0), z, optimizer=optimizer)
    return latent_descent.solve(
        state, objective=objective, optimizer=optimizer, iterations=iterations
    )


def assert_same(a, b):
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    np.testing.assert_array_equal(a, b)


ADAM = optax.adam(0.05)
NESTEROV = optax.sgd(0.02, momentum=0.9, nesterov=True)
WILD = optax.sgd(100.0)


@pytest.mark.parametrize("optimizer", [ADAM, NESTEROV], ids=["adam", "nesterov"])
def test_the_minimum_of_a_bowl_is_found_and_the_box_is_kept(optimizer):
    # Inside, half outside and outside: the nearest point of the box is the minimum,
    # because the bowl's axes are the box's.
    target = np.array(
        [[0.3, -0.6, 0.5], [0.2, 1.7, -0.1], [-2.0, 3.0, 1.5]], dtype=np.float32
    )
    state, info = descend(START, target, optimizer=optimizer, iterations=300)
    expected = np.clip(target, -1, 1)
    np.testing.assert_allclose(state.best_z, expected, atol=2e-3)
    np.testing.assert_array_equal(state.best_z[2], [-1, 1, 1])
    lowest = np.sum(CURVATURE * (expected - target) ** 2, axis=1)
    np.testing.assert_allclose(state.best_loss, lowest, atol=1e-4)
    assert np.abs(state.z).max() <= 1
    np.testing.assert_array_equal(info.best_loss[-1], state.best_loss)


def test_the_best_point_is_kept_while_the_objective_gets_worse():
    # The step is so long that it jumps from corner to corner of the box.
    target = np.full((3, 3), 0.05, np.float32)
    state, info = descend(START, target, optimizer=WILD, iterations=6)
    loss = np.sum(CURVATURE * (START - target) ** 2, axis=1)
    assert np.all(np.asarray(info.loss)[1:] > loss)
    np.testing.assert_array_equal(state.best_z, START)
    np.testing.assert_allclose(state.best_loss, loss, rtol=1e-6)
    np.testing.assert_allclose(info.loss[0], loss, rtol=1e-6)


def test_the_best_point_is_the_lowest_that_was_visited():
    target = np.array([[0.8, -0.9, 0.1], [0, 0, 0], [5, 5, 5]], np.float32)
    rough = optax.sgd(0.45)
    step = jax.jit(
        functools.partial(latent_descent.step, objective=bowl(target), optimizer=rough)
    )
    state = latent_descent.init(jax.random.key(0), jnp.asarray(START), optimizer=rough)
    visited, lowest = [], []
    for _ in range(8):
        visited.append(np.asarray(state.z))
        state, info = step(state)
        lowest.append(np.asarray(info.best_loss))
    loss = np.sum(CURVATURE * (np.stack(visited) - target) ** 2, axis=2)
    np.testing.assert_allclose(lowest, np.minimum.accumulate(loss), rtol=1e-5)
    best = loss.argmin(axis=0)
    assert 0 < best.max()
    for row in range(3):
        np.testing.assert_array_equal(state.best_z[row], visited[best[row]][row])


def test_the_whole_equals_its_parts():
    target = np.zeros((3, 3), np.float32)

    @functools.partial(jax.jit, static_argnames="iterations")
    def solve(state, *, iterations):
        return latent_descent.solve(
            state, objective=bowl(target), optimizer=ADAM, iterations=iterations
        )

    start = latent_descent.init(jax.random.key(0), jnp.asarray(START), optimizer=ADAM)
    whole, info = solve(start, iterations=10)
    middle, first = solve(start, iterations=4)
    parts, second = solve(middle, iterations=6)
    jax.tree.map(assert_same, whole, parts)
    for all_steps, a, b in zip(info, first, second, strict=True):
        np.testing.assert_array_equal(all_steps, np.concatenate([a, b]))
    assert not np.array_equal(middle.z, whole.z)


def test_rows_are_independent():
    target = np.array([[0.3, -0.6, 0.5], [5, 5, 5], [0, 0, 0]], np.float32)
    together, info = descend(START, target, optimizer=ADAM, iterations=20)
    for row in range(3):
        rows = slice(row, row + 1)
        alone, alone_info = descend(
            START[rows], target[rows], optimizer=ADAM, iterations=20
        )
        np.testing.assert_allclose(together.z[rows], alone.z, atol=1e-6)
        np.testing.assert_allclose(info.loss[:, rows], alone_info.loss, rtol=1e-4)


def test_a_row_that_becomes_nan_keeps_its_best_and_disturbs_nobody():
    healthy = np.full(3, -2, np.float32)
    broken = np.array([-2, -0.8, -2], np.float32)
    _, before = root(START, healthy, iterations=12)
    state, info = root(START, broken, iterations=12)
    loss = np.asarray(info.loss)
    dead = np.isnan(loss)
    assert dead[-1].tolist() == [False, True, False] and not dead[0].any()
    last = np.flatnonzero(~dead[:, 1])[-1]
    assert state.best_loss[1] == loss[: last + 1, 1].min()
    z = np.asarray(state.best_z[1])
    again = np.sqrt(z[0] - broken[1]) + np.sum(z[1:] ** 2)
    np.testing.assert_allclose(again, state.best_loss[1], rtol=1e-4)
    np.testing.assert_array_equal(loss[:, ::2], before.loss[:, ::2])


def test_a_row_that_is_nan_from_the_start_has_no_best_loss():
    state, _ = root(START, np.array([-2, 0, -2], np.float32), iterations=3)
    assert np.isfinite(state.best_loss).tolist() == [True, False, True]
    np.testing.assert_array_equal(state.best_loss[1], np.inf)
    np.testing.assert_array_equal(state.best_z[1], START[1])


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_a_loss_that_is_not_finite_is_never_the_best(bad):
    def objective(key, z, taken):
        del key
        loss = jnp.sum(z**2, axis=1)
        return jnp.where(jnp.arange(3) == 1, bad, loss), None

    start = latent_descent.init(jax.random.key(0), jnp.asarray(START), optimizer=ADAM)
    state, _ = jax.jit(
        functools.partial(latent_descent.step, objective=objective, optimizer=ADAM)
    )(start)
    expected = np.sum(START**2, axis=1)
    expected[1] = np.inf
    np.testing.assert_allclose(state.best_loss, expected, rtol=1e-6)


def test_five_steps_equal_adam_in_numpy():
    target = np.array([[0.3, -0.6, 0.5], [0.2, 1.7, -0.1], [-2, 3, 1.5]], np.float32)
    optimizer = optax.adam(0.3)
    state, info = descend(START, target, optimizer=optimizer, iterations=5)
    # Algorithm 1 of Kingma and Ba 2015, then the projection onto the box.
    z = START.astype(np.float64)
    first, second = np.zeros_like(z), np.zeros_like(z)
    for t in range(1, 6):
        loss = np.sum(CURVATURE * (z - target) ** 2, axis=1)
        np.testing.assert_allclose(info.loss[t - 1], loss, rtol=1e-4)
        gradient = 2 * CURVATURE * (z - target)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        move = first / (1 - 0.9**t) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
        z = np.clip(z - 0.3 * move, -1, 1)
    assert np.any(np.abs(z) == 1) and np.any(np.abs(z) < 1)
    np.testing.assert_allclose(state.z, z, atol=5e-5)


def test_rank_puts_the_lowest_first_and_nan_last():
    score = jnp.array([[3.0, jnp.nan, 1.0, -2.0], [jnp.nan, jnp.nan, 5.0, 4.0]])
    np.testing.assert_array_equal(
        latent_descent.rank(score), [[3, 2, 0, 1], [3, 2, 0, 1]]
    )


def test_rank_is_stable():
    score = jnp.array([[1.0, 0.0, 1.0, 0.0, jnp.nan, 1.0, jnp.nan]])
    np.testing.assert_array_equal(latent_descent.rank(score), [[1, 3, 0, 2, 5, 4, 6]])


def test_rank_puts_nan_behind_infinity():
    score = jnp.array([[jnp.nan, jnp.inf, 0.0]])
    np.testing.assert_array_equal(latent_descent.rank(score), [[2, 1, 0]])


def test_an_objective_gets_a_fresh_key_at_each_step():
    def objective(key, z, taken):
        draw = jax.random.uniform(key, (z.shape[0],))
        return draw + 0.0 * jnp.sum(z, axis=1), None

    @jax.jit
    def run(key):
        state = latent_descent.init(key, jnp.asarray(START), optimizer=ADAM)
        return latent_descent.solve(
            state, objective=objective, optimizer=ADAM, iterations=4
        )

    drawn = np.asarray(run(jax.random.key(0))[1].loss)
    assert len(np.unique(drawn)) == drawn.size
    np.testing.assert_array_equal(drawn, run(jax.random.key(0))[1].loss)
    assert not np.array_equal(drawn, run(jax.random.key(1))[1].loss)


def test_searches_that_are_taken_out_go_on_as_if_alone():
    target = np.array([[0.3, -0.6, 0.5], [0.2, 0.7, -0.1], [0, 0, 0]], np.float32)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, 10))
    whole, _ = descend(START, target, optimizer=optimizer, iterations=10)
    half, _ = descend(START, target, optimizer=optimizer, iterations=5)
    rows = np.array([2, 0])
    taken = latent_descent.take(half, jnp.asarray(rows))
    state, _ = jax.jit(
        lambda state: latent_descent.solve(
            state, objective=bowl(target[rows]), optimizer=optimizer, iterations=5
        )
    )(taken)
    np.testing.assert_allclose(state.z, np.asarray(whole.z)[rows], atol=1e-6)
    np.testing.assert_allclose(
        state.best_loss, np.asarray(whole.best_loss)[rows], atol=1e-6
    )


def test_each_row_has_its_own_inverse_hessian():
    # In a bowl that is steep one way, L-BFGS is there when Adam is on its way; rows of
    # other shapes beside it change nothing.
    target = np.array([[0.3, -0.6, 0.5], [0.2, 0.7, -0.1], [0, 0, 0]], np.float32)
    optimizer = optax.lbfgs(1.0, memory_size=5, linesearch=None)
    state, _ = descend(START, target, optimizer=optimizer, iterations=25)
    np.testing.assert_allclose(state.best_z, target, atol=1e-3)
    alone, _ = descend(START[:1], target[:1], optimizer=optimizer, iterations=25)
    np.testing.assert_allclose(state.best_z[:1], alone.best_z, atol=1e-5)
