"""Estimated gradients have the mean and the spread that theory gives them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.search import estimators

SLOPE = np.array([1.0, -2.0, 0.5, 0.0], np.float32)
HERE = np.array([0.3, -0.6, 0.9, 0.1], np.float32)
# Variance of one pair's estimate of a linear score with gradient g, in each number.
SPREAD = {
    "spsa": lambda g: np.sum(g**2) - g**2,
    "evolution_strategies": lambda g: np.sum(g**2) + g**2,
}
both = pytest.mark.parametrize("name", SPREAD)


def linear(z):
    return z @ jnp.asarray(SLOPE)


@functools.cache
def compiled(name, **options):
    """(key, z) -> gradient, one for each row."""
    estimator = getattr(estimators, name)

    def run(key, z):
        return jax.grad(lambda z: jnp.sum(estimator(key, z, **options)))(z)

    return jax.jit(run)


def gradient(name, key, z, **options):
    return np.asarray(compiled(name, **options)(key, jnp.asarray(z, jnp.float32)))


def rows(point, count):
    return np.tile(np.asarray(point, np.float32), (count, 1))


def assert_mean(samples, expected, variance):
    """The mean of the rows is the expected one, within five standard errors."""
    error = np.sqrt(np.asarray(variance) / len(samples))
    assert np.all(np.abs(samples.mean(axis=0) - expected) <= 5 * error + 1e-4)


@both
@pytest.mark.parametrize("pairs", [1, 8])
def test_a_linear_score_has_the_mean_and_variance_of_theory(name, pairs, key):
    z = rows(HERE, 20000)
    got = gradient(name, key, z, score=linear, pairs=pairs, radius=0.1)
    variance = SPREAD[name](SLOPE) / pairs
    assert_mean(got, SLOPE, variance)
    # A product of normal numbers has heavy tails: 15 % is five standard errors.
    np.testing.assert_allclose(got.var(axis=0), variance, rtol=0.15)


@both
def test_a_quadratic_score_is_unbiased_at_any_radius(name, key):
    curvature = np.array([2.0, 0.5, -1.0, 3.0], np.float32)

    def score(z):
        return z**2 @ jnp.asarray(curvature)

    z = rows(HERE, 4000)
    got = gradient(name, key, z, score=score, pairs=2, radius=1.5)
    # The even part of the score drops out of each difference, so this is as if linear.
    truth = 2 * curvature * HERE
    assert_mean(got, truth, SPREAD[name](truth) / 2)


def test_spsa_of_one_number_is_the_central_difference(key):
    z = np.linspace(-1, 1, 5, dtype=np.float32)[:, None]
    got = gradient(
        "spsa", key, z, score=lambda z: jnp.exp(z[:, 0]), pairs=3, radius=0.5
    )
    np.testing.assert_allclose(got, np.exp(z) * np.sinh(0.5) / 0.5, rtol=1e-5)


def test_evolution_strategies_estimate_the_slope_of_the_smoothed_step(key):
    # Smoothed by a Gaussian of width r, sign(a z - b) has the derivative
    # 2 a / (r |a|) * density((a z - b) / (r |a|)).
    a, b, radius = np.array([0.6, -0.8], np.float32), 0.1, 0.4

    def score(z):
        return jnp.sign(z @ jnp.asarray(a) - b)

    point = np.array([0.5, 0.0])
    at = (a @ point - b) / radius
    truth = 2 * a / radius * np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi)
    got = gradient(
        "evolution_strategies",
        key,
        rows(point, 4000),
        score=score,
        pairs=4,
        radius=radius,
    )
    assert_mean(got, truth, got.var(axis=0))
    assert np.all(got.std(axis=0) / np.sqrt(4000) < 0.05 * np.abs(truth).max())


def test_spsa_of_a_step_is_its_height_over_the_distance(key):
    z = np.array([[-0.3], [-0.1], [0.15], [0.25]], np.float32)
    got = gradient(
        "spsa", key, z, score=lambda z: jnp.sign(z[:, 0]), pairs=2, radius=0.2
    )
    np.testing.assert_allclose(got, [[0], [5], [5], [0]], rtol=1e-6)


@both
def test_the_value_is_exactly_the_score(name, key):
    z = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)

    def score(z):
        return jnp.round(5.0 * jnp.sum(z, axis=-1))

    estimator = getattr(estimators, name)
    run = jax.jit(functools.partial(estimator, score=score, pairs=2, radius=0.1))
    got = run(key, jnp.asarray(z))
    np.testing.assert_array_equal(got, score(z))


def test_the_estimate_is_multiplied_with_what_comes_back(key):
    z = jnp.asarray(rows(HERE, 3))
    scale = jnp.array([1.0, -2.5, 0.0])

    @jax.jit
    def run(scale):
        def loss(z):
            value = estimators.spsa(key, z, score=linear, pairs=2, radius=0.1)
            return jnp.sum(scale * value) + jnp.sum(z)

        return jax.grad(loss)(z) - 1.0

    once = run(jnp.ones(3))
    assert np.all(np.any(np.asarray(once) != 0, axis=1))
    np.testing.assert_allclose(run(scale), scale[:, None] * once, atol=1e-5)


class Host:
    """A score that is computed outside of the graph, and counts what it is asked."""

    def __init__(self):
        self.rows = 0

    def __call__(self, z):
        shape = jax.ShapeDtypeStruct(z.shape[:-1], z.dtype)
        return jax.pure_callback(self._score, shape, z, vmap_method="broadcast_all")

    def _score(self, z):
        z = np.asarray(z)
        self.rows += z[..., 0].size
        return z @ SLOPE


def test_a_score_of_the_host_is_asked_at_two_points_for_each_pair_and_at_z(key):
    score = Host()

    @jax.jit
    def run(key, z):
        def loss(z):
            return jnp.sum(estimators.spsa(key, z, score=score, pairs=2, radius=0.1))

        return jax.value_and_grad(loss)(z)

    z = rows(HERE, 3)
    _, got = jax.block_until_ready(run(key, z))
    assert score.rows == 3 * (1 + 2 * 2)
    in_graph = gradient("spsa", key, z, score=linear, pairs=2, radius=0.1)
    np.testing.assert_allclose(got, in_graph, atol=1e-4)


def test_a_compiled_program_without_gradient_asks_once(key):
    score = Host()
    run = jax.jit(functools.partial(estimators.spsa, score=score, pairs=3, radius=0.1))
    jax.block_until_ready(run(key, rows(HERE, 5)))
    assert score.rows == 5


@both
def test_the_key_decides(name, key):
    z = rows(HERE, 3)
    run = compiled(name, score=linear, pairs=2, radius=0.1)
    once = run(key, z)
    np.testing.assert_array_equal(once, run(key, z))
    assert np.all(np.any(once != run(jax.random.key(1), z), axis=1))


@both
def test_rows_have_streams_of_their_own(name, key):
    got = gradient(name, key, rows(HERE, 3), score=linear, pairs=2, radius=0.1)
    assert len(np.unique(got, axis=0)) == 3


def test_a_row_depends_on_its_number_and_on_no_other_row(key):
    def score(z):
        return jnp.sin(3.0 * linear(z))

    z = np.random.default_rng(1).uniform(-1, 1, (4, 4)).astype(np.float32)
    other = z.copy()
    other[[0, 2]] = np.nan
    run = compiled("spsa", score=score, pairs=3, radius=0.1)
    whole = run(key, z)
    np.testing.assert_allclose(run(key, other)[1::2], whole[1::2], atol=1e-5)
    np.testing.assert_allclose(run(key, z[:2]), whole[:2], atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_pair_without_score_is_left_out(bad, key):
    # Of the pairs around 0, only those along the falling diagonal have two scores, and
    # all of them say the same.
    def score(z):
        return jnp.where(jnp.min(z, axis=-1) > 0, bad, 5.0 * z[:, 0] + 2.0 * z[:, 1])

    got = gradient("spsa", key, np.zeros((4, 2)), score=score, pairs=16, radius=0.1)
    np.testing.assert_allclose(got, rows([3, -3], 4), rtol=1e-5)


def test_without_any_score_around_z_the_gradient_is_zero(key):
    def score(z):
        return jnp.where(z[:, 0] > 0, jnp.nan, linear(z))

    z = np.stack([HERE, -HERE])
    got = gradient("spsa", key, z, score=score, pairs=4, radius=1e-3)
    np.testing.assert_array_equal(got[0], np.zeros(4))
    assert np.all(got[1] != 0)


def test_rows_of_a_score_may_differ(key):
    # What a search holds for each row, such as its image, stays with the row.
    height = jnp.array([1.0, 10.0, 100.0])
    z = np.linspace(-1, 1, 3, dtype=np.float32)[:, None]
    options = {"pairs": 4, "radius": 0.1}
    got = gradient("spsa", key, z, score=lambda z: height * z[:, 0], **options)
    once = gradient("spsa", key, z, score=lambda z: z[:, 0], **options)
    np.testing.assert_allclose(got, height[:, None] * once, rtol=1e-4)


def test_a_score_may_hold_values_of_a_program_that_is_differentiated(key):
    @jax.jit
    def value(z, slope):
        return estimators.spsa(key, z, score=lambda z: z @ slope, pairs=2, radius=0.1)

    z = jnp.asarray(rows(HERE, 3))
    got = jax.grad(lambda z: jnp.sum(value(z, jnp.asarray(SLOPE))))(z)
    inside = gradient("spsa", key, z, score=linear, pairs=2, radius=0.1)
    np.testing.assert_allclose(got, inside, atol=1e-4)


def test_vmap_over_keys_and_points_agrees_with_a_loop():
    keys = jax.random.split(jax.random.key(2), 3)
    z = np.random.default_rng(2).uniform(-1, 1, (3, 3, 4)).astype(np.float32)
    run = compiled("spsa", score=linear, pairs=2, radius=0.1)
    together = jax.vmap(run)(keys, jnp.asarray(z))
    for i in range(3):
        np.testing.assert_allclose(together[i], run(keys[i], z[i]), atol=1e-4)


@both
def test_a_count_falls_in_a_compiled_descent(name, key):
    # The number of coordinates further than 0.2 from their place: no slope at all.
    target = jnp.array([0.5, -0.4, 0.1, 0.3])

    def score(z):
        return jnp.sum(jnp.abs(z - target[None]) > 0.2, axis=-1, dtype=z.dtype)

    @jax.jit
    def descend(z):
        def move(z, key):
            value, slope = jax.value_and_grad(
                lambda z: jnp.sum(
                    getattr(estimators, name)(
                        key, z, score=score, pairs=16, radius=0.35
                    )
                )
            )(z)
            return z - 0.02 * slope, value

        return jax.lax.scan(move, z, jax.random.split(key, 60))

    _, counts = descend(jnp.asarray(rows([0, 0, 0, 0], 5)))
    assert counts[0] == 15
    assert counts[-1] <= 2


@both
@pytest.mark.parametrize(
    ("wrong", "value"), [("pairs", 0), ("radius", 0.0), ("radius", -0.5)]
)
def test_no_pairs_or_no_radius_is_refused(name, wrong, value, key):
    options = {"pairs": 2, "radius": 0.1} | {wrong: value}
    with pytest.raises(ValueError, match=f"{wrong} .* {value}"):
        getattr(estimators, name)(key, jnp.zeros((1, 4)), score=linear, **options)
