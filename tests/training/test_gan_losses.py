"""Losses and gradients of G and D are those written out, penalties included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from inpaint_jax.images import augmentation
from inpaint_jax.models import dcgan
from inpaint_jax.training import gan_losses

pytestmark = pytest.mark.usefixtures("standard_promotion")

A = dcgan.Architecture(
    image_size=16, features=4, kernel_size=4, discriminator_norm="none"
)
BATCH = 5
VIEWS = ("colour", "translation")
CONFIGS = {
    "plain": gan_losses.LossConfig(loss="relativistic", augment=VIEWS),
    "real": gan_losses.LossConfig(loss="relativistic", augment=VIEWS, real_penalty=0.7),
    "often": gan_losses.LossConfig(
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
def found(inputs):
    """{name: losses and gradients}: "often" in a step with penalties, "seldom" not."""

    @jax.jit
    def run(variables, real, fake, penalty_scale, penalised):
        def compute(name, **options):
            config = CONFIGS[name]
            shared = {"discriminator": A.discriminator(), "config": config}

            def view(fake):
                return gan_losses.augmented(
                    KEY, real, fake, config=config, probability=PROBABILITY
                )

            def generator_loss(fake):
                each = gan_losses.generator_loss(variables, *view(fake), **shared)
                return each.mean(), each

            gradient, info = jax.grad(gan_losses.discriminator_loss, has_aux=True)(
                variables["params"], variables, *view(fake), **shared, **options
            )
            of_generator = jax.grad(generator_loss, has_aux=True)(fake)
            return {
                "discriminator_gradient": gradient,
                "generator_gradient": of_generator[0],
                "generator_loss": of_generator[1],
                **info._asdict(),
            }

        often = compute("often", penalty_scale=penalty_scale, penalised=penalised)
        return {"plain": compute("plain"), "real": compute("real"), "often": often}

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
def test_gradient_is_that_of_the_loss_and_of_half_the_squared_gradients(
    name, real_weight, fake_weight, found, book
):
    (loss, _), _, (_, real), (_, fake), _ = book
    expected = combined((1.0, loss), (real_weight, real), (fake_weight, fake))
    assert_trees_close(found[name]["discriminator_gradient"], expected)
    # Each of the three says something.
    for tree in (loss, real, fake):
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(tree)) > 0.01


def test_gradient_penalty_is_the_mean_of_those_with_a_weight(found, book):
    _, _, (real, _), (fake, _), _ = book
    both = real + fake  # twice the mean of the two halves
    for name, expected in {
        "plain": 0.0,
        "real": 2 * real,
        "halved": both,
        "often": both,
        "seldom": 0.0,
    }.items():
        np.testing.assert_allclose(found[name]["gradient_penalty"], expected, rtol=1e-4)


def test_penalties_change_the_gradient_of_the_discriminator_alone(found):
    for name, values in found.items():
        assert values["updated"] == {}
        for field in ("loss", "logits", "generator_loss", "generator_gradient"):
            np.testing.assert_array_equal(
                values[field], found["plain"][field], err_msg=f"{name} {field}"
            )


def test_the_generators_gradient_goes_through_the_augmentation(found, book):
    _, (gradient, _), *_ = book
    assert np.abs(gradient).max() > 1e-3
    assert_trees_close(found["often"]["generator_gradient"], gradient)


def test_losses_and_logits_are_those_of_each_pair(found, book):
    (_, of_discriminator), (_, of_generator), _, _, (real, fake) = book
    values = found["often"]
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(values["loss"], of_discriminator, **close)
    np.testing.assert_allclose(values["generator_loss"], of_generator, **close)
    np.testing.assert_allclose(values["logits"].real, real, **close)
    np.testing.assert_allclose(values["logits"].fake, fake, **close)
    assert np.std(np.asarray(real)) > 0.05
