"""Bytes and numbers: exact there and back, saturated, never undefined."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.images import pixels

ALL = np.arange(256, dtype=np.uint8)


def test_every_byte_survives_the_round_trip():
    back = pixels.to_bytes(pixels.from_bytes(ALL))
    assert back.dtype == jnp.uint8
    np.testing.assert_array_equal(back, ALL)


@pytest.mark.parametrize("wrap", [np.asarray, jnp.asarray])
def test_bytes_are_spread_evenly_over_minus_one_to_one(wrap):
    numbers = pixels.from_bytes(wrap(ALL))
    assert numbers.dtype == jnp.float32
    assert numbers[0] == -1.0 and numbers[255] == 1.0
    np.testing.assert_allclose(numbers, np.linspace(-1.0, 1.0, 256), atol=1e-7)


@hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
@hypothesis.given(st.floats(-1.0, 1.0, width=32))
def test_rounding_is_to_the_nearest_byte(number):
    byte = int(pixels.to_bytes(jnp.float32(number)))
    assert abs(byte - (number + 1) * 255 / 2) <= 0.5 + 1e-4


def test_numbers_outside_saturate_and_nan_is_mid_grey():
    numbers = jnp.array([-1.001, -3.0, -jnp.inf, 1.001, 1e30, jnp.inf, jnp.nan])
    # 127.5 rounds to the even 128.
    expected = [0, 0, 0, 255, 255, 255, 128]
    np.testing.assert_array_equal(pixels.to_bytes(numbers), expected)


def test_grey_levels_are_the_integer_mean_of_three():
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    image[0, 0, :2] = [[255, 255, 255], [255, 255, 254]]
    expected = [
        [[sum(int(c) for c in pixel) // 3 for pixel in row] for row in one]
        for one in image
    ]
    grey = pixels.grey_levels(image)
    assert grey.dtype == np.uint8
    np.testing.assert_array_equal(grey, expected)
    np.testing.assert_array_equal(pixels.grey_levels(image[1]), expected[1])


def test_grey_is_the_mean_of_the_three_bytes():
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    expected = image.mean(axis=-1)
    got = pixels.grey(pixels.from_bytes(image))
    np.testing.assert_allclose(got, expected, atol=1e-4)
    single = pixels.grey(pixels.from_bytes(image[1]))
    np.testing.assert_allclose(single, expected[1], atol=1e-4)


def test_grey_has_a_gradient_also_outside_the_range():
    image = np.array([[[[-1.5, 0.0, 2.0]]]], np.float32)
    gradient = jax.grad(lambda image: jnp.sum(pixels.grey(image)))(image)
    np.testing.assert_allclose(gradient, np.full(image.shape, 127.5 / 3), rtol=1e-6)


def test_grey_as_bytes_is_grey_levels_of_the_bytes():
    rng = np.random.default_rng(0)
    # Up to 0.45 of a level beside each byte, some beyond the ends, and not a number.
    expected = rng.integers(0, 256, (2, 3, 5, 7, 3)).astype(np.uint8)
    image = (expected + rng.uniform(-0.45, 0.45, expected.shape)) / 127.5 - 1
    image[0, 0, 0], expected[0, 0, 0] = -1.4, 0
    image[1, 1, 1], expected[1, 1, 1] = 1e9, 255
    image[1, 2, 2, 2, 1], expected[1, 2, 2, 2, 1] = np.nan, 128
    got = jax.jit(pixels.grey_as_bytes)(image.astype(np.float32))
    assert got.dtype == jnp.float32
    np.testing.assert_array_equal(got, pixels.grey_levels(expected))
