"""Eq. 15's weights equal a slow loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax import losses
from inpaint_jax.images import masks

KEY = jax.random.key(7)


def slow_weights(mask, window):
    height, width = mask.shape
    reach = window // 2
    weights = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            unknown, inside = 0, 0
            for i in range(max(row - reach, 0), min(row + reach + 1, height)):
                for j in range(max(column - reach, 0), min(column + reach + 1, width)):
                    unknown += mask[i, j] == 0
                    inside += 1
            weights[row, column] = mask[row, column] * unknown / inside
    return weights


@pytest.mark.parametrize("window", [3, 7, 15])
def test_context_weights_equal_a_slow_loop(window):
    batch = jnp.stack([masks.named(name)[1](KEY, (21, 33)) for name in masks.MASKS])
    weights = losses.image.context_weights(batch, window=window)
    for mask, got in zip(np.asarray(batch), np.asarray(weights), strict=True):
        expected = slow_weights(mask[..., 0], window)
        assert expected.max() > 0
        np.testing.assert_allclose(got[..., 0], expected, atol=1e-6)
        assert np.all(got[mask == 0] == 0)


# Counted by hand for a 64 x 64 image and window 7: the left half leaves columns with
# 3/7, 2/7 and 1/7; the centre a ring of 38^2 - 32^2 pixels, whose windows hold
# 32^2 * 7^2 - 212^2 hole pixels, 212 = 32 * 7 - 12.
@pytest.mark.parametrize(
    ("name", "share", "total", "largest"),
    [
        ("left", 3 / 32, 64 * 6 / 7, 3 / 7),
        ("right", 3 / 32, 64 * 6 / 7, 3 / 7),
        ("centre", 420 / 3072, (1024 * 49 - 212**2) / 49, 3 / 7),
    ],
)
def test_context_weights_of_the_usual_masks(name, share, total, largest):
    mask = masks.named(name)[1](KEY, (64, 64))[None]
    weights = np.asarray(losses.image.context_weights(mask))
    known = weights[np.asarray(mask) > 0]
    assert np.mean(known > 0) == pytest.approx(share, abs=1e-6)
    assert weights.sum() == pytest.approx(total, abs=1e-3)
    assert weights.max() == pytest.approx(largest, abs=1e-6)


@pytest.mark.parametrize("window", [0, 2, 8, -7])
def test_an_even_window_is_refused(window):
    with pytest.raises(ValueError, match=f"odd.*{window}"):
        losses.image.context_weights(jnp.ones((1, 4, 4, 1)), window=window)
