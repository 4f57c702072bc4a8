"""The encoder learns where in latent space a damaged face lies; G stays fixed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inpaint_jax import losses
from inpaint_jax.images import augmentation, masks
from inpaint_jax.models import dcgan
from inpaint_jax.training import supervised, train_encoder

pytestmark = pytest.mark.usefixtures("standard_promotion")

SMALL = dcgan.Architecture(image_size=16, features=4, z_dim=6, kernel_size=4)
ENCODER = SMALL.encoder()
BATCH = 14  # two of each family of masks


def stripes(z):
    """A generator that can be searched by hand: rows of grey, the first six of z."""
    return jnp.repeat(jnp.repeat(z[:, :4, None, None], 4, axis=1), 16, axis=2) * (
        jnp.ones((1, 1, 1, 3))
    )


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    level = rng.integers(30, 220, (BATCH, 4, 1, 1), np.uint8)
    return np.broadcast_to(level.repeat(4, axis=1), (BATCH, 16, 16, 3)).copy()


@pytest.fixture(scope="module")
def start():
    with jax.numpy_dtype_promotion("standard"):
        fresh = functools.partial(train_encoder.fresh, encoder=ENCODER)
        variables = jax.jit(fresh)(jax.random.key(1))
    return supervised.init(variables, optimizer=optax.sgd(1.0))


@pytest.fixture(scope="module")
def advance(start, images):
    """The state and info after a step, by how much of the training is over."""
    step = functools.partial(
        train_encoder.train_step,
        encoder=ENCODER,
        generate=stripes,
        optimizer=optax.sgd(1.0),
        window=5,
    )
    return functools.partial(jax.jit(step), jax.random.key(2), start, images)


@pytest.fixture(scope="module")
def stepped(advance):
    with jax.numpy_dtype_promotion("standard"):
        return advance(0.0)


@pytest.fixture(scope="module")
def by_the_book(start, images):
    key_flip, key_mask = jax.random.split(jax.random.key(2))

    @jax.jit
    def compute(params):
        image = augmentation.random_flip(
            key_flip, jnp.asarray(images, jnp.float32) / 127.5
        )
        image = image - 1.0
        mask = masks.sample(key_mask, BATCH, (16, 16))
        z, updated = ENCODER.apply(
            {**start.variables, "params": params},
            image * mask,
            mask,
            train=True,
            mutable=["batch_stats"],
        )
        weights = losses.image.context_weights(mask, window=5)
        error = jnp.mean(jnp.abs(stripes(z) - image), axis=(1, 2, 3))
        context = losses.image.context(stripes(z), image, weights, normalised=True)
        return jnp.mean(error + context), (error, context, updated["batch_stats"])

    with jax.numpy_dtype_promotion("standard"):
        return jax.grad(compute, has_aux=True)(start.variables["params"])


def test_step_follows_the_error_of_the_face_and_of_the_context(
    start, stepped, by_the_book
):
    gradient, _ = by_the_book
    moved, _ = stepped
    for old, new, slope in zip(
        *map(
            jax.tree.leaves,
            (start.variables["params"], moved.variables["params"], gradient),
        ),
        strict=True,
    ):
        np.testing.assert_allclose(old - new, slope, atol=1e-5)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient)) > 1e-3


@pytest.mark.parametrize(("progress", "rate"), [(0.5, 0.5), (1.0, 0.0)])
def test_steps_grow_smaller_as_the_training_goes_on(
    progress, rate, start, advance, by_the_book
):
    moved, _ = advance(progress)
    for old, new, slope in zip(
        *map(
            jax.tree.leaves,
            (start.variables["params"], moved.variables["params"], by_the_book[0]),
        ),
        strict=True,
    ):
        np.testing.assert_allclose(old - new, rate * slope, atol=1e-5)


def test_info_holds_both_terms_for_each_face(stepped, by_the_book):
    _, (error, context, _) = by_the_book
    _, info = stepped
    np.testing.assert_allclose(info.error, error, rtol=1e-5)
    np.testing.assert_allclose(info.context, context, rtol=1e-5)


def test_statistics_and_count_move_on(start, stepped, by_the_book):
    _, (_, _, stats) = by_the_book
    moved, _ = stepped
    assert int(moved.step) == 1 and int(start.step) == 0
    for got, expected in zip(
        jax.tree.leaves(moved.variables["batch_stats"]),
        jax.tree.leaves(stats),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_the_encoder_finds_the_latent_vector(start, images):
    optimizer = optax.adam(3e-3)

    @jax.jit
    def train(key):
        step = functools.partial(
            train_encoder.train_step,
            encoder=ENCODER,
            generate=stripes,
            optimizer=optimizer,
            window=5,
        )
        state = supervised.init(start.variables, optimizer=optimizer)
        return jax.lax.scan(
            lambda state, key: step(key, state, images),
            state,
            jax.random.split(key, 80),
        )[1]

    info = train(jax.random.key(3))
    error = np.asarray(info.error).mean(axis=1)
    assert error[-10:].mean() < 0.6 * error[:3].mean()
