"""The dense convolution equals a sum over windows, in value and in both gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.ops import dense

# (batch, height, width, channels_in), taps, channels_out. Fewer, as many and more
# channels out than in take different paths.
CASES = [
    ((3, 6, 7, 5), 1, 2),
    ((1, 7, 5, 6), 2, 3),
    ((5, 5, 8, 3), 3, 3),
    ((2, 6, 6, 3), 3, 8),
    ((3, 4, 4, 7), 4, 1),
]


def arrays(shape, taps, channels_out, seed=0):
    """x, kernel and a cotangent; scaled so that outputs are about 1."""
    rng = np.random.default_rng(seed)
    batch, height, width, channels_in = shape
    fan_in = taps * taps * channels_in
    x = rng.normal(size=shape)
    kernel = rng.normal(size=(taps, taps, channels_in, channels_out)) / fan_in**0.5
    dy = rng.normal(size=(batch, height - taps + 1, width - taps + 1, channels_out))
    return tuple(jnp.asarray(a, jnp.float32) for a in (x, kernel, dy))


def windows(x, taps):
    """[batch, height_out, width_out, channels_in, taps, taps], float64."""
    x = np.asarray(x, np.float64)
    return np.lib.stride_tricks.sliding_window_view(x, (taps, taps), axis=(1, 2))


def numpy_conv(x, kernel):
    kernel = np.asarray(kernel, np.float64)
    return np.einsum("bhwcij,ijcd->bhwd", windows(x, kernel.shape[0]), kernel)


def numpy_gradients(x, kernel, dy):
    kernel, dy = np.asarray(kernel, np.float64), np.asarray(dy, np.float64)
    dkernel = np.einsum("bhwcij,bhwd->ijcd", windows(x, kernel.shape[0]), dy)
    dx = np.zeros(x.shape)
    for row in range(dy.shape[1]):
        for column in range(dy.shape[2]):
            taps = kernel.shape[0]
            dx[:, row : row + taps, column : column + taps] += np.einsum(
                "bd,ijcd->bijc", dy[:, row, column], kernel
            )
    return dx, dkernel


def assert_close(actual, expected, tolerance):
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


@jax.jit
def conv_and_gradients(x, kernel, dy):
    y, pullback = jax.vjp(dense.conv, x, kernel)
    return y, pullback(dy)


@pytest.mark.parametrize(("shape", "taps", "channels_out"), CASES)
def test_conv_equals_a_sum_over_windows(shape, taps, channels_out):
    x, kernel, dy = arrays(shape, taps, channels_out)
    y, (dx, dkernel) = conv_and_gradients(x, kernel, dy)
    expected_dx, expected_dkernel = numpy_gradients(x, kernel, dy)
    assert_close(y, numpy_conv(x, kernel), 1e-5)
    assert_close(dx, expected_dx, 1e-4)
    assert_close(dkernel, expected_dkernel, 1e-4)


@pytest.mark.parametrize(("shape", "taps", "channels_out"), CASES[1:4])
@pytest.mark.parametrize("form", [dense._xla, dense._multiply_then_shift])
def test_both_forms_of_the_product_agree(form, shape, taps, channels_out):
    # One of them is for other platforms, which these tests may not have.
    x, kernel, _ = arrays(shape, taps, channels_out)
    assert_close(form(x, kernel), numpy_conv(x, kernel), 1e-5)


@pytest.mark.parametrize(("shape", "taps", "channels_out"), CASES[1:4])
@pytest.mark.parametrize(
    "form", [dense._kernel_gradient_xla, dense._kernel_gradient_products]
)
def test_both_forms_of_the_kernel_gradient_agree(form, shape, taps, channels_out):
    x, kernel, dy = arrays(shape, taps, channels_out)
    assert_close(form(x, kernel, dy), numpy_gradients(x, kernel, dy)[1], 1e-4)


@pytest.mark.parametrize(("shape", "taps", "channels_out"), CASES[1:4:2])
def test_vmap_over_images_and_kernels_equals_a_loop(shape, taps, channels_out):
    many = [arrays(shape, taps, channels_out, seed) for seed in range(3)]
    stacked = [jnp.stack(each) for each in zip(*many, strict=True)]
    y, (dx, dkernel) = jax.jit(jax.vmap(conv_and_gradients))(*stacked)
    for i, (x, kernel, dy) in enumerate(many):
        expected_dx, expected_dkernel = numpy_gradients(x, kernel, dy)
        assert_close(y[i], numpy_conv(x, kernel), 1e-5)
        assert_close(dx[i], expected_dx, 1e-4)
        assert_close(dkernel[i], expected_dkernel, 1e-4)


@pytest.mark.parametrize(("shape", "taps", "channels_out"), CASES[1:4:2])
def test_the_gradient_has_a_gradient(shape, taps, channels_out):
    # conv is linear in x and in the kernel, so <u, d/dkernel <dy, conv(x, kernel)>> is
    # <dy, conv(x, u)>, and its gradients by x and by dy are those of that.
    x, kernel, dy = arrays(shape, taps, channels_out)
    _, u, _ = arrays(shape, taps, channels_out, seed=1)

    @jax.jit
    def second(x, dy):
        def first(x, dy):
            _, pullback = jax.vjp(dense.conv, x, kernel)
            return jnp.vdot(pullback(dy)[1], u)

        return jax.grad(first, argnums=(0, 1))(x, dy)

    by_x, by_dy = second(x, dy)
    assert_close(by_x, numpy_gradients(x, u, dy)[0], 1e-4)
    assert_close(by_dy, numpy_conv(x, u), 1e-4)
