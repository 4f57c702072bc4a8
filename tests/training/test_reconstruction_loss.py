"""The loss of a reconstruction and its gradient equal those written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax import losses
from inpaint_jax.training import reconstruction_loss

KEY = jax.random.key(5)
BATCH = 4
CONFIGS = {
    "pixels": reconstruction_loss.LossConfig(weight=2.0, latent_weight=0.0),
    "squared": reconstruction_loss.LossConfig(
        weight=2.0, feature_weight=0.3, latent_weight=0.7
    ),
    "absolute": reconstruction_loss.LossConfig(
        weight=2.0, error="absolute", feature_weight=0.3, latent_weight=0.7
    ),
}


def floats(values):
    return jnp.asarray(values, jnp.float32)


@pytest.fixture(scope="module")
def inputs():
    """z, real, code, rebuilt, and the weights of two layers."""
    rng = np.random.default_rng(0)
    z, code = floats(rng.uniform(-1, 1, (2, BATCH, 3)))
    real, rebuilt = floats(rng.uniform(-1, 1, (2, BATCH, 4, 4, 3)))
    # The first layer's features are a hundred times as large.
    kernels = floats(100.0 * rng.normal(size=(3, 5))), floats(rng.normal(size=(3, 2)))
    return z, real, code, rebuilt, kernels


def seen(kernels, image):
    half = image[:, ::2, ::2]
    return [jnp.tanh(image @ kernels[0] / 100) * 100, jnp.sin(half @ kernels[1])]


@pytest.fixture(scope="module")
def found(inputs):
    z, real, code, rebuilt, kernels = inputs

    @jax.jit
    def run(z, real, code, rebuilt, kernels):
        def loss(code, rebuilt, config):
            losses = reconstruction_loss.compute(
                KEY,
                z,
                real,
                code,
                rebuilt,
                features=lambda image: seen(kernels, image),
                config=config,
            )
            return jnp.mean(losses.total), losses

        return {
            name: jax.grad(loss, argnums=(0, 1), has_aux=True)(code, rebuilt, config)
            for name, config in CONFIGS.items()
        }

    return run(z, real, code, rebuilt, kernels)


@pytest.fixture(scope="module")
def book(inputs):
    z, real, code, rebuilt, kernels = inputs

    def cost(code, rebuilt, config):
        difference = rebuilt - real
        each = difference**2 if config.error == "squared" else jnp.abs(difference)
        error = each.sum(axis=(1, 2, 3)) / 48
        features = jnp.zeros(BATCH)
        layers = zip(seen(kernels, rebuilt), seen(kernels, real), strict=True)
        for of_rebuilt, of_real in layers:
            size = np.abs(np.asarray(of_real)).mean()
            apart = jnp.abs(of_rebuilt - of_real).mean(axis=(1, 2, 3))
            features = features + apart / size / 2
        match = losses.adversarial.sliced_wasserstein(KEY, code, z)
        pixels = 2.0 * (error + config.feature_weight * features)
        return (pixels + config.latent_weight * match).sum() / BATCH, (
            error,
            features,
            match,
        )

    gradient = jax.grad(cost, argnums=(0, 1), has_aux=True)
    return {name: gradient(code, rebuilt, config) for name, config in CONFIGS.items()}


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_gradient_is_that_of_the_weighted_sum(name, found, book):
    (gradients, _), (expected, _) = found[name], book[name]
    for ours, theirs in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert np.abs(expected[1]).max() > 0.005
    assert (np.abs(expected[0]).max() > 0.005) == (name != "pixels")


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_parts_are_given_for_each_image(name, found, book):
    (_, parts), (_, (error, features, match)) = found[name], book[name]
    np.testing.assert_allclose(parts.pixels, error, rtol=1e-5)
    expected = features if CONFIGS[name].feature_weight else np.zeros(BATCH)
    np.testing.assert_allclose(parts.feature_matching, expected, rtol=1e-4)
    np.testing.assert_allclose(parts.sliced_wasserstein, match, rtol=1e-5)


def test_layers_count_alike_whatever_their_size(inputs, found):
    z, real, code, rebuilt, kernels = inputs

    def larger(image):
        first, second = seen(kernels, image)
        return [1e-3 * first, 1e3 * second]

    parts = reconstruction_loss.compute(
        KEY, z, real, code, rebuilt, features=larger, config=CONFIGS["squared"]
    )
    np.testing.assert_allclose(
        parts.feature_matching, found["squared"][1].feature_matching, rtol=1e-3
    )


def test_no_gradient_goes_through_the_features_of_real_images(inputs):
    z, real, code, rebuilt, kernels = inputs

    def features(real):
        parts = reconstruction_loss.compute(
            KEY,
            z,
            real,
            code,
            rebuilt,
            features=lambda image: seen(kernels, image),
            config=CONFIGS["squared"],
        )
        return jnp.sum(parts.feature_matching)

    np.testing.assert_array_equal(jax.grad(features)(real), np.zeros_like(real))


def test_without_weight_the_features_are_not_computed(inputs):
    z, real, code, rebuilt, _ = inputs

    def refuse(image):
        raise AssertionError("computed")

    parts = reconstruction_loss.compute(
        KEY, z, real, code, rebuilt, features=refuse, config=CONFIGS["pixels"]
    )
    np.testing.assert_array_equal(parts.feature_matching, np.zeros(BATCH))
