"""A completer follows its loss, and critics theirs, from the same point."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inpaint_jax.images import augmentation, masks
from inpaint_jax.models import dcgan, face_completion
from inpaint_jax.training import train_completer
from tests import drawn

pytestmark = pytest.mark.usefixtures("standard_promotion")

SMALL = face_completion.Architecture(image_size=16, features=4, bottleneck=6)
CRITIC = dcgan.Architecture(image_size=16, features=4, kernel_size=4)
BATCH, SIZE = 6, 16
CONFIG = train_completer.TrainConfig(
    families=("centre", "left"),
    overlap=0,
    lambda_global=0.5,
    lambda_local=0.3,
    lambda_parsing=0.2,
)
NETWORKS = train_completer.Networks(
    SMALL.network(), CRITIC.discriminator(), optax.sgd(1.0), optax.sgd(1.0)
)
COLOURS = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)
KEY = jax.random.key(2)


def parse(colours, image):
    """A parser that goes by colour alone."""
    return image @ colours


@pytest.fixture(scope="module")
def images():
    return drawn.noise(BATCH, SIZE, SIZE, 3)


@pytest.fixture(scope="module")
def start():
    with jax.numpy_dtype_promotion("standard"):
        init = functools.partial(train_completer.init, networks=NETWORKS, config=CONFIG)
        return jax.jit(init)(jax.random.key(1))


@pytest.fixture(scope="module")
def advance(start, images):
    """The state and info after a step, by how much of the training is over."""
    step = functools.partial(
        train_completer.train_step, networks=NETWORKS, config=CONFIG
    )
    parser = jax.tree_util.Partial(parse, jnp.asarray(COLOURS))
    return functools.partial(jax.jit(step), KEY, start, images, parser=parser)


@pytest.fixture(scope="module")
def stepped(advance):
    with jax.numpy_dtype_promotion("standard"):
        return advance(0.0)


@pytest.fixture(scope="module")
def by_the_book(start, images):
    """Losses written out in numpy's way, differentiated by JAX as a whole."""
    key_flip, key_mask = jax.random.split(KEY)
    image = augmentation.random_flip(
        key_flip, jnp.asarray(images, jnp.float32) / 127.5 - 1.0
    )
    mask = masks.sample(key_mask, BATCH, (SIZE, SIZE), families=CONFIG.families)
    hole = 1.0 - mask

    def apply(network, variables, params, *inputs):
        return network.apply(
            {**variables, "params": params},
            *inputs,
            train=True,
            mutable=["batch_stats"],
        )[0]

    def critics(params, whole):
        for name, seen in {"global": jnp.ones_like(mask), "local": hole}.items():
            judge = functools.partial(
                apply, NETWORKS.critic, start.critics[name], params[name]
            )
            yield name, judge(seen * image), judge(seen * whole)

    def completed(params):
        drawn = apply(NETWORKS.completer, start.completer, params, image, mask)
        return drawn, mask * image + hole * drawn

    def completer_loss(params):
        drawn, whole = completed(params)
        loss = jnp.mean((drawn - image) ** 2)
        weights = {"global": 0.5, "local": 0.3}
        frozen = {name: c["params"] for name, c in start.critics.items()}
        for name, _, fake in critics(frozen, whole):
            loss += weights[name] * jnp.mean(-jnp.log(jax.nn.sigmoid(fake)))
        truth = jnp.exp(image @ COLOURS)
        truth /= truth.sum(axis=-1, keepdims=True)
        found = jnp.exp(whole @ COLOURS)
        found /= found.sum(axis=-1, keepdims=True)
        entropy = -jnp.sum(truth * jnp.log(found), axis=-1, keepdims=True)
        each = jnp.sum(hole * entropy, axis=(1, 2, 3)) / hole.sum(axis=(1, 2, 3))
        return loss + 0.2 * jnp.mean(each)

    def critic_loss(params):
        _, whole = completed(start.completer["params"])
        total = 0.0
        for _, real, fake in critics(params, jax.lax.stop_gradient(whole)):
            real, fake = jax.nn.sigmoid(real), jax.nn.sigmoid(fake)
            total -= jnp.mean(
                0.9 * jnp.log(real) + 0.1 * jnp.log(1 - real) + jnp.log(1 - fake)
            )
        return total

    with jax.numpy_dtype_promotion("standard"):
        critic_params = {name: c["params"] for name, c in start.critics.items()}
        return (
            jax.jit(jax.grad(completer_loss))(start.completer["params"]),
            jax.jit(jax.grad(critic_loss))(critic_params),
        )


def moved(before, after):
    return jax.tree.map(lambda b, a: np.asarray(b - a), before, after)


def close(found, expected):
    scale = max(float(np.abs(x).max()) for x in jax.tree.leaves(expected))
    for one, other in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * scale)


def test_the_completer_follows_all_that_is_asked_of_it(start, stepped, by_the_book):
    state, _ = stepped
    close(moved(start.completer["params"], state.completer["params"]), by_the_book[0])


def test_the_critics_learn_to_tell_completed_from_real(start, stepped, by_the_book):
    state, _ = stepped
    for name, gradient in by_the_book[1].items():
        before, after = start.critics[name], state.critics[name]
        close(moved(before["params"], after["params"]), gradient)


@pytest.mark.parametrize(("progress", "rate"), [(0.5, 0.5), (1.0, 0.0)])
def test_only_the_completers_rate_falls_as_the_training_goes_on(
    progress, rate, start, stepped, advance
):
    (first, _), (state, _) = stepped, advance(progress)
    before = start.completer["params"]
    largest = moved(before, first.completer["params"])
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(largest))
    for found, most in zip(
        *map(jax.tree.leaves, (moved(before, state.completer["params"]), largest)),
        strict=True,
    ):
        np.testing.assert_allclose(found, rate * most, atol=1e-4 * scale)
    for one, other in zip(
        *map(jax.tree.leaves, (state.critics, first.critics)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_step_tells_about_each_image(stepped):
    state, info = stepped
    assert int(state.step) == 1
    for values in info:
        assert values.shape == (BATCH,) and np.isfinite(values).all()
    assert (np.asarray(info.error) > 0).all() and (np.asarray(info.parsing) > 0).all()


def test_who_has_no_weight_does_not_take_part():
    alone = train_completer.TrainConfig(lambda_global=0.0)
    init = functools.partial(train_completer.init, networks=NETWORKS, config=alone)
    state = jax.eval_shape(init, jax.random.key(0))
    assert state.critics == {} and set(state.opt_state) == {"completer"}
