"""Losses equal their formulas in float64, and stay finite where D is certain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from inpaint_jax import losses

REAL = np.array([-20.0, -3.0, -0.5, 0.0, 0.7, 4.0, 15.0])
FAKE = np.array([2.0, -7.0, 0.0, 18.0, -18.0, 0.3, -0.2])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def floats(x):
    return jnp.asarray(x, jnp.float32)


@pytest.mark.parametrize("label", [1.0, 0.9, 0.5])
def test_discriminator_is_the_cross_entropy(label):
    got = losses.adversarial.discriminator(floats(REAL), floats(FAKE), real_label=label)
    real = label * np.log(sigmoid(REAL)) + (1 - label) * np.log(sigmoid(-REAL))
    expected = -real - np.log(sigmoid(-FAKE))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_discriminator_takes_real_images_for_certain_by_default():
    got = losses.adversarial.discriminator(floats(REAL), floats(FAKE))
    expected = -np.log(sigmoid(REAL)) - np.log(sigmoid(-FAKE))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", [losses.adversarial.generator, losses.image.prior])
def test_generator_and_prior(loss):
    expected = -np.log(sigmoid(FAKE))
    np.testing.assert_allclose(loss(floats(FAKE)), expected, rtol=1e-5, atol=1e-6)
    printed = np.log(sigmoid(-FAKE))
    np.testing.assert_allclose(
        loss(floats(FAKE), saturating=True), printed, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("loss", "slope"),
    [
        # Of -log s(x), log s(-x) and their kind at -1e4 and 1e4.
        (lambda x: losses.adversarial.generator(x), [-1, 0]),
        (lambda x: losses.adversarial.generator(x, saturating=True), [0, -1]),
        (lambda x: losses.image.prior(x), [-1, 0]),
        (lambda x: losses.image.prior(x, saturating=True), [0, -1]),
        (lambda x: losses.adversarial.discriminator(x, 0 * x), [-1, 0]),
        (
            lambda x: losses.adversarial.discriminator(x, 0 * x, real_label=0.75),
            [-0.75, 0.25],
        ),
        (lambda x: losses.adversarial.discriminator(0 * x, x), [0, 1]),
        (lambda x: losses.adversarial.relativistic(x, 0 * x), [-1, 0]),
        (lambda x: losses.adversarial.relativistic(0 * x, x), [0, 1]),
    ],
)
def test_certain_logits_leave_finite_losses_and_gradients(loss, slope):
    x = jnp.array([-1e4, 1e4])
    assert np.isfinite(loss(x)).all()
    gradient = jax.grad(lambda x: jnp.sum(loss(x)))(x)
    np.testing.assert_allclose(gradient, slope, atol=1e-6)


def test_relativistic_compares_a_pair():
    got = losses.adversarial.relativistic(floats(REAL), floats(FAKE))
    expected = -np.log(sigmoid(REAL - FAKE))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    # Logits have no zero of their own.
    shifted = losses.adversarial.relativistic(floats(REAL) + 3.0, floats(FAKE) + 3.0)
    np.testing.assert_allclose(got, shifted, rtol=1e-5, atol=1e-6)


def test_gradient_penalty_is_the_squared_slope_at_each_image():
    rng = np.random.default_rng(4)
    image, kernel = rng.normal(size=(3, 4, 5, 3)), rng.normal(size=(2, 4, 5, 3))

    def logit(x):
        first, second = (np.sum(k * x) for k in kernel)
        return np.sin(first) + 0.1 * second**2

    def slope(x):
        """By central differences."""
        step = 1e-5
        squares = 0.0
        for index in np.ndindex(x.shape):
            off = np.zeros_like(x)
            off[index] = step
            squares += ((logit(x + off) - logit(x - off)) / (2 * step)) ** 2
        return squares

    def discriminate(x):
        first, second = jnp.einsum("bhwc,khwc->kb", x, floats(kernel))
        return jnp.sin(first) + 0.1 * second**2

    got = losses.adversarial.gradient_penalty(discriminate, floats(image))
    np.testing.assert_allclose(got, [slope(x) for x in image], rtol=1e-3)


def test_gradient_penalty_has_a_gradient_by_what_it_penalises():
    image = floats(np.random.default_rng(5).normal(size=(2, 3, 3, 3)))
    kernel = floats(np.random.default_rng(6).normal(size=(3, 3, 3)))

    def penalty(kernel):
        discriminate = lambda x: jnp.tanh(jnp.einsum("bhwc,hwc->b", x, kernel))
        return jnp.sum(losses.adversarial.gradient_penalty(discriminate, image))

    check_grads(penalty, (0.2 * kernel,), 1, ["rev"], atol=1e-2, rtol=1e-2, eps=1e-2)


def context_inputs(seed=0):
    rng = np.random.default_rng(seed)
    generated = rng.uniform(-1, 1, (3, 4, 5, 3))
    # Away from the kink of |.|, so that finite differences hold.
    image = generated + rng.choice([-1, 1], generated.shape) * rng.uniform(
        0.1, 1, generated.shape
    )
    weights = rng.uniform(0.1, 1, (3, 4, 5, 1))
    weights[:, 1, 2:4] = 0
    return generated, image, weights


@pytest.mark.parametrize("normalised", [False, True])
def test_context_is_the_weighted_sum(normalised):
    generated, image, weights = context_inputs()
    expected = []
    for g, x, w in zip(generated, image, weights, strict=True):
        total, norm = 0.0, 0.0
        for index in np.ndindex(g.shape):
            total += w[index[0], index[1], 0] * abs(g[index] - x[index])
            norm += w[index[0], index[1], 0]
        expected.append(total / norm if normalised else total)
    got = losses.image.context(
        floats(generated), floats(image), floats(weights), normalised=normalised
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_normalised_context_of_no_weights_is_zero():
    generated, image, weights = context_inputs()
    got = losses.image.context(
        floats(generated), floats(image), floats(0 * weights), normalised=True
    )
    np.testing.assert_array_equal(got, np.zeros(3))


@pytest.mark.parametrize("normalised", [False, True])
def test_context_gradient_agrees_with_finite_differences(
    normalised, standard_promotion
):
    generated, image, weights = context_inputs()
    check_grads(
        lambda g: losses.image.context(
            floats(g), floats(image), floats(weights), normalised=normalised
        ),
        (floats(generated),),
        order=1,
        modes=["rev"],
        eps=1e-2,
        atol=1e-2,
        rtol=1e-2,
    )


def test_context_ignores_pixels_without_weight():
    generated, image, weights = context_inputs()
    other = image.copy()
    other[:, 1, 2:4] = -5 * image[:, 1, 2:4] + 3

    def loss(image):
        return jax.value_and_grad(
            lambda g: jnp.sum(losses.image.context(g, floats(image), floats(weights)))
        )(floats(generated))

    value, gradient = loss(image)
    other_value, other_gradient = loss(other)
    assert value == other_value
    np.testing.assert_array_equal(gradient, other_gradient)
    np.testing.assert_array_equal(gradient[:, 1, 2:4], np.zeros((3, 2, 3)))
    assert np.all(np.asarray(gradient)[:, 0] != 0)


def test_rows_of_the_context_loss_are_independent():
    generated, image, weights = map(floats, context_inputs())
    together = losses.image.context(generated, image, weights)
    assert together.shape == (3,)
    changed = losses.image.context(generated.at[1].add(0.5), image, weights)
    np.testing.assert_array_equal(together[::2], changed[::2])
    assert together[1] != changed[1]


def test_context_ignores_even_nan_where_the_weight_is_zero():
    generated, image = np.zeros((2, 1, 2, 2, 3), np.float32)
    weights = np.ones((1, 2, 2, 1), np.float32)
    weights[0, 0, 0] = 0.0
    image[0, 0, 0] = np.nan
    value, gradient = jax.value_and_grad(
        lambda g: losses.image.context(g, jnp.asarray(image), jnp.asarray(weights))[0]
    )(jnp.asarray(generated) + 1.0)
    assert value == 9.0
    np.testing.assert_array_equal(gradient[0, 0, 0], [0.0, 0.0, 0.0])


# Sliced Wasserstein distance of encoded images from z.


def by_sorting(key, code, z):
    """The same in NumPy, one direction after the other."""
    directions = np.asarray(jax.random.normal(key, (z.shape[1], z.shape[1])))
    directions = directions / np.linalg.norm(directions, axis=0)
    directions = np.concatenate([np.eye(z.shape[1]), directions], axis=1)
    distance = np.zeros(len(code))
    for direction in directions.T:
        along, goal = code @ direction, np.sort(z @ direction)
        for place, row in enumerate(np.argsort(along)):
            distance[row] += (along[row] - goal[place]) ** 2
    return distance / directions.shape[1]


@pytest.fixture(scope="module")
def clouds():
    rng = np.random.default_rng(3)
    code, z = rng.normal(0.2, 0.3, (7, 4)), rng.uniform(-1.0, 1.0, (7, 4))
    return floats(code), floats(z)


def test_sliced_wasserstein_sorts_along_each_direction(key, clouds):
    got = losses.adversarial.sliced_wasserstein(key, *clouds)
    expected = by_sorting(key, *map(np.asarray, clouds))
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_sliced_wasserstein_ignores_the_order_of_z(key, clouds):
    code, z = clouds
    np.testing.assert_allclose(
        losses.adversarial.sliced_wasserstein(key, z[::-1], z), 0.0, atol=1e-12
    )
    np.testing.assert_allclose(
        losses.adversarial.sliced_wasserstein(key, code, z[::-1]),
        losses.adversarial.sliced_wasserstein(key, code, z),
        rtol=1e-6,  # numpy's own 1e-7 is finer than float32
    )


def test_sliced_wasserstein_pulls_the_code_and_not_z(key, clouds):
    total = lambda code, z: jnp.sum(losses.adversarial.sliced_wasserstein(key, code, z))
    toward_code, toward_z = jax.grad(total, argnums=(0, 1))(*clouds)
    np.testing.assert_array_equal(toward_z, np.zeros_like(toward_z))
    code, z = clouds
    nearer = code - 0.05 * toward_code
    assert total(nearer, z) < total(code, z)
