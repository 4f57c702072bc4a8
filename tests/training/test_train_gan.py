"""A training step equals a plain two-pass one, and training gets somewhere."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inpaint_jax import losses
from inpaint_jax.images import augmentation
from inpaint_jax.models import dcgan
from inpaint_jax.training import (
    gan_gradients,
    gan_losses,
    gan_networks,
    reconstruction_loss,
    train_gan,
)

pytestmark = pytest.mark.usefixtures("standard_promotion")

SMALL = dcgan.Architecture(image_size=16, features=4, z_dim=6, kernel_size=4)
BATCH = 5
# So large that rounding of the moved parameters does not hide the gradient.
RATE = 100.0
VIEWS = ("brightness", "translation")
ADVERSARIAL = {
    "usual": gan_losses.LossConfig(),
    "saturating": gan_losses.LossConfig(loss="saturating"),
    "real_label": gan_losses.LossConfig(real_label=0.7),
    "augment": gan_losses.LossConfig(loss="saturating", real_label=0.9, augment=VIEWS),
    "relativistic": gan_losses.LossConfig(loss="relativistic"),
}
CONFIGS = {
    name: train_gan.TrainConfig(adversarial=adversarial)
    for name, adversarial in ADVERSARIAL.items()
}
CONFIGS["normal"] = train_gan.TrainConfig(prior="normal")
TARGET = 0.6
CONFIGS["adaptive"] = train_gan.TrainConfig(
    augment_target=TARGET, augment_probability=0.8
)


def networks(generator_optimizer, discriminator_optimizer):
    return gan_gradients.Networks(
        SMALL.generator(),
        SMALL.discriminator(),
        generator_optimizer,
        discriminator_optimizer,
    )


NETWORKS = networks(optax.sgd(RATE), optax.sgd(RATE))


def leaves_equal(one, other):
    return all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def assert_trees_close(actual, expected, tolerance):
    """Within the tolerance, relative to each leaf's largest number or 1 % of all.

    A bias before BatchNorm has no gradient but rounding, hence the second.
    """
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        scale = max(np.abs(b).max(), 0.01 * largest)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (BATCH, 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def fresh():
    with jax.numpy_dtype_promotion("standard"):
        init = functools.partial(train_gan.init, networks=NETWORKS)
        return jax.jit(init)(jax.random.key(1))


@pytest.fixture(scope="module")
def state(fresh):
    """Weights five times as large as fresh ones, so that both networks matter."""

    def enlarge(variables):
        larger = jax.tree.map(lambda leaf: 5.0 * leaf, variables["params"])
        return {**variables, "params": larger}

    return fresh._replace(
        generator=enlarge(fresh.generator), discriminator=enlarge(fresh.discriminator)
    )


@jax.jit
def step_with_each(key, state, images):
    """One step for each of CONFIGS; in one program, as that compiles faster."""
    return {
        name: train_gan.train_step(key, state, images, networks=NETWORKS, config=config)
        for name, config in CONFIGS.items()
    }


@pytest.fixture(scope="module")
def steps(state, images):
    with jax.numpy_dtype_promotion("standard"):
        return step_with_each(jax.random.key(2), state, images)


def two_pass(key, state, images, adversarial):
    """Gradients, statistics and losses by the book: one pass of G and D per player."""
    key_z, key_flip, key_views, _ = jax.random.split(key, 4)
    key_real, key_fake = jax.random.split(key_views)
    z = jax.random.uniform(key_z, (BATCH, SMALL.z_dim), minval=-1.0, maxval=1.0)
    real = images.astype(jnp.float32) / 127.5 - 1.0
    real = augmentation.random_flip(key_flip, real)

    def generate(params):
        variables = {**state.generator, "params": params}
        return SMALL.generator().apply(variables, z, train=True, mutable="batch_stats")

    def judge(params, image, key):
        if adversarial.augment:
            image = augmentation.random_view(key, image)
        variables = {**state.discriminator, "params": params}
        return SMALL.discriminator().apply(
            variables, image, train=True, mutable="batch_stats"
        )

    def generator_loss(params):
        fake, updated = generate(params)
        logits, _ = judge(state.discriminator["params"], fake, key_fake)
        probability = jax.nn.sigmoid(logits)
        if adversarial.loss == "relativistic":
            others, _ = judge(state.discriminator["params"], real, key_real)
            each = -jnp.log(jax.nn.sigmoid(logits - others))
        elif adversarial.loss == "saturating":
            each = jnp.log(jax.nn.sigmoid(-logits))  # log(1 - probability), exactly
        else:
            each = -jnp.log(probability)
        return jnp.mean(each), (each, updated)

    def discriminator_loss(params):
        fake = jax.lax.stop_gradient(generate(state.generator["params"])[0])
        real_logits, real_updated = judge(params, real, key_real)
        fake_logits, fake_updated = judge(params, fake, key_fake)
        real_probability = jax.nn.sigmoid(real_logits)
        if adversarial.loss == "relativistic":
            each = -jnp.log(jax.nn.sigmoid(real_logits - fake_logits))
        else:
            each = (
                -adversarial.real_label * jnp.log(real_probability)
                - (1.0 - adversarial.real_label) * jnp.log(jax.nn.sigmoid(-real_logits))
                - jnp.log(jax.nn.sigmoid(-fake_logits))
            )
        more = (each, real_updated, fake_updated, real_logits, fake_logits)
        return jnp.mean(each), more

    return (
        jax.grad(generator_loss, has_aux=True)(state.generator["params"]),
        jax.grad(discriminator_loss, has_aux=True)(state.discriminator["params"]),
    )


@pytest.fixture(scope="module")
def plain(state, images):
    @jax.jit
    def both(key, state, images):
        return {
            name: two_pass(key, state, images, ADVERSARIAL[name])
            for name in ("usual", "augment", "relativistic")
        }

    with jax.numpy_dtype_promotion("standard"):
        return both(jax.random.key(2), state, images)


@pytest.mark.parametrize("name", ["usual", "augment", "relativistic"])
def test_gradients_equal_those_of_two_passes(name, state, steps, plain):
    (generator, _), (discriminator, _) = plain[name]
    moved, _ = steps[name]
    for before, after, gradient in (
        (state.generator, moved.generator, generator),
        (state.discriminator, moved.discriminator, discriminator),
    ):
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient)) > 0.01
        revealed = jax.tree.map(
            lambda old, new: (old - new) / RATE, before["params"], after["params"]
        )
        assert_trees_close(revealed, gradient, 2e-4)


@pytest.mark.parametrize("name", ["usual", "augment", "relativistic"])
def test_info_holds_the_losses_and_shares_of_the_batch(name, steps, plain):
    (_, (generator_loss, _)), (_, (discriminator_loss, *_, real, fake)) = plain[name]
    _, info = steps[name]
    np.testing.assert_allclose(info.generator_loss, generator_loss, rtol=1e-4)
    np.testing.assert_allclose(info.discriminator_loss, discriminator_loss, rtol=1e-4)
    real, fake = np.asarray(real), np.asarray(fake)
    # A relativistic D compares each real image with one generated image.
    recognised, looks_real = real > 0, fake > 0
    if name == "relativistic":
        recognised, looks_real = real > fake, fake > real.mean()
    np.testing.assert_allclose(info.real_accuracy, np.mean(recognised), rtol=1e-6)
    np.testing.assert_allclose(info.fooling_rate, np.mean(looks_real), rtol=1e-6)
    assert info.gradient_penalty == 0.0


def test_statistics_move_to_those_of_the_batch(state, steps, plain):
    (_, (_, of_g)), (_, (_, of_real, of_fake, *_)) = plain["usual"]
    moved, _ = steps["usual"]
    assert not leaves_equal(moved.generator["batch_stats"], of_real["batch_stats"])
    assert_trees_close(moved.generator["batch_stats"], of_g["batch_stats"], 1e-5)
    mean_of_both = jax.tree.map(
        lambda a, b: (a + b) / 2, of_real["batch_stats"], of_fake["batch_stats"]
    )
    assert_trees_close(moved.discriminator["batch_stats"], mean_of_both, 1e-5)


def first_layer_statistics(params, z):
    """Mean and variance of the generator's projection, in NumPy."""
    kernel, bias = (np.asarray(params["project"][n]) for n in ("kernel", "bias"))
    projected = (np.asarray(z) @ kernel + bias).reshape(-1, kernel.shape[1] // 16)
    return projected.mean(axis=0), projected.var(axis=0)


def test_the_running_mean_remembers_nine_tenths(state, steps):
    moved, _ = steps["usual"]
    key_z = jax.random.split(jax.random.key(2), 4)[0]
    z = train_gan.sample_z(key_z, BATCH, SMALL.z_dim)
    mean, var = first_layer_statistics(state.generator["params"], z)
    stats = moved.generator["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(stats["mean"], 0.1 * mean, atol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * var, atol=1e-6)


def test_z_is_drawn_as_the_prior_says(state, steps):
    moved, _ = steps["normal"]
    z = jax.random.normal(jax.random.split(jax.random.key(2), 4)[0], (BATCH, 6))
    mean, var = first_layer_statistics(state.generator["params"], z)
    stats = moved.generator["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(stats["mean"], 0.1 * mean, atol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * var, atol=1e-6)


def test_step_is_deterministic_and_changes_none_of_its_inputs(state, images, steps):
    before = jax.tree.map(np.array, state)
    structure, bytes_before = jax.tree.structure(state), images.copy()
    again = step_with_each(jax.random.key(2), state, images)
    assert leaves_equal(again, steps)
    assert jax.tree.structure(state) == structure and leaves_equal(state, before)
    np.testing.assert_array_equal(images, bytes_before)
    other = step_with_each(jax.random.key(3), state, images)
    assert not leaves_equal(other["usual"][0].generator, again["usual"][0].generator)


def test_next_state_has_the_structure_of_the_last(state, steps):
    moved, _ = steps["usual"]
    describe = lambda leaf: (leaf.shape, leaf.dtype)
    assert jax.tree.map(describe, moved) == jax.tree.map(describe, state)
    assert int(moved.step) == int(state.step) + 1


def test_saturating_changes_only_the_generators_gradient(steps):
    usual, saturating = steps["usual"], steps["saturating"]
    assert_trees_close(saturating[0].discriminator, usual[0].discriminator, 1e-6)
    assert not leaves_equal(
        usual[0].generator["params"], saturating[0].generator["params"]
    )
    # log(1 - p) in place of -log p, from the same logits.
    usual_loss, saturating_loss = (
        np.asarray(info.generator_loss) for _, info in (usual, saturating)
    )
    expected = np.log(1 - np.exp(-usual_loss))
    np.testing.assert_allclose(saturating_loss, expected, rtol=1e-4)


def test_real_label_changes_only_the_discriminators_gradient(steps, plain):
    usual, smoothed = steps["usual"], steps["real_label"]
    assert_trees_close(smoothed[0].generator, usual[0].generator, 1e-6)
    assert not leaves_equal(
        usual[0].discriminator["params"], smoothed[0].discriminator["params"]
    )
    # Cross entropy is linear in the label: -log p - 0.3 * (log(1 - p) - log p).
    real_logits = np.asarray(plain["usual"][1][1][3])
    expected = np.asarray(usual[1].discriminator_loss) + 0.3 * real_logits
    np.testing.assert_allclose(smoothed[1].discriminator_loss, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("step", "decay"),
    # The half-life is the lesser of 50 000 images and a twentieth of those seen.
    [
        (0, 0.5**20),
        (9, 0.25),
        (19, 0.5),
        (1999, 0.5**0.01),
        (199_999, 0.5**1e-4),
        (10_000_000, 0.5**1e-4),
    ],
)
def test_average_warms_up_and_then_decays(step, decay, state, images):
    average = jax.tree.map(lambda leaf: leaf + 1.0, state.generator["params"])
    start = state._replace(step=jnp.asarray(step, jnp.int32), average=average)
    moved, _ = step_with_each(jax.random.key(2), start, images)["usual"]
    for actual, old, new in zip(
        *map(jax.tree.leaves, (moved.average, average, moved.generator["params"])),
        strict=True,
    ):
        expected = decay * np.float64(old) + (1 - decay) * np.float64(new)
        # 1 - decay is rounded to about 1e-7.
        tolerance = 1e-6 + 3e-7 * np.abs(new).max()
        np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)
    assert int(moved.step) == step + 1


def test_init_averages_from_the_first_weights_and_draws_two_networks(fresh):
    assert int(fresh.step) == 0 and fresh.step.dtype == jnp.int32
    assert leaves_equal(fresh.average, fresh.generator["params"])
    assert not np.array_equal(
        fresh.generator["params"]["to_image"]["kernel"].ravel()[:50],
        fresh.discriminator["params"]["Conv_0"]["kernel"].ravel()[:50],
    )


def test_z_is_uniform_on_minus_one_to_one(key):
    z = np.asarray(train_gan.sample_z(key, 500, 6))
    assert z.shape == (500, 6) and np.abs(z).max() <= 1.0
    # Four standard errors of the mean and of the variance 1/3.
    assert abs(z.mean()) < 4 * (1 / 3 / z.size) ** 0.5
    assert abs(z.var() - 1 / 3) < 4 * (4 / 45 / z.size) ** 0.5


def test_z_may_be_normal(key):
    z = np.asarray(train_gan.sample_z(key, 500, 6, prior="normal"))
    assert z.shape == (500, 6) and z.dtype == np.float32
    # Four standard errors of the mean, the variance and the fourth moment.
    assert abs(z.mean()) < 4 * (1 / z.size) ** 0.5
    assert abs(z.var() - 1) < 4 * (2 / z.size) ** 0.5
    assert abs((z**4).mean() - 3) < 4 * (96 / z.size) ** 0.5


def test_averaged_generator_has_the_statistics_of_a_large_batch(state):
    wrong = jax.tree.map(lambda leaf: leaf + 3.0, state.generator["batch_stats"])
    other = jax.tree.map(lambda leaf: -2.0 * leaf, state.generator["params"])
    trained = state._replace(
        average=state.generator["params"],
        generator={"params": other, "batch_stats": wrong},
    )
    settle = functools.partial(
        gan_networks.averaged_generator, generator=SMALL.generator(), batches=150
    )
    variables = jax.jit(settle)(jax.random.key(4), trained)
    assert leaves_equal(variables["params"], trained.average)

    z = np.random.default_rng(1).uniform(-1.0, 1.0, (2048, SMALL.z_dim))
    z = jnp.asarray(z, jnp.float32)

    @jax.jit
    def both(variables, z):
        # In train mode the networks use the batch's own statistics and store a tenth.
        own, updated = SMALL.generator().apply(
            variables, z, train=True, mutable="batch_stats"
        )
        stored = SMALL.generator().apply(variables, z, train=False)
        return own, stored, updated["batch_stats"]

    own, stored, updated = both(variables, z)
    measured = jax.tree.map(
        lambda new, old: (new - 0.9 * old) / 0.1, updated, variables["batch_stats"]
    )
    # The running mean averages about 19 batches of 64.
    for layer, expected in measured.items():
        actual, deviation = variables["batch_stats"][layer], np.sqrt(expected["var"])
        assert (np.abs(actual["mean"] - expected["mean"]) < 0.1 * deviation).all()
        np.testing.assert_allclose(actual["var"], expected["var"], rtol=0.1)
    mean, var = first_layer_statistics(trained.average, z)
    first = variables["batch_stats"]["BatchNorm_0"]
    assert (np.abs(first["mean"] - mean) < 0.1 * np.sqrt(var)).all()
    np.testing.assert_allclose(first["var"], var, rtol=0.1)
    assert np.std(own) > 0.05
    np.testing.assert_allclose(stored, own, atol=0.2 * np.std(own))


def test_each_network_can_be_trained_against_the_other(fresh):
    # Real images are bright with a dark stripe. First only D learns, then only G.
    images = np.full((8, 16, 16, 3), 230, np.uint8)
    images[:, 6:10] = 30

    @jax.jit
    def train(state, keys, generator_rate, discriminator_rate):
        each = networks(optax.adam(generator_rate), optax.adam(discriminator_rate))
        return jax.lax.scan(
            lambda state, key: train_gan.train_step(
                key, state, images, networks=each, config=train_gan.TrainConfig()
            ),
            state,
            keys,
        )

    keys = jax.random.split(jax.random.key(5), 40)
    adam = optax.adam(0.0)
    start = fresh._replace(
        opt_state={
            "generator": adam.init(fresh.generator["params"]),
            "discriminator": adam.init(fresh.discriminator["params"]),
            "encoder": (),
        }
    )
    better, info = train(start, keys, 0.0, 0.01)
    # An undecided D has a loss of 2 log 2.
    np.testing.assert_allclose(info.discriminator_loss[0].mean(), 1.386, atol=0.05)
    assert info.discriminator_loss[-1].mean() < 0.4
    assert leaves_equal(better.generator["params"], fresh.generator["params"])
    fooling, info = train(better, keys, 0.01, 0.0)
    assert info.generator_loss[-1].mean() < 0.5 * info.generator_loss[0].mean()
    assert leaves_equal(fooling.discriminator["params"], better.discriminator["params"])


# With an encoder beside the two.

RECONSTRUCTION = reconstruction_loss.LossConfig(
    weight=3.0, feature_weight=0.4, latent_weight=0.7
)


@pytest.fixture(scope="module")
def three(images):
    """A step with an encoder: before, after, info; after one without features."""
    rate = optax.sgd(RATE)
    each = NETWORKS._replace(encoder=SMALL.encoder(), encoder_optimizer=rate)
    weights = RECONSTRUCTION.feature_weight, 0.0
    each_config = [
        dataclasses.replace(RECONSTRUCTION, feature_weight=weight) for weight in weights
    ]
    config, without_features = (
        train_gan.TrainConfig(reconstruction=r) for r in each_config
    )

    @jax.jit
    def both(key, images):
        state = train_gan.init(jax.random.key(1), networks=each)
        step = functools.partial(train_gan.train_step, networks=each)
        moved = step(key, state, images, config=config)
        other, _ = step(key, state, images, config=without_features)
        return state, *moved, other

    with jax.numpy_dtype_promotion("standard"):
        return both(jax.random.key(2), images)


@pytest.fixture(scope="module")
def by_the_book(three, images):
    """Gradients of one sum of losses, G and E drawn by the book."""
    state, *_ = three

    @jax.jit
    def gradients(key, images):
        key_z, key_flip, key_views, key_match = jax.random.split(key, 4)
        z = jax.random.uniform(key_z, (BATCH, SMALL.z_dim), minval=-1.0, maxval=1.0)
        real = images.astype(jnp.float32) / 127.5 - 1.0
        real = augmentation.random_flip(key_flip, real)

        def objective(generator, encoder):
            everything = jnp.ones((BATCH, 16, 16, 1))
            code, _ = SMALL.encoder().apply(
                {**state.encoder, "params": encoder},
                real,
                everything,
                train=True,
                mutable="batch_stats",
            )
            drawn, _ = SMALL.generator().apply(
                {**state.generator, "params": generator},
                jnp.concatenate([z, code]),
                train=True,
                mutable="batch_stats",
            )
            logits, _ = SMALL.discriminator().apply(
                state.discriminator, drawn[:BATCH], train=True, mutable="batch_stats"
            )
            error = jnp.mean((drawn[BATCH:] - real) ** 2, axis=(1, 2, 3))
            judge = functools.partial(
                SMALL.discriminator().apply, state.discriminator, train=False
            )
            pairs = zip(
                judge(drawn[BATCH:], features=True),
                judge(real, features=True),
                strict=True,
            )
            features = sum(
                jnp.abs(found - wanted).mean(axis=(1, 2, 3)) / jnp.abs(wanted).mean()
                for found, wanted in pairs
            )
            features /= SMALL.levels
            match = losses.adversarial.sliced_wasserstein(key_match, code, z)
            fooled = -jnp.log(jax.nn.sigmoid(logits))
            each = fooled + 3.0 * (error + 0.4 * features) + 0.7 * match
            return jnp.mean(each), (error, features, match)

        return jax.grad(objective, argnums=(0, 1), has_aux=True)(
            state.generator["params"], state.encoder["params"]
        )

    with jax.numpy_dtype_promotion("standard"):
        return gradients(jax.random.key(2), images)


def test_generator_and_encoder_follow_the_sum_of_their_losses(three, by_the_book):
    state, moved, *_ = three
    gradients, _ = by_the_book
    for name, gradient in zip(("generator", "encoder"), gradients, strict=True):
        before, after = getattr(state, name), getattr(moved, name)
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient)) > 1e-3
        revealed = jax.tree.map(
            lambda old, new: (old - new) / RATE, before["params"], after["params"]
        )
        assert_trees_close(revealed, gradient, 1e-3)
        assert not leaves_equal(before["batch_stats"], after["batch_stats"])


