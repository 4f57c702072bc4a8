"""Winograd's convolution equals a sum over windows, in value and in derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.ops import winograd

# (batch, height, width, channels_in), channels_out: whole tiles, and parts of them.
CASES = [((2, 8, 4, 5), 7), ((3, 5, 9, 6), 2), ((1, 1, 2, 3), 3)]


def arrays(shape, channels_out, seed=0):
    """x, kernel and a cotangent, scaled so that outputs are about 1."""
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(3, 3, shape[-1], channels_out)) / (9 * shape[-1]) ** 0.5
    dy = rng.normal(size=(*shape[:3], channels_out))
    return tuple(
        jnp.asarray(a, jnp.float32) for a in (rng.normal(size=shape), kernel, dy)
    )


def numpy_conv(x, kernel):
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.einsum("bhwcij,ijcd->bhwd", windows, kernel)


def numpy_gradients(x, kernel, dy):
    # By x: the convolution with the turned kernel. By the kernel: linear in it.
    turned = np.flip(np.asarray(kernel), (0, 1)).swapaxes(2, 3)
    basis = np.eye(9 * kernel.shape[2]).reshape(-1, 3, 3, kernel.shape[2], 1)
    dkernel = [
        np.einsum("bhwo,bhwd->d", numpy_conv(x, one), np.asarray(dy, np.float64))
        for one in basis
    ]
    return numpy_conv(dy, turned), np.reshape(dkernel, kernel.shape)


def conv(x, kernel):
    return winograd.conv(x, winograd.at_points(kernel))


@jax.jit
def conv_and_gradients(x, kernel, dy):
    y, pullback = jax.vjp(conv, x, kernel)
    return y, *pullback(dy)


def assert_close(actual, expected, tolerance):
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize(("shape", "channels_out"), CASES)
def test_it_equals_a_sum_over_windows(shape, channels_out):
    x, kernel, dy = arrays(shape, channels_out)
    y, dx, dkernel = conv_and_gradients(x, kernel, dy)
    expected_dx, expected_dkernel = numpy_gradients(x, kernel, dy)
    assert_close(y, numpy_conv(x, kernel), 1e-5)
    assert_close(dx, expected_dx, 1e-4)
    assert_close(dkernel, expected_dkernel, 1e-4)


def test_rounding_stays_small_over_many_channels():
    x, kernel, _ = arrays((1, 4, 4, 512), 8)
    assert_close(jax.jit(conv)(x, kernel), numpy_conv(x, kernel), 1e-5)


def test_the_turned_kernel_has_its_values_in_reverse():
    # What the gradient by x rests on.
    _, kernel, _ = arrays((1, 4, 4, 3), 2)
    turned = winograd.at_points(jnp.flip(kernel, (0, 1)))
    for a, b in zip(turned, reversed(winograd.at_points(kernel)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_vmap_over_images_and_kernels_equals_a_loop():
    many = [arrays((2, 5, 4, 3), 4, seed) for seed in range(3)]
    stacked = [jnp.stack(each) for each in zip(*many, strict=True)]
    y, dx, dkernel = jax.jit(jax.vmap(conv_and_gradients))(*stacked)
    for i, (x, kernel, dy) in enumerate(many):
        expected_dx, expected_dkernel = numpy_gradients(x, kernel, dy)
        assert_close(y[i], numpy_conv(x, kernel), 1e-5)
        assert_close(dx[i], expected_dx, 1e-4)
        assert_close(dkernel[i], expected_dkernel, 1e-4)


def test_the_gradient_has_a_gradient():
    # conv is linear in x and in the kernel, so <u, d/dkernel <dy, conv(x, kernel)>> is
    # <dy, conv(x, u)>, and its gradients by x and by dy are those of that.
    x, kernel, dy = arrays((2, 5, 4, 3), 4)
    _, u, _ = arrays((2, 5, 4, 3), 4, seed=1)

    @jax.jit
    def second(x, dy):
        def first(x, dy):
            _, pullback = jax.vjp(conv, x, kernel)
            return jnp.vdot(pullback(dy)[1], u)

        return jax.grad(first, argnums=(0, 1))(x, dy)

    by_x, by_dy = second(x, dy)
    assert_close(by_x, numpy_gradients(x, u, dy)[0], 1e-4)
    assert_close(by_dy, numpy_conv(x, u), 1e-4)
