"""The DCGAN: shapes, initial weights, and the same numbers as a plain one."""

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from inpaint_jax.models import blocks, dcgan

pytestmark = pytest.mark.usefixtures("standard_promotion")

SMALL = dcgan.Architecture(image_size=16, features=4, z_dim=6)
OTHER = dcgan.Architecture(
    image_size=16, features=3, z_dim=5, kernel_size=4, activation="leaky_relu"
)
BARE = dcgan.Architecture(
    image_size=16,
    features=6,
    z_dim=12,
    activation="leaky_relu",
    generator_norm="none",
    discriminator_norm="none",
)
GOLDEN_PIXELS = [-0.100634, 0.076067, 0.265033]
GOLDEN_LOGITS = [0.182124, 0.232717]
LAYOUT = ("NHWC", "HWIO", "NHWC")


def shapes(architecture):
    """{path: shape} of the generator's and of the discriminator's variables."""
    size = architecture.image_size
    z = jax.ShapeDtypeStruct((2, architecture.z_dim), jnp.float32)
    image = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    result = []
    for network, x in (
        (architecture.generator(), z),
        (architecture.discriminator(), image),
    ):

        def init(x, network=network):
            return network.init(jax.random.key(0), x, train=False)

        flat = flax.traverse_util.flatten_dict(jax.eval_shape(init, x), sep="/")
        result.append({path: leaf.shape for path, leaf in flat.items()})
    return result


def formula_variables(flat_shapes):
    """Variables that anyone can make again: sines, numbered in the paths' order."""
    flat = {}
    for number, path in enumerate(sorted(flat_shapes)):
        shape = flat_shapes[path]
        wave = np.sin(np.arange(np.prod(shape)) + number).reshape(shape)
        middle, width = {
            "kernel": (0.0, 0.3),
            "scale": (1.0, 0.3),
            "var": (1.0, 0.5),
        }.get(path.split("/")[-1], (0.0, 0.2))
        flat[path] = jnp.asarray(middle + width * wave, jnp.float32)
    return flax.traverse_util.unflatten_dict(flat, sep="/")


def formula_inputs(architecture, batch):
    """z and images from sines."""
    size = architecture.image_size
    z = np.sin(np.arange(batch * architecture.z_dim) ** 2 + 0.5)
    image = np.sin(np.arange(batch * size * size * 3) * 0.37)
    return (
        jnp.asarray(z.reshape(batch, -1), jnp.float32),
        jnp.asarray(image.reshape(batch, size, size, 3), jnp.float32),
    )


def plain_norm(x, name, variables, train):
    mean = jnp.mean(x, axis=(0, 1, 2), keepdims=True)
    var = jnp.mean((x - mean) ** 2, axis=(0, 1, 2), keepdims=True)
    if not train:
        mean, var = (
            variables["batch_stats"][name][part][None, None, None]
            for part in ("mean", "var")
        )
    scale, bias = (
        variables["params"][name][part][None, None, None] for part in ("scale", "bias")
    )
    return (x - mean) / jnp.sqrt(var + 1e-5) * scale + bias


def leaky(x):
    return jnp.where(x > 0, x, 0.2 * x)


def plain_generator(architecture, variables, z, train):
    params = variables["params"]
    activate = {"relu": lambda x: jnp.maximum(x, 0), "leaky_relu": leaky}[
        architecture.activation
    ]
    x = z @ params["project"]["kernel"] + params["project"]["bias"][None]
    x = x.reshape(len(z), 4, 4, -1)
    names = [f"Conv_{i}" for i in range(architecture.levels - 1)] + ["to_image"]
    for i, name in enumerate(names):
        if architecture.generator_norm == "batch":
            x = plain_norm(x, f"BatchNorm_{i}", variables, train)
        x = activate(x)
        kernel, bias = params[name]["kernel"], params[name]["bias"][None, None, None]
        x = lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT)
        x = x + bias
    return jnp.tanh(x)


def plain_discriminator(architecture, variables, image, train):
    params, x = variables["params"], image
    for i in range(architecture.levels):
        name = f"Conv_{i}"
        kernel, bias = params[name]["kernel"], params[name]["bias"][None, None, None]
        x = lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT
        )
        x = x + bias
        if i > 0 and architecture.discriminator_norm == "batch":
            x = plain_norm(x, f"BatchNorm_{i - 1}", variables, train)
        x = leaky(x)
    x = x.reshape(len(image), -1)
    return (x @ params["to_logit"]["kernel"])[:, 0] + params["to_logit"]["bias"]