def test_info_has_the_parts_of_the_reconstruction_loss(three, by_the_book):
    _, _, info, _ = three
    _, (error, features, match) = by_the_book
    np.testing.assert_allclose(info.reconstruction, error, rtol=1e-4)
    # The library divides by a little more than the size of the features, which is small
    # in a fresh D.
    np.testing.assert_allclose(info.feature_matching, features, rtol=1e-3)
    np.testing.assert_allclose(info.sliced_wasserstein, match, rtol=1e-4)


def test_the_discriminator_does_not_learn_from_its_features(three):
    _, moved, _, without = three
    assert leaves_equal(moved.discriminator, without.discriminator)
    assert not leaves_equal(moved.encoder["params"], without.encoder["params"])
    assert not leaves_equal(moved.generator["params"], without.generator["params"])


def test_without_an_encoder_the_reconstruction_loss_is_zero(steps):
    moved, info = steps["usual"]
    assert jax.tree.leaves(moved.encoder) == []
    np.testing.assert_array_equal(info.reconstruction, np.zeros(BATCH))
    np.testing.assert_array_equal(info.feature_matching, np.zeros(BATCH))
    np.testing.assert_array_equal(info.sliced_wasserstein, np.zeros(BATCH))


def test_generator_learns_to_reconstruct_what_the_encoder_sees(images):
    rate = optax.adam(0.01)
    each = gan_gradients.Networks(
        SMALL.generator(),
        SMALL.discriminator(),
        rate,
        optax.adam(1e-4),
        SMALL.encoder(),
        rate,
    )
    config = train_gan.TrainConfig(
        reconstruction=reconstruction_loss.LossConfig(weight=100.0)
    )

    @jax.jit
    def train(key):
        state = train_gan.init(key, networks=each)
        return jax.lax.scan(
            lambda state, key: train_gan.train_step(
                key, state, images, networks=each, config=config
            ),
            state,
            jax.random.split(key, 150),
        )[1]

    # The images are noise of one batch, so they can only be learnt by heart.
    info = train(jax.random.key(6))
    error = np.asarray(info.reconstruction).mean(axis=1)
    assert error[-20:].mean() < 0.8 * error[:5].mean()


