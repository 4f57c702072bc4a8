"""Blending keeps known pixels, and the hole solves Poisson's equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.images import blending

HEIGHT, WIDTH = 10, 9
poisson = jax.jit(blending.poisson)


def block(top, left, bottom, right, shape=(HEIGHT, WIDTH)):
    mask = np.ones((*shape, 1), np.float32)
    mask[top:bottom, left:right] = 0
    return mask


def scattered(seed, rate):
    draw = np.random.default_rng(seed).uniform(size=(HEIGHT, WIDTH, 1))
    return (draw > rate).astype(np.float32)


MASKS = {
    "inside": block(3, 2, 7, 6),
    "one border": block(0, 3, 4, 6),
    "corner": block(6, 5, HEIGHT, WIDTH),
    "two opposite borders": block(4, 0, 7, WIDTH),
    "three borders": block(0, 0, 6, WIDTH),
    "one known pixel": 1 - block(4, 5, 5, 6),
    "pixels 30 %": scattered(0, 0.3),
    "pixels 80 %": scattered(1, 0.8),
    "no hole": block(0, 0, 0, 0),
}
CASES = list(MASKS)


def pictures(seed=0, shape=(HEIGHT, WIDTH), reach=0.9):
    rng = np.random.default_rng(seed)
    pair = rng.uniform(-reach, reach, (2, 1, *shape, 3)).astype(np.float32)
    return pair[0], pair[1]


def neighbours(row, column, shape):
    for i, j in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        if 0 <= row + i < shape[0] and 0 <= column + j < shape[1]:
            yield row + i, column + j


def dense_solution(generated, image, mask):
    # Over the neighbours q of each hole pixel p: sum x_p - x_q = sum g_p - g_q.
    shape = mask.shape[:2]
    generated, image = generated.astype(np.float64), image.astype(np.float64)
    hole = [tuple(place) for place in np.argwhere(mask[..., 0] == 0)]
    number = {place: n for n, place in enumerate(hole)}
    matrix = np.zeros((len(hole), len(hole)))
    right = np.zeros((len(hole), 3))
    for place, n in number.items():
        for other in neighbours(*place, shape):
            matrix[n, n] += 1
            right[n] += generated[place] - generated[other]
            if other in number:
                matrix[n, number[other]] -= 1
            else:
                right[n] += image[other]
    result = image.copy()
    for place, value in zip(hole, np.linalg.solve(matrix, right), strict=True):
        result[place] = np.clip(value, -1, 1)
    return result


@pytest.mark.parametrize("case", CASES)
def test_paste_keeps_known_pixels(case):
    generated, image = pictures()
    mask = MASKS[case][None]
    known = np.broadcast_to(mask > 0, image.shape)
    broken = np.where(known, image, np.nan)
    got = np.asarray(blending.paste(*map(jnp.asarray, (generated, broken, mask))))
    np.testing.assert_array_equal(got[known], image[known])
    np.testing.assert_array_equal(got[~known], generated[~known])


@pytest.mark.parametrize("case", CASES)
def test_poisson_equals_a_dense_solve(case):
    generated, image = pictures()
    mask = MASKS[case]
    got = np.asarray(poisson(*map(jnp.asarray, (generated, image, mask[None]))))
    expected = dense_solution(generated[0], image[0], mask)
    np.testing.assert_allclose(got[0], expected, atol=1e-3)
    known = np.broadcast_to(mask > 0, image[0].shape)
    np.testing.assert_array_equal(got[0][known], image[0][known])


@pytest.mark.parametrize("side", [32, 64])
def test_poisson_converges_on_half_an_image(side):
    shape = (side, side)
    generated, image = pictures(3, shape, reach=0.5)
    # Smooth like a face, and brighter on one side: the slowest errors to remove.
    ramp = np.linspace(-0.4, 0.4, side, dtype=np.float32)[:, None, None]
    image = 0.2 * image + ramp
    generated = 0.2 * generated - ramp + 0.1
    mask = block(0, 0, side, side // 2, shape)
    got = np.asarray(poisson(*map(jnp.asarray, (generated, image, mask[None]))))
    expected = dense_solution(generated[0], image[0], mask)
    np.testing.assert_allclose(got[0], expected, atol=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_a_constant_offset_of_the_generated_image_vanishes(case):
    _, image = pictures(reach=0.6)
    offset = np.array([0.3, -0.2, 0.1], np.float32)
    mask = MASKS[case][None]
    got = poisson(*map(jnp.asarray, (image + offset, image, mask)))
    np.testing.assert_allclose(got, image, atol=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_the_hole_are_those_of_the_generated_image(case):
    # Least squares: the sum of gradient differences around each hole pixel is zero,
    # up to the solver's tolerance. Small values keep clear of the clipping.
    generated, image = pictures(2, reach=0.2)
    mask = MASKS[case]
    got = np.asarray(poisson(*map(jnp.asarray, (generated, image, mask[None]))))[0]
    assert np.abs(got).max() < 1
    for place in map(tuple, np.argwhere(mask[..., 0] == 0)):
        difference = sum(
            (got[place] - got[other]) - (generated[0][place] - generated[0][other])
            for other in neighbours(*place, mask.shape[:2])
        )
        np.testing.assert_allclose(difference, np.zeros(3), atol=1e-3)


def test_rows_of_a_batch_do_not_influence_each_other():
    batch = [pictures(seed) for seed in range(len(CASES))]
    generated = jnp.concatenate([jnp.asarray(pair[0]) for pair in batch])
    image = jnp.concatenate([jnp.asarray(pair[1]) for pair in batch])
    mask = jnp.stack([jnp.asarray(MASKS[case]) for case in CASES])
    together = poisson(generated, image, mask)
    for i in range(len(CASES)):
        rows = slice(i, i + 1)
        alone = poisson(generated[rows], image[rows], mask[rows])
        np.testing.assert_allclose(together[i], alone[0], atol=1e-5)
    broken = poisson(generated.at[0].set(jnp.nan), image, mask)
    np.testing.assert_array_equal(together[1:], broken[1:])


def test_poisson_ignores_the_hole_of_the_image():
    generated, image = pictures()
    mask = MASKS["corner"][None]
    broken = np.where(mask > 0, image, np.nan)
    got = poisson(*map(jnp.asarray, (generated, broken, mask)))
    expected = poisson(*map(jnp.asarray, (generated, image, mask)))
    np.testing.assert_array_equal(got, expected)


def test_jit_changes_nothing():
    generated, image = map(jnp.asarray, pictures())
    mask = jnp.asarray(MASKS["inside"])[None]
    for blend in (blending.paste, blending.poisson):
        plain = blend(generated, image, mask)
        np.testing.assert_allclose(
            jax.jit(blend)(generated, image, mask), plain, atol=1e-5
        )


def test_the_result_is_an_image():
    # Generated in [-1, 1], but brighter by 2 in the hole: unclipped this reaches 3.
    mask = MASKS["inside"][None]
    image = np.ones((1, HEIGHT, WIDTH, 3), np.float32)
    generated = np.where(mask > 0, -image, image)
    for sign in (1, -1):
        got = poisson(*map(jnp.asarray, (sign * generated, sign * image, mask)))
        np.testing.assert_array_equal(got, sign * image)


def test_the_mean_colour_is_that_of_the_known_pixels_alone():
    image, _ = pictures()
    mask = MASKS["inside"][None]
    hidden = np.where(mask > 0, image, np.nan)
    expected = image[0][mask[0, ..., 0] > 0].mean(axis=0)
    found = blending.mean_colour(jnp.asarray(hidden), jnp.asarray(mask))
    assert found.shape == image.shape
    np.testing.assert_allclose(found, np.broadcast_to(expected, image.shape), atol=1e-6)
