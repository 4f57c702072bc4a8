"""Set scores agree with scipy and with plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_jax.evaluation import distribution, metrics
from inpaint_jax.images import pixels

# Compiled whole: operation by operation each of them would be a program of its own.
ssim = jax.jit(metrics.ssim)
dissimilarity = jax.jit(distribution.dissimilarity)
diversity = jax.jit(distribution.diversity, static_argnames="pairs")
random_pairs = jax.jit(
    distribution.random_pairs, static_argnums=1, static_argnames="pairs"
)


def features(count, dimensions, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(dimensions, dimensions))
    return rng.normal(size=(count, dimensions)) @ mixing + shift


def pictures(count, seed=0, side=12):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def by_scipy(x, y):
    c, d = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.real(scipy.linalg.sqrtm(c @ d))
    return np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(c + d - 2 * root)


@pytest.mark.parametrize("dimensions", [2, 16, 128])
def test_frechet_agrees_with_scipys_square_root(dimensions):
    x, y = features(400, dimensions, 0), features(300, dimensions, 1, shift=0.5)
    np.testing.assert_allclose(distribution.frechet(x, y), by_scipy(x, y), rtol=1e-6)


def test_frechet_of_two_lines_has_a_closed_form():
    x, y = np.array([[0.0], [2.0]]), np.array([[3.0], [9.0]])
    expected = (6 - 1) ** 2 + (np.std(y, ddof=1) - np.std(x, ddof=1)) ** 2
    np.testing.assert_allclose(distribution.frechet(x, y), expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 20), st.integers(1, 12))
def test_frechet_is_symmetric_and_zero_only_between_equals(seed, count, dimensions):
    x = features(count, dimensions, seed)
    y = x[::-1] * np.float64(1.5) + 1.0
    there, back = distribution.frechet(x, y), distribution.frechet(y, x)
    scale = np.sum(x**2) + np.sum(y**2)
    assert there > 0.0
    np.testing.assert_allclose(there, back, atol=1e-6 * scale)
    np.testing.assert_allclose(distribution.frechet(x, x[::-1]), 0, atol=1e-6 * scale)


def test_frechet_takes_float32_with_fewer_rows_than_dimensions():
    x = features(20, 128, 0).astype(np.float32)
    moved = x + np.float32(2.0)
    got = distribution.frechet(x, moved)
    np.testing.assert_allclose(got, 4.0 * 128, rtol=1e-3)


def test_one_row_has_no_covariance():
    with pytest.raises(ValueError, match="got 1"):
        distribution.frechet(np.ones((1, 3)), np.ones((4, 3)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_has_no_distance(bad):
    x, y = features(20, 8, 0), features(20, 8, 1)
    x[3, 4] = bad
    assert np.isnan(distribution.frechet(x, y)) and np.isnan(distribution.frechet(y, x))


def test_frechet_from_a_constant_is_spread_and_shift():
    # A Gaussian without spread: |m - m'|^2 + trace(C') is left.
    y = features(50, 6, 0)
    expected = np.sum((y.mean(0) - 2.0) ** 2) + np.trace(np.cov(y, rowvar=False))
    np.testing.assert_allclose(
        distribution.frechet(np.full((30, 6), 2.0), y), expected, rtol=1e-9
    )


def test_a_pair_has_two_different_images_and_all_pairs_come(key):
    pairs = np.asarray(random_pairs(key, 4, pairs=500))
    assert {tuple(pair) for pair in pairs.tolist()} == {
        (i, j) for i in range(4) for j in range(4) if i != j
    }


def test_dissimilarity_of_pairs_agrees_with_a_loop():
    images = pictures(5)
    chosen = jnp.array([[0, 1], [3, 2], [4, 4]])
    expected = [
        1 - ssim(*pixels.from_bytes(images[list(pair)])[:, None])[0]
        for pair in chosen.tolist()
    ]
    found = dissimilarity(images, chosen)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found[2], 0.0, atol=1e-5)


def test_diversity_of_two_images_is_one_minus_their_ssim(key):
    images = pictures(2)
    one, other = pixels.from_bytes(images)[:, None]
    similarity = ssim(one, other)[0]
    got = diversity(key, images, pairs=3)
    np.testing.assert_allclose(got, 1 - similarity, atol=1e-5)


def test_diversity_pairs_no_image_with_itself_and_leaves_none_out(key):
    # Of three images two are equal: a third of the ordered pairs are copies.
    images = pictures(3)
    images[1] = images[0]
    unlike = diversity(key, images[1:], pairs=3)
    got = diversity(key, images, pairs=600)
    np.testing.assert_allclose(got, unlike * 2 / 3, rtol=0.1)


def test_diversity_is_the_same_in_a_compiled_program(key):
    images = jnp.asarray(pictures(4))
    got = distribution.diversity(key, images, pairs=5)
    np.testing.assert_allclose(diversity(key, images, pairs=5), got, rtol=1e-5)


def test_diversity_of_one_image_is_refused(key):
    with pytest.raises(ValueError, match="got 1"):
        distribution.diversity(key, pictures(1), pairs=5)


@pytest.mark.parametrize("block", [1, 3, 7, 1000])
def test_nearest_agrees_with_a_loop(block):
    images, candidates = pictures(4, seed=0, side=3), pictures(7, seed=1, side=3)
    index, distance = distribution.nearest(images, candidates, at_once=block)
    for i, image in enumerate(images):
        gaps = [
            np.sqrt(np.mean(((image.astype(float) - c) / 127.5) ** 2))
            for c in candidates
        ]
        assert index[i] == np.argmin(gaps)
        np.testing.assert_allclose(distance[i], np.min(gaps), rtol=1e-5)


def test_a_copy_is_at_distance_zero_and_the_first_of_equals_is_found():
    candidates = pictures(6)
    candidates[4] = candidates[1]
    index, distance = distribution.nearest(candidates[[4, 5]], candidates)
    np.testing.assert_array_equal(index, [1, 5])
    np.testing.assert_array_equal(distance, [0, 0])
