"""Pixels and what lies between them equal loops over the image; outside there is 0."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.landmarks.cascade import sampling

BATCH, HEIGHT, WIDTH = 3, 5, 8
# Inside, across each edge, and far outside on each side, as (x, y).
PLACES = [(3.3, 2.6), (-0.4, 1.2), (7.7, 3.1), (2.2, -0.9), (5.6, 4.3), (-0.5, 4.5)]
OUTSIDE = [(-1.2, 2.3), (8.4, 2.3), (3.3, -1.7), (3.3, 5.6), (-40.0, 90.0), (1e9, -1e9)]


def images(seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 255, (BATCH, HEIGHT, WIDTH)).astype(np.float32)


def places(listed, seed=0):
    """[features, 2, batch]: the given places, moved a little for each image."""
    moved = np.random.default_rng(seed).uniform(-0.05, 0.05, (len(listed), 2, BATCH))
    return (np.array(listed)[:, :, None] + moved).astype(np.float32)


def loop(read, grey, place):
    """Reads every place on its own, in float64."""
    grey, place = np.float64(grey), np.float64(place)
    return np.array(
        [[read(grey[i], *xy) for i, xy in enumerate(faces.T)] for faces in place]
    )


def pixel(image, x, y):
    inside = 0 <= x < image.shape[1] and 0 <= y < image.shape[0]
    return image[int(y), int(x)] if inside else 0.0


def between(image, x, y):
    """Every pixel counts as a hat two pixels wide."""
    rows = np.maximum(0, 1 - np.abs(np.arange(image.shape[0]) - y))
    columns = np.maximum(0, 1 - np.abs(np.arange(image.shape[1]) - x))
    return rows @ image @ columns


def slope(image, x, y, step=1e-5):
    right = between(image, x + step, y) - between(image, x - step, y)
    down = between(image, x, y + step) - between(image, x, y - step)
    return np.array([right, down]) / (2 * step)


def test_at_pixels_equals_a_loop():
    x, y = np.mgrid[-2 : WIDTH + 2, -2 : HEIGHT + 2].reshape(2, -1)
    rng = np.random.default_rng(0)
    order = np.stack([rng.permutation(x.size) for _ in range(BATCH)], axis=-1)
    place = np.stack([x[order], y[order]], axis=1).astype(np.float32)
    got = jax.jit(sampling.at_pixels)(images(), place)
    np.testing.assert_array_equal(got, loop(pixel, images(), place))


def test_at_pixels_is_zero_far_outside():
    place = np.round(places(OUTSIDE))
    np.testing.assert_array_equal(jax.jit(sampling.at_pixels)(images(), place), 0.0)


def between_pixels(grey, place):
    corners = sampling.corners(jax.lax.stop_gradient(grey))
    return sampling.between_pixels(grey, corners, place)


def test_between_pixels_equals_a_loop():
    place = places(PLACES + OUTSIDE)
    got = jax.jit(between_pixels)(images(), place)
    np.testing.assert_allclose(got, loop(between, images(), place), atol=1e-3)


def test_between_pixels_meets_the_pixels():
    x, y = np.mgrid[-2 : WIDTH + 2, -2 : HEIGHT + 2].reshape(2, -1, 1)
    place = np.stack([x, y], axis=1).repeat(BATCH, axis=2).astype(np.float32)
    got = jax.jit(between_pixels)(images(), place)
    np.testing.assert_array_equal(got, loop(pixel, images(), place))


def test_the_gradient_in_the_image_is_the_transpose_of_reading():
    # Reading is linear in the image: the unit images give its matrix.
    place = places(PLACES + OUTSIDE + PLACES, seed=1)
    toward = np.random.default_rng(2).normal(size=(len(place), BATCH))
    gradient = jax.grad(lambda grey: jnp.sum(between_pixels(grey, place) * toward))
    place, toward = jnp.asarray(place), jnp.asarray(toward, jnp.float32)
    got = jax.jit(gradient)(images())
    expected = np.zeros((BATCH, HEIGHT, WIDTH))
    for row, column in np.ndindex(HEIGHT, WIDTH):
        unit = np.zeros((BATCH, HEIGHT, WIDTH))
        unit[:, row, column] = 1
        expected[:, row, column] = np.sum(loop(between, unit, place) * toward, axis=0)
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("listed", [PLACES, OUTSIDE])
def test_the_gradient_in_the_places_is_the_slope(listed):
    place, grey = jnp.asarray(places(listed)), jnp.asarray(images())
    toward = np.random.default_rng(2).normal(size=(len(listed), BATCH))
    toward = jnp.asarray(toward, jnp.float32)
    gradient = jax.grad(lambda place: jnp.sum(between_pixels(grey, place) * toward))
    slopes = np.moveaxis(loop(slope, grey, place), -1, 1)
    expected = slopes * np.asarray(toward)[:, None]
    np.testing.assert_allclose(jax.jit(gradient)(place), expected, atol=2e-3)


def test_both_gradients_are_the_same_under_vmap():
    place, grey = places(PLACES + OUTSIDE), images()

    def read(grey, place):
        return jnp.sum(between_pixels(grey, place) ** 2)

    whole = jax.jit(jax.grad(read, argnums=(0, 1)))(grey, place)
    mapped = jax.jit(jax.vmap(jax.grad(read, argnums=(0, 1)), in_axes=(0, 2)))(
        grey[:, None], place[..., None]
    )
    np.testing.assert_allclose(mapped[0][:, 0], whole[0], rtol=1e-6)
    np.testing.assert_allclose(
        np.moveaxis(mapped[1][..., 0], 0, -1), whole[1], rtol=1e-6
    )