@pytest.mark.parametrize("size", [64, 128])
def test_images_and_logits_have_their_shapes(size):
    architecture = dcgan.Architecture(image_size=size)
    generator, discriminator = (formula_shapes(s) for s in shapes(architecture))
    z = jax.ShapeDtypeStruct((3, 100), jnp.float32)

    def both(g, d, z):
        image = architecture.generator().apply(g, z, train=False)
        return image, architecture.discriminator().apply(d, image, train=False)

    image, logits = jax.eval_shape(both, generator, discriminator, z)
    assert image.shape == (3, size, size, 3) and image.dtype == jnp.float32
    assert logits.shape == (3,) and logits.dtype == jnp.float32


def formula_shapes(flat_shapes):
    flat = {p: jax.ShapeDtypeStruct(s, jnp.float32) for p, s in flat_shapes.items()}
    return flax.traverse_util.unflatten_dict(flat, sep="/")


def test_layers_are_those_of_the_thesis():
    # Radford et al. 2016, fig. 1: 4 x 4 x 512, then 256, 128 and 64 channels.
    generator, discriminator = shapes(dcgan.Architecture(image_size=64, features=64))
    kernels = {p: s for p, s in generator.items() if p.endswith("kernel")}
    assert kernels == {
        "params/project/kernel": (100, 4 * 4 * 512),
        "params/Conv_0/kernel": (5, 5, 512, 256),
        "params/Conv_1/kernel": (5, 5, 256, 128),
        "params/Conv_2/kernel": (5, 5, 128, 64),
        "params/to_image/kernel": (5, 5, 64, 3),
    }
    kernels = {p: s for p, s in discriminator.items() if p.endswith("kernel")}
    assert kernels == {
        "params/Conv_0/kernel": (5, 5, 3, 64),
        "params/Conv_1/kernel": (5, 5, 64, 128),
        "params/Conv_2/kernel": (5, 5, 128, 256),
        "params/Conv_3/kernel": (5, 5, 256, 512),
        "params/to_logit/kernel": (4 * 4 * 512, 1),
    }


def test_batch_norm_is_neither_on_the_output_nor_on_the_input():
    generator, discriminator = shapes(dcgan.Architecture(image_size=64, features=64))

    def normalised(flat_shapes):
        return sorted(s[0] for p, s in flat_shapes.items() if p.endswith("/mean"))

    # One for each hidden layer: not for the 3 channels of the image, and not for the
    # discriminator's first 64.
    assert normalised(generator) == [64, 128, 256, 512]
    assert normalised(discriminator) == [128, 256, 512]


def test_twice_the_size_takes_one_more_layer_at_the_small_end():
    generator, discriminator = shapes(dcgan.Architecture(image_size=128, features=64))
    assert generator["params/project/kernel"] == (100, 4 * 4 * 1024)
    assert generator["params/to_image/kernel"] == (5, 5, 64, 3)
    assert discriminator["params/Conv_4/kernel"] == (5, 5, 512, 1024)


def test_initial_weights_are_normal_with_deviation_0_02(key):
    architecture = dcgan.Architecture(image_size=16, features=32, z_dim=50)

    @jax.jit
    def init(key):
        z, image = jnp.zeros((1, 50)), jnp.zeros((1, 16, 16, 3))
        return (
            architecture.generator().init(key, z, train=False),
            architecture.discriminator().init(key, image, train=False),
        )

    for variables in init(key):
        flat = flax.traverse_util.flatten_dict(variables, sep="/")
        for path, leaf in flat.items():
            leaf = np.asarray(leaf)
            if path.endswith(("bias", "mean")):
                np.testing.assert_array_equal(leaf, 0.0)
            elif path.endswith("var"):
                np.testing.assert_array_equal(leaf, 1.0)
            else:
                # Four standard errors of the mean and of the deviation.
                leaf = leaf - 1.0 if path.endswith("scale") else leaf
                error = 4 * 0.02 / leaf.size**0.5
                assert abs(leaf.mean()) < error, path
                assert abs(leaf.std() - 0.02) < error / 2**0.5, path
                # A truncated normal would end at two deviations.
                assert leaf.size < 2000 or np.abs(leaf).max() > 0.06, path


