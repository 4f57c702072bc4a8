"""Similarities equal NumPy's in float64, from the singular value decomposition on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.landmarks.cascade import similarity

pytestmark = pytest.mark.usefixtures("optimised")

COUNTS = [2, 5, 68]


def shapes(count, batch):
    """A shape in the unit square, and others that are turned, scaled and bent."""
    rng = np.random.default_rng(count)
    source = rng.uniform(0, 1, (count, 2)).astype(np.float32)
    angle, scale = rng.uniform(-3, 3, batch), rng.uniform(0.5, 2, batch)
    turn = scale * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    target = np.einsum("ijb,pj->bpi", turn, source) + rng.uniform(-1, 1, (batch, 1, 2))
    bent = target + rng.normal(0, 0.05, target.shape)
    return source, bent.astype(np.float32)


def by_decomposition(source, target):
    """Umeyama 1991, eqs. 39 to 42, for each target in float64: rows (a, b)."""
    found = []
    source = np.float64(source)
    from_centre = source - source.mean(0)
    for other in np.float64(target):
        covariance = (other - other.mean(0)).T @ from_centre
        u, size, v = np.linalg.svd(covariance)
        sign = np.array([1.0, np.linalg.det(u) * np.linalg.det(v)])
        matrix = (u * sign) @ v * (size @ sign) / np.sum(from_centre**2)
        found.append(matrix[:, 0])
    return np.array(found)


@pytest.mark.parametrize("count", COUNTS)
def test_fit_is_umeyamas(count):
    source, target = shapes(count, 200)
    got = np.stack(jax.jit(similarity.fit)(source, target), axis=-1)
    np.testing.assert_allclose(got, by_decomposition(source, target), atol=2e-6)


def test_fit_solves_the_least_squares_problem():
    source, target = (np.float64(shape) for shape in shapes(5, 3))
    (u, v), one = (source - source.mean(0)).T, np.ones(5)
    # Unknowns: a, b and the two coordinates that the centre moves to.
    rows = np.concatenate(
        [np.stack([u, -v, one, 0 * one], 1), np.stack([v, u, 0 * one, one], 1)]
    )
    got = np.stack(jax.jit(similarity.fit)(*shapes(5, 3)), axis=-1)
    for i, other in enumerate(target):
        solution = np.linalg.lstsq(rows, other.T.ravel(), rcond=None)[0]
        np.testing.assert_allclose(got[i], solution[:2], atol=1e-6)


@pytest.mark.parametrize("count", COUNTS)
def test_fit_exactly_is_the_rounded_result_of_float64(count):
    source, target = shapes(count, 10_000)
    got = np.stack(jax.jit(similarity.fit_exactly)(source, target), axis=-1)
    expected = by_decomposition(source, target).astype(np.float32)
    assert np.mean(got == expected) >= 0.9999
    # dlib rounds at the end as well; float64 itself may be off where it decides.
    np.testing.assert_array_max_ulp(got, expected, maxulp=1)


def test_fit_exactly_is_the_same_for_a_constant_source():
    source, target = shapes(5, 1000)
    constant = jax.jit(
        lambda target: similarity.fit_exactly(jnp.asarray(source), target)
    )
    np.testing.assert_array_equal(
        constant(target), jax.jit(similarity.fit_exactly)(source, target)
    )


@pytest.mark.parametrize("fit", [similarity.fit, similarity.fit_exactly])
def test_a_shape_fits_itself_and_its_quarter_turn(fit):
    source, _ = shapes(68, 1)
    turned = source[:, ::-1] * np.array([[-1, 1]], np.float32)
    a, b = jax.jit(fit)(source, np.stack([source, turned, 0.5 - 2 * source]))
    np.testing.assert_allclose(a, [1, 0, -2], atol=1e-6)
    np.testing.assert_allclose(b, [0, 1, 0], atol=1e-6)


@pytest.mark.parametrize("fit", [similarity.fit, similarity.fit_exactly])
def test_a_single_point_is_not_turned(fit):
    a, b = fit(jnp.ones((1, 2)), jnp.zeros((3, 1, 2)))
    np.testing.assert_array_equal([a, b], [[1, 1, 1], [0, 0, 0]])


@pytest.mark.parametrize(
    ("fit", "tolerance"), [(similarity.fit, 3e-7), (similarity.fit_exactly, 0)]
)
def test_rows_do_not_depend_on_each_other(fit, tolerance):
    source, target = shapes(5, 6)
    call, nested = jax.jit(fit), jax.jit(jax.vmap(fit, in_axes=(None, 0)))
    whole = np.stack(call(source, target), axis=-1)
    for i, row in enumerate(target):
        alone = np.stack(call(source, row[None]), axis=-1)
        np.testing.assert_allclose(alone[0], whole[i], rtol=0, atol=tolerance)
    grouped = np.stack(nested(source, target.reshape(2, 3, 5, 2)), axis=-1)
    np.testing.assert_allclose(grouped.reshape(6, 2), whole, rtol=0, atol=tolerance)