# What a training keeps up to date as it goes on.


def with_bias(state, bias):
    """The state with another bias of D's logits."""
    params = state.discriminator["params"]
    last = {**params["to_logit"], "bias": jnp.full(1, bias, jnp.float32)}
    moved = {**state.discriminator, "params": {**params, "to_logit": last}}
    return state._replace(discriminator=moved)


@pytest.mark.parametrize(
    ("bias", "before", "after"),
    # All real images are recognised, or none; 100 000 from 0 to 1.
    [
        (1e4, 0.3, 0.3 + BATCH / 100_000),
        (-1e4, 0.3, 0.3 - BATCH / 100_000),
        (1e4, 0.8, 0.8),
        (-1e4, 0.0, 0.0),
        (-1e4, BATCH / 200_000, 0.0),
    ],
)
def test_augmentation_follows_what_discriminator_has_learnt_by_heart(
    bias, before, after, state, images
):
    probability = jnp.asarray(before, jnp.float32)
    begin = with_bias(state, bias)._replace(augment_probability=probability)
    steps = step_with_each(jax.random.key(2), begin, images)
    moved, info = steps["adaptive"]
    assert info.real_accuracy == (bias > 0)
    assert info.augment_probability == np.float32(before)
    np.testing.assert_allclose(moved.augment_probability, after, atol=1e-7)
    # Without a target it stays.
    assert steps["usual"][0].augment_probability == np.float32(before)


