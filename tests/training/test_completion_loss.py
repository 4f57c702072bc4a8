"""Errors of pixels weigh most around the hole, and those of the hole as they are."""

import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.training import completion_loss


def test_overlap_weighs_the_band_around_the_hole():
    mask = np.ones((1, 12, 12, 1), np.float32)
    mask[:, 4:7, 5:9] = 0.0
    found = completion_loss.weights(jnp.asarray(mask), overlap=2)
    expected = np.zeros((12, 12))
    expected[2:9, 3:11] = 10.0
    expected[4:7, 5:9] = 1.0
    np.testing.assert_array_equal(np.asarray(found)[0, :, :, 0], expected)


def test_without_overlap_all_pixels_count_alike():
    mask = jnp.asarray(np.eye(8, dtype=np.float32)[None, :, :, None])
    found = completion_loss.weights(mask, overlap=0)
    np.testing.assert_array_equal(found, np.ones((1, 8, 8, 1)))


def test_the_overlap_takes_no_weight_from_the_hole():
    mask = np.ones((1, 16, 16, 1), np.float32)
    mask[:, 4:12, 4:12] = 0.0
    image = jnp.zeros((1, 16, 16, 3))

    def loss(overlap, row, column):
        drawn = image.at[:, row, column].set(0.5)
        known = jnp.asarray(mask)
        found = completion_loss.weighted_error(drawn, image, known, overlap=overlap)
        return float(found[0])

    hole, band, beyond = (8, 8), (3, 8), (0, 0)
    assert loss(0, *hole) == pytest.approx(0.25 / 16**2)
    assert loss(2, *hole) == pytest.approx(0.25 / 12**2)
    assert loss(2, *band) == pytest.approx(10 * loss(2, *hole))
    assert loss(2, *beyond) == 0.0
