"""The stride-2 convolutions equal XLA's `SAME` forms, in value and in derivatives."""

import functools
import inspect

import hypothesis
import hypothesis.strategies as st
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from inpaint_jax.ops import strided

LAYOUT = ("NHWC", "HWIO", "NHWC")


def plain_conv(x, kernel):
    return lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT)


def plain_conv_transpose(x, kernel):
    return lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT)


PAIRS = {
    "conv": (strided.conv, plain_conv),
    "conv_transpose": (strided.conv_transpose, plain_conv_transpose),
}
KERNEL_SIZES = (2, 3, 4, 5, 6)
# (batch, height, width, channels_in), channels_out
SHAPES = [((3, 8, 4, 2), 5), ((1, 4, 6, 6), 3), ((5, 6, 6, 3), 3)]


def inputs(shape, k, channels_out, seed=0):
    """x and kernel, scaled so that outputs are about 1."""
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(k, k, shape[-1], channels_out))
    kernel *= (k * k * shape[-1]) ** -0.5
    x = rng.normal(size=shape)
    return jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32)


def cotangent(like):
    rng = np.random.default_rng(9)
    return jnp.asarray(rng.normal(size=like.shape), jnp.float32)


def assert_close(actual, expected, tolerance, what=""):
    assert actual.shape == expected.shape
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(
        actual, expected, rtol=0, atol=tolerance * scale, err_msg=what
    )


def value_and_gradients(function):
    def run(x, kernel):
        y, pullback = jax.vjp(function, x, kernel)
        return y, *pullback(cotangent(y))

    return run


@pytest.mark.parametrize(("shape", "channels_out"), SHAPES)
@pytest.mark.parametrize("name", PAIRS)
def test_value_and_gradients_equal_the_plain_form(name, shape, channels_out):
    ours, plain = (value_and_gradients(f) for f in PAIRS[name])
    arguments = {k: inputs(shape, k, channels_out) for k in KERNEL_SIZES}

    @jax.jit  # One program for all kernel sizes: it compiles five times as fast.
    def both(arguments):
        return {k: (ours(*pair), plain(*pair)) for k, pair in arguments.items()}

    for k, (actual, expected) in both(arguments).items():
        assert_close(actual[0], expected[0], 1e-5, f"value, k = {k}")
        assert_close(actual[1], expected[1], 1e-4, f"gradient by x, k = {k}")
        assert_close(actual[2], expected[2], 1e-4, f"gradient by kernel, k = {k}")


@pytest.mark.parametrize("name", PAIRS)
def test_between_many_channels_it_equals_the_plain_form(name):
    # So many images and channels that Winograd's form is taken.
    ours, plain = (value_and_gradients(f) for f in PAIRS[name])
    x, kernel = inputs((8, 4, 6, 16), 5, 17)

    @jax.jit
    def all_of_them(x, kernel):
        prepared = getattr(strided, f"prepare_{name}")(kernel, batch=8)
        assert isinstance(prepared, tuple)
        return ours(x, kernel), plain(x, kernel), PAIRS[name][0](x, prepared)

    actual, expected, prepared = all_of_them(x, kernel)
    assert_close(actual[0], expected[0], 1e-5, "value")
    assert_close(actual[1], expected[1], 1e-4, "gradient by x")
    assert_close(actual[2], expected[2], 1e-4, "gradient by kernel")
    assert_close(prepared, expected[0], 1e-5, "prepared")


@pytest.mark.parametrize("k", KERNEL_SIZES)
def test_aligned_kernels_are_the_same_convolutions_over_cells(k):
    # What Winograd's form is given, whichever size the kernel has.
    def same(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT
        )

    x, kernel = inputs((2, 6, 4, 3), k, 2)
    over_cells = same(strided.space_to_depth(x), strided._aligned_cell_kernel(kernel))
    assert_close(over_cells, plain_conv(x, kernel), 1e-5)
    phases = same(x, strided._aligned_phase_kernel(kernel))
    assert_close(strided.depth_to_space(phases), plain_conv_transpose(x, kernel), 1e-5)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(
    ("k", "batch", "channels", "fast"),
    [
        (4, 31, 16, False),
        (4, 32, 16, True),
        (5, 7, 16, False),
        (5, 8, 16, True),
        (6, 64, 15, False),
        (7, 64, 16, False),
    ],
)
def test_kernels_are_prepared_where_that_pays(name, k, batch, channels, fast):
    prepare = functools.partial(getattr(strided, f"prepare_{name}"), batch=batch)
    shape = jax.ShapeDtypeStruct((k, k, channels, 32), jnp.float32)
    assert isinstance(jax.eval_shape(prepare, shape), tuple) == fast


