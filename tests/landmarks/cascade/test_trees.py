"""Trees walked one by one, in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.landmarks.cascade import trees

FEATURES, BATCH, COORDINATES = 12, 4, 6


def level(depth, count, seed=0):
    """Values of the features, and the tables of one level."""
    rng = np.random.default_rng(seed)
    splits = 2**depth - 1
    first, second = rng.integers(0, FEATURES, (2, count, splits), dtype=np.int32)
    # Few values and whole thresholds: about a tenth of all comparisons are equal.
    value = rng.integers(0, 10, (FEATURES, BATCH)).astype(np.float32)
    threshold = rng.integers(-3, 4, (count, splits)).astype(np.float32)
    return value, (first, second, threshold)


def leaves(rows, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, COORDINATES)).astype(np.float32)


def walk(value, first, second, threshold):
    """The leaf of one face in one tree."""
    node = 0
    while node < len(first):
        goes_left = value[first[node]] - value[second[node]] > threshold[node]
        node = 2 * node + (1 if goes_left else 2)
    return node - len(first)


def soft_walk(value, first, second, threshold, temperature):
    """How far one face reaches each leaf of one tree, in float64."""
    reach, splits = [1.0], len(first)
    for node in range(splits):
        excess = value[first[node]] - value[second[node]] - threshold[node]
        left = 1 / (1 + np.exp(-excess / temperature))
        reach += [reach[node] * left, reach[node] * (1 - left)]
    return np.array(reach[splits:])


def soft_sum(value, tables, leaf, temperature):
    """The sum for each face."""
    faces = []
    for face in np.float64(value).T:
        share = [
            soft_walk(face, *tree, temperature) for tree in zip(*tables, strict=True)
        ]
        faces.append(np.ravel(share) @ np.float64(leaf))
    return np.array(faces)


def softly(tables, leaf, *, temperature):
    """The library's sum as a function of the values alone."""
    tables = jax.tree.map(jnp.asarray, tables)
    leaf, temperature = jnp.asarray(leaf)[None], jnp.float32(temperature)
    return lambda value: trees.soft_sum(value, tables, leaf, jnp.int32(0), temperature)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_reached_equals_a_walk(depth):
    value, tables = level(depth, count=100)
    expected = [
        [walk(face, *tree) for face in value.T] for tree in zip(*tables, strict=True)
    ]
    assert len(np.unique(expected)) == 2**depth
    got = jax.jit(trees.reached)(value, *tables)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("count", [1, 24, 25, 27, 60])
def test_leaves_are_added_in_order(count):
    # Sizes differ so much that another order gives another sum.
    rng = np.random.default_rng(count)
    rows = leaves(100) * 10.0 ** rng.integers(-4, 4, (100, 1))
    rows = rows.astype(np.float32)
    chosen = rng.integers(0, 100, (count, BATCH), dtype=np.int32)
    expected = start = leaves(BATCH, seed=1)
    for row in chosen:
        expected = expected + rows[row]
    assert expected.dtype == np.float32
    got = jax.jit(trees.add_leaves)(start, rows, chosen)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("depth", "count"), [(1, 1), (1, 7), (3, 1), (4, 30)])
def test_soft_sum_equals_a_walk(depth, count):
    value, tables = level(depth, count)
    leaf = leaves(2 * count * 2**depth).reshape(2, -1, COORDINATES)
    call = jax.jit(trees.soft_sum)
    for which in (0, 1):
        got = call(value, tables, leaf, np.int32(which), np.float32(1.5))
        expected = soft_sum(value, tables, leaf[which], 1.5)
        np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize(("depth", "count"), [(1, 1), (2, 7), (4, 30)])
def test_the_gradient_of_soft_sum_is_the_slope(depth, count):
    value, tables = level(depth, count)
    leaf, toward = leaves(count * 2**depth), leaves(BATCH, seed=1)
    step, expected = 1e-4, np.zeros(value.shape)
    for feature in range(FEATURES):
        sides = []
        for moved in (step, -step):
            beside = np.float64(value)
            beside[feature] += moved
            sides.append(np.sum(soft_sum(beside, tables, leaf, 1.5) * toward, axis=1))
        expected[feature] = (sides[0] - sides[1]) / (2 * step)
    total = softly(tables, leaf, temperature=1.5)
    got = jax.jit(jax.grad(lambda value: jnp.sum(total(value) * toward)))(value)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_soft_sum_becomes_the_sum_of_the_reached_leaves():
    value, (first, second, threshold) = level(3, count=27)
    tables = first, second, threshold + np.float32(0.5)
    leaf = leaves(27 * 8)
    row = np.asarray(jax.jit(trees.reached)(value, *tables))
    expected = leaf[row + 8 * np.arange(27)[:, None]].sum(axis=0)
    errors = []
    for temperature in (1.0, 0.1, 0.01):
        got = jax.jit(softly(tables, leaf, temperature=temperature))(value)
        errors.append(np.abs(got - expected).max())
    assert errors[0] > 10 * errors[1] > 100 * errors[2]
    assert errors[2] < 1e-5


def test_the_gradient_is_finite_where_splits_are_steps():
    value, tables = level(3, count=27)
    total = softly(tables, leaves(27 * 8), temperature=1e-3)
    gradient = jax.grad(lambda value: jnp.sum(total(value)))
    assert np.isfinite(jax.jit(gradient)(1000 * value)).all()


def test_faces_do_not_depend_on_each_other():
    value, tables = level(3, count=27)
    total = softly(tables, leaves(27 * 8), temperature=1.5)
    gradient = jax.grad(lambda value: jnp.sum(total(value) ** 2))
    mapped = jax.jit(jax.vmap(gradient))(value.T[..., None])
    np.testing.assert_allclose(
        mapped[..., 0].T, jax.jit(gradient)(value), rtol=1e-4, atol=1e-5
    )
