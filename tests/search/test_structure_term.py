"""The structural prior is a mean by hand; the in-domain term sees what E sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_jax import losses
from inpaint_jax.search import in_domain_term, structure_term
from inpaint_jax.search.problem import Networks, Problem

SIZE, ROWS, Z_DIM = 10, 3, 4
KEY = jax.random.key(0)
HOLE = np.zeros((1, SIZE, SIZE, 1), np.float32)
HOLE[:, 2:7, 3:9] = 1.0
MASK = 1.0 - HOLE


def faces(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1.0, 1.0, (count, SIZE, SIZE, 3)).astype(np.float32)


def by_loops(generated, expected, weights, blur):
    """The mean over the hole of the averaged difference, pixel by pixel."""
    reach, found = blur // 2, []
    for face, wanted, weight in zip(generated, expected, weights, strict=True):
        total, count = 0.0, 0
        for y, x in zip(*np.nonzero(weight[..., 0]), strict=True):
            mean = np.zeros(3)
            for v in range(max(0, y - reach), min(SIZE, y + reach + 1)):
                for u in range(max(0, x - reach), min(SIZE, x + reach + 1)):
                    mean += weight[v, u] * (face[v, u] - wanted[v, u]) / blur**2
            total, count = total + np.abs(mean).sum(), count + 3
        found.append(total / count)
    return found


structure = jax.jit(losses.image.structure, static_argnames="blur")


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), blur=st.sampled_from([1, 3, 9, 25]))
def test_the_structure_loss_is_a_mean_over_the_hole(seed, blur):
    rng = np.random.default_rng(seed)
    weights = HOLE.repeat(ROWS, axis=0) * rng.uniform(0.1, 1.0, (ROWS, SIZE, SIZE, 1))
    weights = weights.astype(np.float32)
    generated, expected = faces(ROWS, seed), faces(ROWS, seed + 1)
    found = structure(generated, expected, weights, blur=blur)
    wanted = by_loops(generated, expected, weights, blur)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    known = np.where(weights > 0, expected, np.nan)
    np.testing.assert_array_equal(
        structure(generated, known, weights, blur=blur), found
    )


def test_a_hole_that_is_nowhere_costs_nothing():
    found = structure(faces(2), faces(2, 1), np.zeros((2, SIZE, SIZE, 1), np.float32))
    np.testing.assert_array_equal(found, [0.0, 0.0])


@pytest.mark.parametrize("blur", [0, 2, -3])
def test_a_square_without_a_middle_is_refused(blur):
    with pytest.raises(ValueError, match=f"odd and positive, got {blur}"):
        losses.image.structure(
            jnp.asarray(faces(1)), jnp.asarray(faces(1)), jnp.asarray(HOLE), blur=blur
        )


def test_the_target_is_the_mean_and_weighs_less_where_networks_differ():
    one, other = faces(1, 3), faces(1, 4)
    image, mask, shown = jnp.asarray(faces(1, 5)), jnp.asarray(MASK), []

    def first(damaged, mask):
        shown.append(damaged)
        return jnp.asarray(one)

    draw = [first, lambda damaged, mask: jnp.asarray(other)]
    found = structure_term.target(draw, image, mask, tolerance=0.2)
    np.testing.assert_array_equal(shown[0], image * MASK)
    np.testing.assert_allclose(found.image, (one + other) / 2, rtol=1e-5, atol=1e-6)
    apart = (np.abs(one - other) / 2).mean(axis=-1, keepdims=True)
    expected = 1 / (1 + (apart / 0.2) ** 2)
    np.testing.assert_allclose(found.weights, expected, rtol=1e-5)
    fully = structure_term.target(draw, image, mask)
    np.testing.assert_array_equal(fully.weights, np.ones_like(MASK))
    np.testing.assert_array_equal(fully.image, found.image)


def test_the_term_is_the_loss_of_each_restart_and_draws_to_its_target():
    wanted, generated = faces(1, 6), faces(ROWS, 7)
    target = structure_term.Target(jnp.asarray(wanted), jnp.full(MASK.shape, 0.5))
    problem = Problem(jnp.zeros_like(wanted), jnp.asarray(MASK), {"structure": target})

    @jax.jit
    def total(generated, problem):
        term = structure_term.StructureTerm(blur=3)
        values = term(
            KEY, jnp.zeros((ROWS, Z_DIM)), generated, problem, Networks(None, None)
        )
        return jnp.sum(values), values

    values = total(generated, problem)[1]
    weights = 0.5 * HOLE.repeat(ROWS, axis=0)
    expected = by_loops(generated, wanted.repeat(ROWS, axis=0), weights, 3)
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    slope, _ = jax.grad(total, has_aux=True)(jnp.asarray(generated), problem)
    assert not np.any(np.asarray(slope)[MASK.repeat(ROWS, axis=0)[..., 0] > 0])
    nearer = total(generated - 0.1 * np.sign(slope), problem)[1]
    assert np.all(np.asarray(nearer) < np.asarray(values))


def test_in_domain_is_how_far_z_is_from_what_the_encoder_sees():
    rng = np.random.default_rng(8)
    z = rng.uniform(-1, 1, (ROWS, Z_DIM)).astype(np.float32)
    weights = rng.normal(size=(SIZE * SIZE * 3, Z_DIM)).astype(np.float32)

    def encode(image, mask):
        return jnp.tanh(image.reshape(len(image), -1) @ weights) * mask.mean()

    generated = faces(ROWS, 9)
    problem = Problem(jnp.zeros((1, SIZE, SIZE, 3)), jnp.asarray(MASK))
    term = jax.jit(
        lambda *given: in_domain_term.in_domain(
            KEY, *given, problem, Networks(None, None, encode)
        )
    )
    seen = np.tanh((generated * MASK).reshape(ROWS, -1) @ weights) * MASK.mean()
    expected = ((z - seen) ** 2).mean(axis=1)
    np.testing.assert_allclose(term(z, generated), expected, rtol=1e-4)
    # What G draws in the hole is not seen.
    other = np.where(HOLE > 0, -generated, generated)
    np.testing.assert_array_equal(term(z, other), term(z, generated))
