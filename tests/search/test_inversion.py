"""A face that G can draw is found again, from anywhere near."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.search import inversion

pytestmark = pytest.mark.usefixtures("standard_promotion")

MATRIX = np.random.default_rng(0).normal(size=(3, 4 * 4 * 3)).astype(np.float32) / 4


def generate(z):
    return jnp.tanh(z @ MATRIX).reshape(-1, 4, 4, 3)


def found(iterations):
    truth = np.array([[0.5, -0.3, 0.8], [-0.9, 0.1, 0.2]], np.float32)
    start = jnp.asarray(truth + 0.3 * np.sign(-truth))
    z, error = jax.jit(
        lambda z: inversion.invert(
            jax.random.key(0),
            generate(truth),
            z,
            generate=generate,
            iterations=iterations,
        )
    )(start)
    return np.asarray(z), np.asarray(error), truth


def test_the_latent_vector_is_found():
    z, error, truth = found(200)
    np.testing.assert_allclose(z, truth, atol=2e-3)
    assert (error < 1e-6).all()


def test_error_is_the_mean_square_at_the_point_that_is_returned():
    z, error, truth = found(5)
    expected = np.mean((generate(z) - generate(truth)) ** 2, axis=(1, 2, 3))
    assert (expected > 1e-5).all()
    np.testing.assert_allclose(error, expected, rtol=1e-4)