@pytest.mark.parametrize("architecture", [SMALL, OTHER, BARE])
def test_networks_equal_plain_ones(architecture):
    g, d = (formula_variables(s) for s in shapes(architecture))
    z, image = formula_inputs(architecture, 3)

    def networks(g, d, z, image, train):
        kwargs = {"train": train, "mutable": ["batch_stats"]}
        generator, discriminator = (
            architecture.generator(),
            architecture.discriminator(),
        )
        return (
            generator.apply(g, z, **kwargs)[0],
            discriminator.apply(d, image, **kwargs)[0],
            plain_generator(architecture, g, z, train),
            plain_discriminator(architecture, d, image, train),
        )

    @jax.jit
    def both(*arguments):
        return [networks(*arguments, train) for train in (False, True)]

    for generated, logits, plain_generated, plain_logits in both(g, d, z, image):
        # Neither dead nor saturated, or the comparison would say little.
        assert np.std(plain_generated) > 0.1 and np.std(plain_logits) > 0.05
        assert np.mean(np.abs(plain_generated) > 0.99) < 0.6
        np.testing.assert_allclose(generated, plain_generated, atol=2e-5)
        np.testing.assert_allclose(logits, plain_logits, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def apply():
    """(generated, logits) of the small networks, compiled for each `train`."""
    g, d = (formula_variables(s) for s in shapes(SMALL))

    def run(z, image, *, train):
        kwargs = {"train": train, "mutable": ["batch_stats"]}
        return (
            SMALL.generator().apply(g, z, **kwargs)[0],
            SMALL.discriminator().apply(d, image, **kwargs)[0],
        )

    return jax.jit(run, static_argnames="train")


def test_golden_numbers(apply):
    # Made by plain_generator and plain_discriminator above on the same variables in
    # float64 (jax_enable_x64), with jax 0.10.2.
    generated, logits = apply(*formula_inputs(SMALL, 4), train=False)
    some = [generated[0, 0, 0, 0], generated[0, 7, 9, 2], generated[1, 15, 3, 2]]
    np.testing.assert_allclose(some, GOLDEN_PIXELS, atol=1e-5)
    np.testing.assert_allclose(logits[:2], GOLDEN_LOGITS, atol=1e-5)


def test_rows_are_alone_without_train(apply):
    z, image = formula_inputs(SMALL, 4)
    together = apply(z, image, train=False)
    for i in range(4):
        # Row i among copies of row 0.
        alone = apply(
            jnp.stack([z[0], z[i], z[0], z[0]]),
            jnp.stack([image[0], image[i], image[0], image[0]]),
            train=False,
        )
        for one, many in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[1], many[i], rtol=1e-6, atol=1e-6)


def test_rows_are_coupled_with_train(apply):
    z, image = formula_inputs(SMALL, 4)
    before = apply(z, image, train=True)
    after = apply(z.at[0].multiply(-1.0), image.at[0].multiply(-1.0), train=True)
    for one, other in zip(before, after, strict=True):
        assert np.abs(one[1:] - other[1:]).max() > 1e-2


def test_generated_images_fill_the_range_of_tanh(apply):
    z, image = formula_inputs(SMALL, 4)
    generated, _ = apply(1000.0 * z, image, train=False)
    assert np.abs(generated).max() <= 1.0
    assert generated.min() < -0.999 and generated.max() > 0.999


def test_activation_changes_the_generator_only():
    leaky_small = dcgan.Architecture(
        image_size=16, features=4, z_dim=6, activation="leaky_relu"
    )
    assert shapes(leaky_small) == shapes(SMALL)
    g, d = (formula_variables(s) for s in shapes(SMALL))
    z, image = formula_inputs(SMALL, 2)

    @jax.jit
    def both(g, d, z, image):
        return [
            (
                a.generator().apply(g, z, train=False),
                a.discriminator().apply(d, image, train=False),
            )
            for a in (SMALL, leaky_small)
        ]

    results = both(g, d, z, image)
    assert np.abs(results[0][0] - results[1][0]).max() > 0.1
    np.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("size", [-64, 0, 3, 4, 8, 12, 48, 63, 65, 100])
def test_architecture_refuses_sizes_that_no_doubling_reaches(size):
    with pytest.raises(ValueError, match=f"image_size.*{size}"):
        dcgan.Architecture(image_size=size)


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
def test_levels_lead_from_four_pixels_to_the_image(size):
    assert 4 * 2 ** dcgan.Architecture(image_size=size).levels == size


@pytest.mark.parametrize("activation", ["tanh", "ReLU", ""])
def test_architecture_refuses_other_activations(activation):
    with pytest.raises(ValueError, match="activation must be"):
        dcgan.Architecture(activation=activation)


