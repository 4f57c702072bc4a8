"""The objective joins networks and losses as eq. 20 says."""

import jax
import jax.numpy as jnp
import numpy as np

from inpaint_jax import losses
from inpaint_jax.images import masks
from inpaint_jax.models import dcgan
from inpaint_jax.search import completion, driver, objective, problem, program
from inpaint_jax.training import train_gan

SMALL = dcgan.Architecture(image_size=16, features=4, z_dim=6, kernel_size=4)


def networks(key):
    z = jnp.zeros((1, SMALL.z_dim))
    generator, discriminator = SMALL.generator(), SMALL.discriminator()
    g = generator.init(key, z, train=False)
    d = discriminator.init(key, jnp.zeros((1, 16, 16, 3)), train=False)
    return (
        lambda z: generator.apply(g, z, train=False),
        lambda x: discriminator.apply(d, x, train=False),
    )


def test_objective_is_the_weighted_sum_of_its_terms(key):
    generate, discriminate = networks(key)
    z = train_gan.sample_z(key, 3, SMALL.z_dim)
    image = jax.random.uniform(key, (3, 16, 16, 3), minval=-1.0)
    weights = losses.image.context_weights(
        masks.centre(key, (16, 16))[None].repeat(3, 0)
    )
    loss, terms = objective.make(
        generate, discriminate, image, weights, lambda_context=0.5, lambda_prior=2.0
    )(key, z)
    generated = np.asarray(generate(z))
    context = np.abs(np.asarray(weights) * (generated - np.asarray(image)))
    np.testing.assert_allclose(terms.context, context.sum((1, 2, 3)), rtol=1e-5)
    logits = np.asarray(discriminate(jnp.asarray(generated)))
    np.testing.assert_allclose(terms.prior, np.log1p(np.exp(-logits)), rtol=1e-5)
    np.testing.assert_allclose(loss, 0.5 * terms.context + 2 * terms.prior, rtol=1e-6)


def test_rows_do_not_interact(key):
    generate, discriminate = networks(key)
    z = train_gan.sample_z(key, 5, SMALL.z_dim)
    image = jax.random.uniform(key, (5, 16, 16, 3), minval=-1.0)
    weights = losses.image.context_weights(masks.left(key, (16, 16))[None].repeat(5, 0))

    def gradient(z, image, weights):
        target = objective.make(
            generate, discriminate, image, weights, lambda_prior=0.1, normalised=True
        )
        return jax.grad(lambda z: jnp.sum(target(key, z)[0]))(z)

    together = gradient(z, image, weights)
    alone = [
        gradient(z[i : i + 1], image[i : i + 1], weights[i : i + 1]) for i in range(5)
    ]
    alone = jnp.concatenate(alone)
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_the_hole_of_the_image_is_never_read(key):
    generate, discriminate = networks(key)
    z = train_gan.sample_z(key, 2, SMALL.z_dim)
    image = jax.random.uniform(key, (2, 16, 16, 3), minval=-1.0)
    mask = masks.centre(key, (16, 16))[None].repeat(2, 0)
    weights = losses.image.context_weights(mask)

    def loss(image):
        return objective.make(generate, discriminate, image, weights, lambda_prior=0.1)(
            key, z
        )[0]

    other = jnp.where(mask > 0, image, -image)
    np.testing.assert_array_equal(loss(image), loss(other))


def test_a_search_does_not_retrace_between_images(key, standard_promotion):
    generate, discriminate = networks(key)
    settings = problem.Settings(
        restarts=2, iterations=4, chunk=2, patience=0, init="random"
    )
    traces = []

    def counted(z):
        traces.append(None)
        return generate(z)

    compiled = program.prepare(
        counted, discriminate, z_dim=SMALL.z_dim, settings=settings
    )
    mask = masks.centre(key, (16, 16))[None]
    counts = []
    for number in range(3):
        image = jax.random.uniform(jax.random.key(number), (1, 16, 16, 3), minval=-1.0)
        scene = problem.Problem(image, mask)
        *_, last = driver.search(key, scene, compiled=compiled)
        completion.finish(last, scene, compiled=compiled, blend="paste")
        counts.append(len(traces))
    assert counts[0] == counts[1] == counts[2] > 0