@pytest.mark.parametrize("name", PAIRS)
def test_one_program_serves_a_batch_of_any_size(name):
    # Between few channels, between many, and with a kernel that was prepared for many.
    ours, plain = PAIRS[name]
    few, few_kernel = inputs((3, 4, 6, 3), 5, 2)
    many, many_kernel = inputs((3, 4, 6, strided._WIDE), 4, strided._WIDE)
    prepared = getattr(strided, f"prepare_{name}")(many_kernel, batch=64)
    assert isinstance(prepared, tuple)

    @jax.jit
    def forms(few, many):
        return ours(few, few_kernel), ours(many, many_kernel), ours(many, prepared)

    (batch,) = jax.export.symbolic_shape("batch")
    unknown = [
        jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype) for x in (few, many)
    ]
    program = jax.export.export(forms, platforms=("cpu", "cuda", "tpu"))(*unknown)
    expected = plain(few, few_kernel), *[plain(many, many_kernel)] * 2
    for actual, wanted in zip(program.call(few, many), expected, strict=True):
        assert_close(actual, wanted, 1e-5)
    assert program.vjp().out_avals[0].shape == (batch, *few.shape[1:])


@pytest.mark.parametrize("name", PAIRS)
def test_odd_sizes_can_be_doubled_but_not_halved(name):
    x, kernel = inputs((2, 5, 7, 3), 5, 2)
    ours, plain = PAIRS[name]
    if name == "conv_transpose":
        assert_close(ours(x, kernel), plain(x, kernel), 1e-5)
    else:
        with pytest.raises(ValueError, match="must be even"):
            ours(x, kernel)
        with pytest.raises(ValueError, match="must be even"):
            ours(x[:, :4], kernel)


@pytest.mark.parametrize("name", PAIRS)
def test_vmap_equals_a_loop(name):
    ours, plain = (value_and_gradients(f) for f in PAIRS[name])
    many = [inputs((3, 4, 6, 2), 5, 5, seed) for seed in range(3)]

    @jax.jit
    def both(many):
        stacked = [jnp.stack(each) for each in zip(*many, strict=True)]
        return jax.vmap(ours)(*stacked), [plain(*pair) for pair in many]

    together, alone = both(many)
    for i in range(3):
        assert_close(together[0][i], alone[i][0], 1e-5)
        assert_close(together[1][i], alone[i][1], 1e-4)
        assert_close(together[2][i], alone[i][2], 1e-4)


@pytest.mark.parametrize("name", PAIRS)
def test_second_derivatives_equal_those_of_the_plain_form(name):
    def second(function):
        def energy(x, kernel):
            return jnp.sum(jnp.sin(function(x, kernel)))

        def slope(x, kernel):
            dx, dkernel = jax.grad(energy, argnums=(0, 1))(x, kernel)
            return jnp.sum(dx**2) + jnp.sum(dkernel**3)

        return jax.grad(slope, argnums=(0, 1))

    ours, plain = (second(f) for f in PAIRS[name])
    arguments = {k: inputs((2, 4, 4, 3), k, 2) for k in (4, 5)}

    @jax.jit
    def both(arguments):
        return {k: (ours(*pair), plain(*pair)) for k, pair in arguments.items()}

    for k, (actual, expected) in both(arguments).items():
        for i, argument in enumerate(("x", "kernel")):
            assert np.abs(expected[i]).max() > 0.1
            assert_close(actual[i], expected[i], 1e-4, f"by {argument}, k = {k}")


@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (3, 4, 2, 2)])
@pytest.mark.parametrize("function", [strided.conv, strided.conv_transpose])
def test_kernels_that_make_no_sense_are_refused(function, shape):
    # Unwrapped, because the shapes in the signature refuse an oblong kernel first.
    with pytest.raises(ValueError, match="kernel must be square"):
        inspect.unwrap(function)(jnp.zeros((1, 4, 4, 2)), jnp.zeros(shape))


