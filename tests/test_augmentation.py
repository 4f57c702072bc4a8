"""Flips mirror or leave; views move and brighten, in the way told, with a gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax import augmentation

SIZE = 32
REACH = 3  # 6 px at 64 px
COUNT = 300


def noise(shape, seed=1):
    values = np.random.default_rng(seed).uniform(-1.0, 1.0, shape)
    return jnp.asarray(values, jnp.float32)


def moved(image, down, right):
    """Image moved down and right (or up and left), zeros moving in; numpy slices."""
    padded = np.pad(image, ((REACH, REACH), (REACH, REACH), (0, 0)))
    top, left = REACH - down, REACH - right
    return padded[top : top + image.shape[0], left : left + image.shape[1]]


SHIFTS = [
    (down, right)
    for down in range(-REACH, REACH + 1)
    for right in range(-REACH, REACH + 1)
]


def explain(image, view):
    """The (down, right, brightness) that turn the image into the view."""
    inside = np.ones((*image.shape[:2], 1))
    for down, right in SHIFTS:
        seen = np.broadcast_to(moved(inside, down, right) > 0, view.shape)
        difference = (view - moved(image, down, right))[seen]
        if np.ptp(difference) < 1e-5:
            np.testing.assert_array_equal(view[~seen], 0.0)
            return down, right, difference.mean()
    raise AssertionError("the view is no moved and brightened copy of the image")


@pytest.fixture(scope="module")
def view():
    return jax.jit(augmentation.random_view)


@pytest.fixture(scope="module")
def explained(view):
    image = noise((COUNT, SIZE, SIZE, 3))
    views = np.asarray(view(jax.random.key(0), image))
    return np.array(
        [explain(*pair) for pair in zip(np.asarray(image), views, strict=True)]
    )


def test_flip_mirrors_exactly_or_leaves(key):
    image = noise((400, 2, 5, 3))
    flipped = np.asarray(jax.jit(augmentation.random_flip)(key, image))
    image = np.asarray(image)
    left_alone = (flipped == image).all(axis=(1, 2, 3))
    mirrored = (flipped == image[:, :, ::-1]).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(left_alone, ~mirrored)
    # 200 expected, standard deviation 10.
    assert 160 < mirrored.sum() < 240


def test_every_move_up_to_the_reach_occurs(explained):
    found = {tuple(pair) for pair in explained[:, :2].astype(int)}
    # Of 49 moves, each is missed by 300 draws with probability 0.002.
    assert len(found) >= 47
    assert found <= set(SHIFTS)
    assert set(explained[:, 0]) == set(explained[:, 1]) == set(range(-3, 4))


def test_brightness_covers_its_range_and_differs_by_image(explained):
    brightness = explained[:, 2]
    assert np.abs(brightness).max() <= 0.2 + 1e-6
    assert brightness.min() < -0.18 and brightness.max() > 0.18
    # Standard deviation of the uniform distribution on [-0.2, 0.2]: 0.115.
    assert abs(brightness.mean()) < 4 * 0.115 / COUNT**0.5


def test_gradient_moves_back(view, key):
    image, pull = noise((6, SIZE, SIZE, 3)), noise((6, SIZE, SIZE, 3), 2)
    views = np.asarray(view(key, image))
    gradient = jax.grad(lambda x: jnp.vdot(view(key, x), pull))(image)
    for i in range(6):
        down, right, _ = explain(np.asarray(image[i]), views[i])
        expected = moved(np.asarray(pull[i]), -down, -right)
        np.testing.assert_allclose(gradient[i], expected, atol=1e-7)


@pytest.mark.parametrize("shape", [(1, 64, 64, 3), (3, 16, 24, 3), (2, 8, 8, 3)])
def test_shape_and_dtype_stay(view, shape, key):
    result = view(key, noise(shape))
    assert result.shape == shape and result.dtype == jnp.float32


def test_other_keys_give_other_views(view):
    image = noise((4, SIZE, SIZE, 3))
    first, again, other = (view(jax.random.key(seed), image) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (np.abs(first - other).max(axis=(1, 2, 3)) > 0.01).all()