@pytest.mark.parametrize("name", ["generator_norm", "discriminator_norm"])
@pytest.mark.parametrize("value", ["layer", "Batch", ""])
def test_architecture_refuses_other_norms(name, value):
    with pytest.raises(ValueError, match=f"{name} must be"):
        dcgan.Architecture(**{name: value})


# Networks without BatchNorm.


def test_each_network_has_a_norm_of_its_own():
    for name, changed, other in (("generator", 0, 1), ("discriminator", 1, 0)):
        bare = dcgan.Architecture(16, 4, 6, **{f"{name}_norm": "none"})
        assert shapes(bare)[other] == shapes(SMALL)[other]
        expected = {
            path: shape
            for path, shape in shapes(SMALL)[changed].items()
            if "BatchNorm" not in path
        }
        assert shapes(bare)[changed] == expected


@pytest.fixture(scope="module")
def bare():
    """Fresh networks, a batch, and what each layer puts out."""
    a = dcgan.Architecture(
        image_size=32,
        features=16,
        kernel_size=4,
        z_dim=64,
        generator_norm="none",
        discriminator_norm="none",
    )
    generator, discriminator = a.generator(), a.discriminator()
    rng = np.random.default_rng(0)
    z = jnp.asarray(rng.normal(size=(8, 64)), jnp.float32)
    image = jnp.asarray(rng.normal(size=(8, 32, 32, 3)), jnp.float32)

    @jax.jit
    def run(key, z, image):
        g = generator.init(key, z, train=False)
        d = discriminator.init(key, image, train=False)
        drawn, seen = generator.apply(
            g, z, train=True, capture_intermediates=True, mutable=["intermediates"]
        )
        calls = seen["intermediates"]
        # Row 1 stays, the others change.
        other = jnp.where(jnp.arange(8)[:, None] == 1, z, -2.0 * z)
        other_image = jnp.where(
            jnp.arange(8)[:, None, None, None] == 1, image, -2.0 * image
        )
        judge = lambda image: discriminator.apply(d, image, train=True)
        return {
            "g": {
                name: call["__call__"][0]
                for name, call in calls.items()
                if name[0] != "_"
            },
            "d": discriminator.apply(d, image, train=True, features=True),
            "images": (drawn, generator.apply(g, other, train=True)),
            "logits": (judge(image), judge(other_image)),
        }

    with jax.numpy_dtype_promotion("standard"):
        return run(jax.random.key(0), z, image)


def size(x):
    return float(np.sqrt(np.mean(np.asarray(x) ** 2)))


def test_first_weights_without_batch_norm_keep_the_size_of_what_they_pass_on(bare):
    generated = bare["g"]
    layers = ["project", "Conv_0", "Conv_1", "to_image"]
    # z has size 1. What comes before an activation is 2**0.5 times as large as after.
    *sizes, last = [2**0.5, *(size(generated[name]) for name in layers)]
    assert all(0.5 < value / 2**0.5 < 2.0 for value in sizes), sizes
    # Before tanh, which is nearly straight up to there.
    assert 0.25 < last < 1.0
    sizes = [1.0, *map(size, bare["d"])]
    assert len(sizes) == 4
    assert all(0.5 < value < 2.0 for value in sizes), sizes


@pytest.mark.parametrize("name", ["images", "logits"])
def test_rows_are_alone_without_batch_norm_even_with_train(name, bare):
    before, after = map(np.asarray, bare[name])
    np.testing.assert_allclose(after[1], before[1], rtol=1e-5, atol=1e-6)
    others = np.arange(8) != 1
    assert (np.abs(after - before).reshape(8, -1).max(axis=1)[others] > 1e-4).all()


# The encoder, and what can be changed in a network.


@pytest.mark.parametrize("architecture", [SMALL, BARE])
def test_features_are_what_leads_to_the_logit(architecture):
    d = formula_variables(shapes(architecture)[1])
    _, image = formula_inputs(architecture, 3)
    judge = jax.jit(
        lambda d, image, **options: architecture.discriminator().apply(
            d, image, train=False, **options
        ),
        static_argnames="features",
    )
    first, last = judge(d, image, features=True)
    a = architecture
    assert first.shape == (3, 8, 8, a.features)
    assert last.shape == (3, 4, 4, a.deepest)
    kernel, bias = (d["params"]["to_logit"][name] for name in ("kernel", "bias"))
    logits = (last.reshape(3, -1) @ kernel)[:, 0] + bias
    np.testing.assert_allclose(judge(d, image), logits, rtol=1e-5, atol=1e-5)
    # After the activation: what is negative is small.
    assert first.min() < 0 < first.max() and -first.min() < 0.5 * first.max()