SIZES = st.integers(1, 4)


@hypothesis.settings(max_examples=8, deadline=None, derandomize=True)
@hypothesis.given(SIZES, SIZES, SIZES, SIZES)
def test_space_to_depth_and_depth_to_space_undo_each_other(b, h, w, c):
    x = np.arange(16.0 * b * h * w * c, dtype=np.float32)
    x = x.reshape(b, 2 * h, 2 * w, 4 * c)

    @jax.jit
    def there_and_back(x):
        return (
            strided.depth_to_space(strided.space_to_depth(x)),
            strided.space_to_depth(strided.depth_to_space(x)),
        )

    for found in there_and_back(x):
        np.testing.assert_array_equal(found, x)


def test_cells_are_ordered_row_column_channel():
    x = np.arange(2 * 4 * 6 * 3, dtype=np.float32).reshape(2, 4, 6, 3)
    expected = np.zeros((2, 2, 3, 12), np.float32)
    for row in range(4):
        for column in range(6):
            first = 3 * (2 * (row % 2) + column % 2)
            expected[:, row // 2, column // 2, first : first + 3] = x[:, row, column]
    np.testing.assert_array_equal(strided.space_to_depth(jnp.asarray(x)), expected)


@pytest.mark.parametrize(
    ("k", "batch", "winograd"),
    [(4, 3, False), (4, 32, True), (5, 3, False), (5, 8, True)],
)
def test_a_gradient_penalty_equals_that_of_the_plain_form(k, batch, winograd):
    # From few channels, between many of them, to one logit: as in a discriminator.
    wide = strided._WIDE
    x, first = inputs((batch, 16, 12, 3), k, wide)
    _, second = inputs((batch, 8, 6, wide), k, wide + 2, seed=1)
    assert strided._saves_products(second, batch) == winograd
    to_logit = cotangent(jnp.zeros((4, 3, wide + 2)))

    def penalty(convolve):
        def logits(kernels, x):
            x = jax.nn.leaky_relu(convolve(x, kernels[0]), 0.2)
            return jnp.sum(jnp.sin(convolve(x, kernels[1])) * to_logit[None], (1, 2, 3))

        def mean_square_slope(kernels):
            slope = jax.grad(lambda x: jnp.sum(logits(kernels, x)))(x)
            return jnp.mean(jnp.sum(slope**2, (1, 2, 3)))

        return jax.value_and_grad(mean_square_slope)

    @jax.jit
    def both(kernels):
        return penalty(strided.conv)(kernels), penalty(plain_conv)(kernels)

    (value, slopes), (plain_value, plain_slopes) = both((first, second))
    np.testing.assert_allclose(value, plain_value, rtol=1e-4)
    for found, expected in zip(slopes, plain_slopes, strict=True):
        assert float(jnp.abs(expected).max()) > 1.0
        assert_close(found, expected, 1e-4)


@pytest.mark.parametrize("k", KERNEL_SIZES)
@pytest.mark.parametrize("shape", [(3, 3, 5, 2), (2, 4, 1, 3)])
def test_the_adjoint_of_a_convolution_is_the_transposed_one(k, shape):
    x, kernel = inputs(shape, k, 4)
    ours, plain = (
        value_and_gradients(f)
        for f in (strided.adjoint_conv_transpose, plain_conv_transpose)
    )
    for found, expected in zip(ours(x, kernel), plain(x, kernel), strict=True):
        assert_close(found, expected, 1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_no_gradient_on_an_accelerator_takes_images_for_kernels(name):
    x, kernel = inputs((8, 16, 16, 3), 5, 7)

    def program(function):
        run = jax.jit(value_and_gradients(function))
        lowered = run.trace(x, kernel).lower(lowering_platforms=("cuda",))
        lines = lowered.as_text().splitlines()
        return [line for line in lines if "stablehlo.convolution" in line]

    def of_images(lines):
        # The gradient by the kernel, on an image whose pixels are spread.
        spread = [line for line in lines if "lhs_dilate = [2, 2]" in line]
        return [line for line in spread if "-> tensor<5x5x" in line]

    assert of_images(program(plain_conv_transpose))
    assert not of_images(program(PAIRS[name][0]))