def test_augmentation_begins_where_the_config_says():
    for target, expected in ((0.0, 0.7), (TARGET, 0.0)):
        config = train_gan.TrainConfig(augment_target=target, augment_probability=0.7)
        begin = jax.jit(
            lambda config=config: (
                train_gan.init(
                    jax.random.key(0), networks=NETWORKS, config=config
                ).augment_probability
            )
        )()
        assert begin == np.float32(expected)


@pytest.mark.parametrize(("step", "share"), [(0, 1.0), (3, 0.25), (5000, 0.01)])
def test_the_real_logit_is_remembered(state, images, plain, step, share):
    start = state._replace(
        real_logit=jnp.asarray(2.0, jnp.float32), step=jnp.asarray(step, jnp.int32)
    )
    moved = step_with_each(jax.random.key(2), start, images)["relativistic"][0]
    real = np.asarray(plain["relativistic"][1][1][3])
    expected = (1.0 - share) * 2.0 + share * real.mean()
    np.testing.assert_allclose(moved.real_logit, expected, rtol=1e-5)


def test_a_search_sees_the_average_real_image_at_logit_zero(state, images):
    real = jnp.asarray(images, jnp.float32) / 127.5 - 1.0
    judge = jax.jit(functools.partial(SMALL.discriminator().apply, train=False))
    logits = judge(state.discriminator, real)
    known = state._replace(real_logit=jnp.mean(logits))
    assert abs(known.real_logit) > 0.01
    fixed = gan_networks.fixed_discriminator(known, config=CONFIGS["relativistic"])
    found = np.asarray(judge(fixed, real))
    assert abs(found.mean()) < 1e-5
    np.testing.assert_allclose(found - found[0], logits - logits[0], atol=1e-5)
    # The logits of a D that learns by cross entropy have a zero of their own.
    for name in ("usual", "saturating"):
        same = gan_networks.fixed_discriminator(known, config=CONFIGS[name])
        assert leaves_equal(same, state.discriminator)


