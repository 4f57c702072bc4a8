"""What D and whoever fools it are told is what the book says, penalties included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from inpaint_jax.images import augmentation
from inpaint_jax.models import dcgan
from inpaint_jax.training import judging

pytestmark = pytest.mark.usefixtures("standard_promotion")

A = dcgan.Architecture(
    image_size=16, features=4, kernel_size=4, discriminator_norm="none"
)
BATCH = 5
VIEWS = ("colour", "translation")
RULES = {
    "plain": judging.Rules(loss="relativistic", augment=VIEWS),
    "real": judging.Rules(loss="relativistic", augment=VIEWS, real_penalty=0.7),
    "often": judging.Rules(
        loss="relativistic",
        augment=VIEWS,
        real_penalty=0.7,
        fake_penalty=0.3,
        penalty_every=4,
    ),
}
PROBABILITY = 0.6
KEY = jax.random.key(3)


def plain(params, image):
    """D written out."""
    x = image
    for level in range(2):
        layer = params[f"Conv_{level}"]
        x = lax.conv_general_dilated(
            x,
            layer["kernel"],
            (2, 2),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = x + layer["bias"][None, None, None]
        x = jnp.where(x > 0, x, 0.2 * x)
    last = params["to_logit"]
    return (x.reshape(len(image), -1) @ last["kernel"])[:, 0] + last["bias"]


@pytest.fixture(scope="module")
def inputs():
    """D's variables, real and generated images."""
    rng = np.random.default_rng(0)
    real, fake = jnp.asarray(rng.uniform(-1, 1, (2, BATCH, 16, 16, 3)), jnp.float32)
    with jax.numpy_dtype_promotion("standard"):
        init = jax.jit(lambda key: A.discriminator().init(key, real, train=False))
        params = init(jax.random.key(1))["params"]
    last = {**params["to_logit"], "kernel": 20.0 * params["to_logit"]["kernel"]}
    return {"params": {**params, "to_logit": last}}, real, fake


@pytest.fixture(scope="module")
def judged(inputs):
    """{name: what `judge` says}: "often" in a step with penalties, "seldom" without."""

    @jax.jit
    def run(variables, real, fake, penalty, penalised):
        def judge(name, **options):
            return judging.judge(
                KEY,
                variables,
                real,
                fake,
                network=A.discriminator(),
                rules=RULES[name],
                probability=PROBABILITY,
                **options,
            )

        often = judge("often", penalty=penalty, penalised=penalised)
        return {"plain": judge("plain"), "real": judge("real"), "often": often}

    with jax.numpy_dtype_promotion("standard"):
        return {
            **run(*inputs, 1.0, True),
            "halved": run(*inputs, 0.5, True)["often"],
            "seldom": run(*inputs, 1.0, False)["often"],
        }


@pytest.fixture(scope="module")
def book(inputs):
    """Gradients of D's loss and of each penalty, and of G's by the images."""

    @jax.jit
    def compute(params, real, fake):
        keys = jax.random.split(KEY)

        def view(key, image):
            return augmentation.random_view(
                key, image, probability=PROBABILITY, changes=VIEWS
            )

        def logits(params, fake):
            return plain(params, view(keys[0], real)), plain(
                params, view(keys[1], fake)
            )

        def of_discriminator(params):
            of_real, of_fake = logits(params, fake)
            each = -jnp.log(jax.nn.sigmoid(of_real - of_fake))
            return each.mean(), each

        def of_generator(fake):
            of_real, of_fake = logits(params, fake)
            each = -jnp.log(jax.nn.sigmoid(of_fake - of_real))
            return each.mean(), each

        def penalty(params, key, image):
            alone = jax.grad(lambda x: plain(params, x[None])[0])
            slopes = jax.vmap(alone)(view(key, image))
            return 0.5 * jnp.mean(jnp.sum(slopes**2, axis=(1, 2, 3)))

        each_penalty = jax.value_and_grad(penalty)
        return (
            jax.grad(of_discriminator, has_aux=True)(params),
            jax.grad(of_generator, has_aux=True)(fake),
            each_penalty(params, keys[0], real),
            each_penalty(params, keys[1], fake),
            logits(params, fake),
        )

    variables, real, fake = inputs
    with jax.numpy_dtype_promotion("standard"):
        return compute(variables["params"], real, fake)


def combined(*weighted):
    """Sum of (weight, tree)."""
    return jax.tree.map(
        lambda *leaves: sum(w * x for (w, _), x in zip(weighted, leaves, strict=True)),
        *(tree for _, tree in weighted),
    )


def assert_trees_close(found, expected, tolerance=1e-4):
    """Within the tolerance, relative to each leaf's largest number."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(
            a, b, rtol=0, atol=tolerance * (np.abs(b).max() + 1e-4)
        )


@pytest.mark.parametrize(
    ("name", "real_weight", "fake_weight"),
    [
        ("plain", 0.0, 0.0),
        ("real", 0.7, 0.0),
        # Once in four steps, and four times as much.
        ("often", 2.8, 1.2),
        ("halved", 1.4, 0.6),
        ("seldom", 0.0, 0.0),
    ],
)
def test_gradient_is_that_of_the_loss_and_of_half_the_squared_slopes(
    name, real_weight, fake_weight, judged, book
):
    (loss, _), _, (_, real), (_, fake), _ = book
    expected = combined((1.0, loss), (real_weight, real), (fake_weight, fake))
    assert_trees_close(judged[name].gradient, expected)
    # Each of the three says something.
    for tree in (loss, real, fake):
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(tree)) > 0.01


def test_slope_is_the_mean_where_it_is_penalised(judged, book):
    _, _, (real, _), (fake, _), _ = book
    both = real + fake  # twice the mean of the two halves
    for name, expected in {
        "plain": 0.0,
        "real": 2 * real,
        "halved": both,
        "often": both,
        "seldom": 0.0,
    }.items():
        np.testing.assert_allclose(judged[name].slope, expected, rtol=1e-4)


def test_penalties_change_nothing_but_the_gradient_and_the_slope(judged):
    for name, verdict in judged.items():
        for field in set(verdict._fields) - {"gradient", "slope", "updated"}:
            np.testing.assert_array_equal(
                getattr(verdict, field), getattr(judged["plain"], field), err_msg=name
            )
        assert verdict.updated == {}


def test_the_way_to_fool_leads_through_the_views(judged, book):
    _, (toward_fooled, _), *_ = book
    verdict = judged["often"]
    assert np.abs(toward_fooled).max() > 1e-3
    assert_trees_close(verdict.toward_fooled, toward_fooled)


def test_losses_and_logits_are_those_of_each_pair(judged, book):
    (_, of_discriminator), (_, of_generator), _, _, (real, fake) = book
    verdict = judged["often"]
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(verdict.discriminator_loss, of_discriminator, **close)
    np.testing.assert_allclose(verdict.generator_loss, of_generator, **close)
    np.testing.assert_allclose(verdict.real_logits, real, **close)
    np.testing.assert_allclose(verdict.fake_logits, fake, **close)
    assert np.std(np.asarray(real)) > 0.05
