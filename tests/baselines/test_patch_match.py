"""PatchMatch finds nearly the nearest patches, and completes what repeats itself."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.baselines import patch_field, patch_match

SIDE, PATCH, LEVELS = 24, 5, 2
OPTIONS = {"patch": PATCH, "levels": LEVELS, "rounds": 4, "iterations": 3}
solve = jax.jit(functools.partial(patch_match.solve, **OPTIONS))
FULL, COARSE_ONLY_FULL, SCATTERED = range(3)


def texture(seed):
    # Period 4 in both directions, so that it stays periodic at half the size.
    tile = np.random.default_rng(seed).uniform(-0.9, 0.9, (4, 4, 3))
    return np.tile(tile, (SIDE // 4, SIDE // 4, 1)).astype(np.float32)


def block(top, left, bottom, right):
    mask = np.ones((SIDE, SIDE, 1), np.float32)
    mask[top:bottom, left:right] = 0
    return mask


@functools.cache
def batch():
    scattered = np.random.default_rng(0).uniform(size=(SIDE, SIDE, 1)) > 0.8
    masks = [block(0, 14, 8, 22), block(4, 5, 19, 18), scattered.astype(np.float32)]
    images = np.stack([texture(seed) for seed in range(3)])
    return jax.random.split(jax.random.key(0), 3), images, np.stack(masks)


@functools.cache
def solved():
    keys, images, masks = batch()
    result, info = solve(keys, np.where(masks > 0, images, np.nan), masks)
    return np.asarray(result), jax.tree.map(np.asarray, info)


def windows(image):
    view = np.lib.stride_tricks.sliding_window_view(image, (PATCH, PATCH), (0, 1))
    return np.moveaxis(view, 2, -1).reshape(*view.shape[:2], -1)


@functools.cache
def searched():
    """A field of a picture with a hole, and the least distances by brute force."""
    rows = np.cumsum(np.random.default_rng(1).normal(size=(SIDE, SIDE, 3)), axis=0)
    image = (np.cumsum(rows, axis=1) / 20).astype(np.float32)
    patches, source = windows(image), windows(block(8, 7, 16, 17)).all(axis=-1)
    count = source.shape[0]
    all_pairs = patches.reshape(-1, 1, 75) - patches[source][None]
    least = np.sum(all_pairs.astype(np.float64) ** 2, axis=-1).min(axis=1)

    @jax.jit
    def run(key, patches, source):
        field = patch_field.random_field(key, source)
        return field, *patch_field.search(key, patches, source, field, iterations=6)

    result = run(jax.random.key(2), patches, source)
    return patches, source, least.reshape(count, -1), *map(np.asarray, result)


def test_patches_are_the_windows_of_the_image():
    image = np.random.default_rng(3).normal(size=(9, 7, 3)).astype(np.float32)
    got = patch_field.cut(jnp.asarray(image), patch=PATCH)
    np.testing.assert_array_equal(got, windows(image))


def test_a_random_field_holds_all_sources_and_nothing_else(key):
    source = np.zeros((20, 20), bool)
    source[[0, 3, 7, 19], [1, 0, 7, 19]] = True
    field = np.asarray(patch_field.random_field(key, jnp.asarray(source)))
    drawn = np.zeros_like(source)
    drawn[field[..., 0], field[..., 1]] = True
    np.testing.assert_array_equal(drawn, source)


def test_the_field_holds_sources_at_the_distance_that_it_tells():
    patches, source, _, _, field, squares = searched()
    match = field[..., 0], field[..., 1]
    assert source[match].all()
    expected = np.sum((patches - patches[match]) ** 2, axis=-1)
    np.testing.assert_allclose(squares[-1], expected, rtol=1e-4, atol=1e-5)


def test_no_distance_of_a_search_rises():
    squares = searched()[-1]
    assert (np.diff(squares, axis=0) <= 0).all()
    assert squares[-1].mean() < squares[0].mean()


def test_the_field_is_nearly_the_nearest():
    _, source, least, _, _, squares = searched()
    found, least = squares[-1][~source].mean(), least[~source].mean()
    assert least * (1 - 1e-4) <= found <= 1.1 * least


def test_a_search_keeps_a_good_start():
    patches, source, _, _, field, squares = searched()
    run = jax.jit(functools.partial(patch_field.search, iterations=1))
    _, again = run(jax.random.key(9), patches, source, field)
    assert (np.asarray(again[0]) <= squares[-1] * (1 + 1e-5) + 1e-6).all()


def test_a_periodic_texture_is_completed():
    result, info = solved()
    assert info.available[FULL]
    np.testing.assert_allclose(result[FULL], batch()[1][FULL], atol=0.02)


def test_distances_never_rise_within_a_round():
    _, info = solved()
    assert info.distance.shape == (3, LEVELS, 4, 3)
    seen = info.distance[FULL]
    assert np.isfinite(seen).all()
    assert (np.diff(seen, axis=-1) <= 0).all()


def test_a_level_without_a_patch_is_passed_over():
    result, info = solved()
    coarse, fine = info.distance[COARSE_ONLY_FULL]
    assert np.isinf(coarse).all() and np.isfinite(fine).all()
    assert info.available[COARSE_ONLY_FULL]
    assert np.isfinite(result[COARSE_ONLY_FULL]).all()


def test_without_a_patch_the_hole_has_the_mean_colour():
    result, info = solved()
    _, images, masks = batch()
    known = masks[SCATTERED][..., 0] > 0
    assert not info.available[SCATTERED]
    assert np.isinf(info.distance[SCATTERED]).all()
    mean = images[SCATTERED][known].mean(axis=0)
    hole = result[SCATTERED][~known]
    np.testing.assert_allclose(hole, np.broadcast_to(mean, hole.shape), atol=1e-5)


def test_known_pixels_are_kept():
    _, images, masks = batch()
    known = np.broadcast_to(masks > 0, images.shape)
    np.testing.assert_array_equal(solved()[0][known], images[known])


def test_images_do_not_influence_each_other():
    keys, images, masks = batch()
    order = np.array([1, 2, 0])
    result, _ = solve(keys[order], images[order], masks[order])
    np.testing.assert_array_equal(np.asarray(result), solved()[0][order])


def test_sides_that_do_not_halve_are_refused():
    keys, images, masks = batch()
    with pytest.raises(ValueError, match="24 x 24"):
        given = jnp.asarray(images), jnp.asarray(masks)
        patch_match.complete(keys, *given, patch=7, levels=3)
