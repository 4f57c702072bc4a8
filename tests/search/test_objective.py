"""The objective joins networks and losses as eq. 20 says."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax import losses
from inpaint_jax.images import masks
from inpaint_jax.models import dcgan
from inpaint_jax.search import completion, driver, objective, problem, program
from inpaint_jax.search.settings import Settings

SMALL = dcgan.Architecture(image_size=16, features=4, z_dim=6, kernel_size=4)


@pytest.fixture(scope="module")
def networks():
    """G and D as functions, compiled."""

    @jax.jit
    def init(key):
        image, z = jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, SMALL.z_dim))
        return (
            SMALL.generator().init(key, z, train=False),
            SMALL.discriminator().init(key, image, train=False),
        )

    g, d = init(jax.random.key(0))
    return (
        jax.jit(functools.partial(SMALL.generator().apply, g, train=False)),
        jax.jit(functools.partial(SMALL.discriminator().apply, d, train=False)),
    )


def uniform(*shape):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.uniform(-1.0, 1.0, shape), jnp.float32)


def mask_of(count, name="centre"):
    return masks.MASKS[name](jax.random.key(0), (16, 16))[None].repeat(count, 0)


context_weights = jax.jit(losses.image.context_weights)
NONE_TAKEN = jnp.zeros(5, jnp.int32)


def test_objective_is_the_weighted_sum_of_its_terms(key, networks):
    generate, discriminate = networks
    z, image = uniform(3, SMALL.z_dim), uniform(3, 16, 16, 3)
    weights = context_weights(mask_of(3))
    evaluate = objective.make(
        generate, discriminate, image, weights, lambda_context=0.5, lambda_prior=2.0
    )
    loss, terms = jax.jit(evaluate)(key, z, NONE_TAKEN[:3])
    generated = np.asarray(generate(z))
    context = np.abs(np.asarray(weights) * (generated - np.asarray(image)))
    np.testing.assert_allclose(terms["context"], context.sum((1, 2, 3)), rtol=1e-5)
    logits = np.asarray(discriminate(jnp.asarray(generated)))
    np.testing.assert_allclose(terms["prior"], np.log1p(np.exp(-logits)), rtol=1e-5)
    np.testing.assert_allclose(
        loss, 0.5 * terms["context"] + 2 * terms["prior"], rtol=1e-6
    )


def test_further_terms_count_with_their_weights_and_keep_their_names(key, networks):
    generate, discriminate = networks
    z, image = uniform(3, SMALL.z_dim), uniform(3, 16, 16, 3)
    weights = context_weights(mask_of(3))
    terms = {
        "first": objective.Weighted(0.25, lambda key, z, generated: z[:, 0]),
        "second": objective.Weighted(
            4.0, lambda key, z, generated: generated[:, 3, 5, 1] ** 2
        ),
    }
    make = functools.partial(objective.make, generate, discriminate, image, weights)
    plain, _ = jax.jit(make(lambda_prior=0.1))(key, z, NONE_TAKEN[:3])
    loss, values = jax.jit(make(lambda_prior=0.1, terms=terms))(key, z, NONE_TAKEN[:3])
    assert sorted(values) == ["context", "first", "prior", "second"]
    square = np.asarray(generate(z))[:, 3, 5, 1] ** 2
    np.testing.assert_allclose(values["first"], z[:, 0], rtol=1e-6)
    np.testing.assert_allclose(values["second"], square, rtol=1e-5, atol=1e-7)
    expected = np.asarray(plain) + 0.25 * np.asarray(z)[:, 0] + 4.0 * square
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_a_weight_may_follow_the_steps_of_each_row(key, networks):
    generate, discriminate = networks
    z, image = uniform(3, SMALL.z_dim), uniform(3, 16, 16, 3)
    make = functools.partial(
        objective.make, generate, discriminate, image, context_weights(mask_of(3))
    )
    first = lambda key, z, generated: z[:, 0]
    fading = objective.Weighted(
        lambda taken: 8.0 / (1.0 + taken.astype(jnp.float32)), first
    )
    taken = jnp.array([0, 1, 7])
    plain, _ = jax.jit(make(lambda_prior=0.1))(key, z, taken)
    loss, values = jax.jit(make(lambda_prior=0.1, terms={"first": fading}))(
        key, z, taken
    )
    np.testing.assert_allclose(values["first"], z[:, 0], rtol=1e-6)
    expected = np.asarray(plain) + np.array([8.0, 4.0, 1.0]) * np.asarray(z)[:, 0]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_rows_do_not_interact(key, networks):
    generate, discriminate = networks
    z, image = uniform(5, SMALL.z_dim), uniform(5, 16, 16, 3)
    weights = context_weights(mask_of(5, "left"))

    @jax.jit
    def gradient(z, image, weights):
        target = objective.make(
            generate, discriminate, image, weights, lambda_prior=0.1, normalised=True
        )
        return jax.grad(lambda z: jnp.sum(target(key, z, NONE_TAKEN[: len(z)])[0]))(z)

    together = gradient(z, image, weights)
    alone = [
        gradient(z[i : i + 1], image[i : i + 1], weights[i : i + 1]) for i in range(5)
    ]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-6)


def test_the_hole_of_the_image_is_never_read(key, networks):
    generate, discriminate = networks
    z, image, mask = uniform(2, SMALL.z_dim), uniform(2, 16, 16, 3), mask_of(2)
    weights = context_weights(mask)

    @jax.jit
    def loss(image):
        return objective.make(generate, discriminate, image, weights, lambda_prior=0.1)(
            key, z, NONE_TAKEN[:2]
        )[0]

    other = jnp.where(mask > 0, image, -image)
    np.testing.assert_array_equal(loss(image), loss(other))


def test_a_search_does_not_retrace_between_images(key, networks, standard_promotion):
    generate, discriminate = networks
    settings = Settings(restarts=2, iterations=4, chunk=2, patience=0, init="random")
    traces = []

    def counted(z):
        traces.append(None)
        return generate(z)

    compiled = program.prepare(
        counted, discriminate, z_dim=SMALL.z_dim, settings=settings
    )
    mask = mask_of(1)
    counts = []
    for number in range(3):
        image = jax.random.uniform(jax.random.key(number), (1, 16, 16, 3), minval=-1.0)
        scene = problem.Problem(image, mask)
        *_, last = driver.search(key, scene, compiled=compiled)
        completion.finish(last, scene, compiled=compiled, blend="paste")
        counts.append(len(traces))
    assert counts[0] == counts[1] == counts[2] > 0