# Without BatchNorm, with penalties, as a training goes on.

SMOOTH = dataclasses.replace(SMALL, generator_norm="none", discriminator_norm="none")
SMOOTH_NETWORKS = NETWORKS._replace(
    generator=SMOOTH.generator(), discriminator=SMOOTH.discriminator()
)
PENALISED = gan_losses.LossConfig(real_penalty=0.4, fake_penalty=0.2, penalty_every=3)
SMOOTH_CONFIGS = {
    "plain": train_gan.TrainConfig(final_rate=0.1),
    "penalised": train_gan.TrainConfig(adversarial=PENALISED, final_penalty=0.25),
}


@pytest.fixture(scope="module")
def smooth(images):
    """The start, and {name: (state, info)} as a function of step and progress."""

    @jax.jit
    def advance(state, step, progress):
        start = state._replace(step=step)
        return {
            name: train_gan.train_step(
                jax.random.key(2),
                start,
                images,
                progress,
                networks=SMOOTH_NETWORKS,
                config=config,
            )
            for name, config in SMOOTH_CONFIGS.items()
        }

    init = functools.partial(train_gan.init, networks=SMOOTH_NETWORKS)
    with jax.numpy_dtype_promotion("standard"):
        start = jax.jit(init)(jax.random.key(1))

        def run(step, progress):
            return advance(start, jnp.asarray(step, jnp.int32), np.float32(progress))

        return start, functools.lru_cache(run)