@pytest.fixture(scope="module")
def encoded():
    """The encoder on images with a hole that holds NaN, and without."""
    network = SMALL.encoder()
    image = np.random.default_rng(0).uniform(-1, 1, (3, 16, 16, 3)).astype(np.float32)
    mask = np.ones((3, 16, 16, 1), np.float32)
    mask[1:, 4:12, 4:12] = 0.0
    holed = np.where(mask > 0, image, np.nan)
    mask = jnp.asarray(mask)

    @jax.jit
    def run(key, *images):
        variables = network.init(key, images[0], mask, train=False)
        larger = jax.tree.map(lambda leaf: 10.0 * leaf, variables["params"])
        variables = {**variables, "params": larger}
        alone = network.apply(variables, images[0][1:2], mask[1:2], train=False)
        whole = network.apply(variables, images[0], jnp.ones_like(mask), train=False)
        return [network.apply(variables, x, mask, train=False) for x in images], (
            alone,
            whole,
        )

    with jax.numpy_dtype_promotion("standard"):
        return run(jax.random.key(0), jnp.asarray(image), jnp.asarray(holed))


def test_the_encoder_sees_nothing_of_the_hole(encoded):
    (image, holed), _ = encoded
    assert image.shape == (3, SMALL.z_dim)
    np.testing.assert_array_equal(image, holed)
    assert 0.01 < np.abs(image).max() <= 1.0


def test_the_encoder_sees_where_the_hole_is_and_rows_are_alone(encoded):
    (image, _), (alone, whole) = encoded
    np.testing.assert_allclose(alone[0], image[1], atol=1e-6)
    np.testing.assert_allclose(whole[0], image[0], atol=1e-6)
    assert np.abs(whole[1] - image[1]).max() > 1e-3


def test_spectral_norm_makes_the_largest_singular_value_one():
    conv = blocks.Conv(8, 4, up=False, spectral_norm=True)
    kernel = np.random.default_rng(0).normal(size=(4, 4, 3, 8)).astype(np.float32)
    params = {"kernel": jnp.asarray(kernel), "bias": jnp.zeros(8)}
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 8, 8, 3)), jnp.float32)

    @jax.jit
    def settle(stats):
        def step(stats, _):
            _, updated = conv.apply(
                {"params": params, "batch_stats": stats},
                x,
                train=True,
                mutable=["batch_stats"],
            )
            return updated["batch_stats"], None

        return jax.lax.scan(step, stats, length=60)[0]

    start = {"right": jnp.full(8, 8**-0.5)}
    variables = {"params": params, "batch_stats": settle(start)}
    bounded = conv.apply(variables, x, train=False)
    largest = np.linalg.svd(kernel.reshape(-1, 8), compute_uv=False)[0]
    plain = blocks.Conv(8, 4, up=False).apply({"params": params}, x, train=False)
    assert largest > 3
    np.testing.assert_allclose(bounded, plain / largest, atol=1e-4)


def test_spectral_norm_is_the_discriminators_alone():
    bounded = dcgan.Architecture(16, 4, 6, spectral_norm=True)
    plain = dcgan.Architecture(16, 4, 6)
    assert shapes(bounded)[0] == shapes(plain)[0]
    more = set(shapes(bounded)[1]) - set(shapes(plain)[1])
    assert more == {f"batch_stats/Conv_{level}/right" for level in range(2)}


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_mixed_precision_rounds_products_only(name):
    network, rounded = (
        getattr(SMALL, name)(compute_dtype=dtype)
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    variables = formula_variables(shapes(SMALL)[0 if name == "generator" else 1])
    z, image = formula_inputs(SMALL, 3)
    x = z if name == "generator" else image

    @jax.jit
    def run(variables, x):
        gradient = jax.grad(lambda v: jnp.sum(rounded.apply(v, x, train=False)))
        return (
            network.apply(variables, x, train=False),
            rounded.apply(variables, x, train=False),
            gradient(variables),
        )

    exact, found, gradient = run(variables, x)
    assert found.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype("float32")}
    # bfloat16 keeps 8 bits.
    off = np.abs(exact - found).max() / np.std(exact)
    assert 1e-5 < off < 0.2
