"""The folded networks compute what the networks do, and hold no constants."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.models import dcgan, inference

pytestmark = pytest.mark.usefixtures("standard_promotion")

BATCH = 3
BARE = {"discriminator_norm": "none"}


@functools.cache
def trained_a_little(**changes):
    """Networks whose every weight and statistic is away from where it begins."""
    a = dcgan.Architecture(image_size=16, features=8, z_dim=6, **changes)
    key = jax.random.key(0)
    z, image = jnp.zeros((1, 6)), jnp.zeros((1, 16, 16, 3))
    variables = [
        jax.jit(functools.partial(network.init, train=False))(key, x)
        for network, x in ((a.generator(), z), (a.discriminator(), image))
    ]
    rng = np.random.default_rng(1)
    # Variances must stay positive.
    return a, *jax.tree.map(
        lambda x: (
            jnp.asarray(np.abs(x + rng.normal(0, 0.3, x.shape)), jnp.float32)
            * (1.0 if x.ndim == 1 else jnp.sign(x))
        ),
        variables,
    )


def latents(batch=BATCH):
    return jax.random.uniform(jax.random.key(3), (batch, 6), minval=-1.0)


@pytest.mark.parametrize(
    ("batch", "changes"),
    [
        (64, {"kernel_size": 5}),
        (BATCH, {"kernel_size": 4, "activation": "leaky_relu"}),
        (BATCH, {"kernel_size": 5, "spectral_norm": True}),
        (BATCH, {"kernel_size": 4, "generator_norm": "none", **BARE}),
        (BATCH, {"kernel_size": 4, "spectral_norm": True, **BARE}),
    ],
)
def test_folded_networks_equal_the_networks(batch, changes):
    a, generator, discriminator = trained_a_little(**changes)
    g = inference.generator(a, generator, batch=batch)
    d = inference.discriminator(a, discriminator, batch=batch)

    def ours(z):
        image = g(z)
        return image, d(image)

    def plain(z):
        image = a.generator().apply(generator, z, train=False)
        return image, a.discriminator().apply(discriminator, image, train=False)

    @jax.jit
    def both(z):
        slopes = [jax.grad(lambda z, f=f: f(z)[1].sum())(z) for f in (ours, plain)]
        return ours(z), plain(z), *slopes

    (image, logit), (plain_image, plain_logit), slope, plain_slope = both(latents())
    assert np.abs(plain_image).max() > 0.1
    np.testing.assert_allclose(image, plain_image, atol=1e-5)
    scale = float(np.abs(plain_logit).max())
    np.testing.assert_allclose(logit, plain_logit, atol=1e-5 * scale)
    scale = float(np.abs(plain_slope).max())
    np.testing.assert_allclose(slope, plain_slope, atol=1e-4 * scale)


def test_weights_are_arguments_of_a_program_not_constants():
    a, generator, _ = trained_a_little(kernel_size=5)
    g = inference.generator(a, generator, batch=BATCH)
    largest = max(x.size for x in jax.tree.leaves(g))
    program = jax.jit(lambda g, z: g(z)).lower(g, latents()).as_text()
    # A constant would be written out, eight digits for each number.
    assert max(map(len, program.splitlines())) < largest
    assert jax.tree.structure(g) == jax.tree.structure(
        inference.generator(a, generator, batch=BATCH)
    )


def test_products_in_bfloat16_change_little_and_what_leaves_is_float32():
    a, generator, discriminator = trained_a_little(kernel_size=5)
    options = {"batch": BATCH, "compute_dtype": jnp.dtype(jnp.bfloat16)}
    g = inference.generator(a, generator, **options)
    d = inference.discriminator(a, discriminator, **options)
    z = latents()
    image = g(z)
    exact = a.generator().apply(generator, z, train=False)
    assert image.dtype == d(image).dtype == jnp.float32
    assert 1e-5 < np.abs(image - exact).max() < 0.1