def moves(before, after):
    return jax.tree.map(lambda old, new: new - old, before["params"], after["params"])


@pytest.mark.parametrize(("progress", "rate"), [(0.5, 0.55), (1.0, 0.1)])
def test_rates_fall_as_the_training_goes_on(progress, rate, smooth):
    start, run = smooth
    first, later = (run(0, p)["plain"][0] for p in (0.0, progress))
    for name in ("generator", "discriminator"):
        before = getattr(start, name)
        largest, found = (moves(before, getattr(s, name)) for s in (first, later))
        expected = jax.tree.map(lambda leaf: rate * leaf, largest)
        assert_trees_close(found, expected, 1e-4)


def penalty_of(smooth, step, progress):
    """How a step's penalty moves D, G's moves being the same."""
    start, run = smooth
    plain, penalised = run(0, 0.0)["plain"][0], run(step, progress)["penalised"][0]
    if progress == 0.0:
        assert leaves_equal(plain.generator, penalised.generator)
    return jax.tree.map(
        lambda a, b: a - b,
        moves(start.discriminator, penalised.discriminator),
        moves(start.discriminator, plain.discriminator),
    )


def test_penalties_fall_as_the_training_goes_on(smooth):
    first, half, last = (penalty_of(smooth, 0, p) for p in (0.0, 0.5, 1.0))
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(first)) > 1e-3
    for found, share in ((half, 0.625), (last, 0.25)):
        expected = jax.tree.map(lambda leaf, share=share: share * leaf, first)
        assert_trees_close(found, expected, 1e-3)


def test_penalties_count_in_every_third_step(smooth):
    _, run = smooth
    first = penalty_of(smooth, 0, 0.0)
    for step in range(1, 6):
        found, info = penalty_of(smooth, step, 0.0), run(step, 0.0)["penalised"][1]
        if step % 3:
            assert info.gradient_penalty == 0.0
            assert all(
                (np.asarray(leaf) == 0.0).all() for leaf in jax.tree.leaves(found)
            )
        else:
            assert info.gradient_penalty > 0.0
            assert leaves_equal(found, first)


def test_without_batch_norm_there_are_params_only(smooth):
    start, run = smooth
    moved, _ = run(0, 0.0)["penalised"]
    for state in (start, moved):
        assert set(state.generator) == set(state.discriminator) == {"params"}
    settled = gan_networks.averaged_generator(
        jax.random.key(0), moved, generator=SMOOTH.generator()
    )
    assert set(settled) == {"params"} and leaves_equal(settled["params"], moved.average)
