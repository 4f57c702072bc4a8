"""Flips mirror or leave; views move and brighten, in the way told, with a gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.images import augmentation

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


# The other changes, and how often each is made.


@pytest.fixture(scope="module")
def changed():
    """Images, and what each change makes of them."""
    image = noise((COUNT, SIZE, SIZE, 3))
    changes = {name: jax.jit(change) for name, change in augmentation.CHANGES.items()}
    views = {name: change(jax.random.key(7), image) for name, change in changes.items()}
    return np.float64(image), {name: np.asarray(view) for name, view in views.items()}


def test_colour_is_brightness_saturation_and_contrast(changed):
    image, views = changed
    found = []
    for before, after in zip(image, np.float64(views["colour"]), strict=True):
        grey, grey_after = before.mean(axis=2), after.mean(axis=2)
        brightness = after.mean() - before.mean()
        # Greys go away from the mean, colours from their grey.
        apart, apart_after = grey - grey.mean(), grey_after - grey_after.mean()
        contrast = np.vdot(apart, apart_after) / np.vdot(apart, apart)
        np.testing.assert_allclose(apart_after, contrast * apart, atol=1e-5)
        hue, hue_after = before - grey[..., None], after - grey_after[..., None]
        both = np.vdot(hue, hue_after) / np.vdot(hue, hue)
        np.testing.assert_allclose(hue_after, both * hue, atol=1e-5)
        found.append((brightness, both / contrast, contrast))
    for values, middle, reach in zip(
        np.transpose(found), (0.0, 1.0, 1.0), (0.5, 1.0, 0.5), strict=True
    ):
        assert np.abs(values - middle).max() <= reach + 1e-5
        assert values.min() < middle - 0.9 * reach
        assert values.max() > middle + 0.9 * reach
    assert np.abs(np.corrcoef(np.transpose(found)) - np.eye(3)).max() < 0.25


def test_cutout_covers_one_square_with_grey(changed):
    image, views = changed
    heights, tops = [], []
    for before, after in zip(image, views["cutout"], strict=True):
        covered = (after == 0.0).all(axis=2)
        np.testing.assert_array_equal(after[~covered], np.float32(before[~covered]))
        rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
        for lines in (rows, columns):
            np.testing.assert_array_equal(np.diff(lines), 1)
            # Half the side, but for what lies outside.
            cut = lines[0] == 0 or lines[-1] == SIZE - 1
            assert len(lines) == SIZE // 2 or (cut and len(lines) >= SIZE // 4)
        assert covered.sum() == len(rows) * len(columns)
        heights.append(len(rows))
        tops.append(rows[0])
    assert min(heights) < SIZE // 3 and max(heights) == SIZE // 2
    assert min(tops) == 0 and max(tops) > SIZE * 2 // 3


def test_translation_alone_moves_and_brightness_alone_brightens(changed):
    image, views = changed
    moves = []
    for before, moved_view, bright in zip(
        image[:40], views["translation"], views["brightness"], strict=False
    ):
        *move, brightness = explain(np.float32(before), moved_view)
        assert abs(brightness) < 1e-6
        down, right, brightness = explain(np.float32(before), bright)
        assert (down, right) == (0, 0) and 0 < abs(brightness) <= 0.2
        moves.append(tuple(move))
    assert len(set(moves)) > 10


@pytest.mark.parametrize("name", sorted(augmentation.CHANGES))
def test_probability_is_the_share_of_images_changed(name):
    image = noise((400, 16, 16, 3))

    @jax.jit
    def share(probability):
        view = augmentation.random_view(
            jax.random.key(3), image, probability=probability, changes=(name,)
        )
        return jnp.any(view != image, axis=(1, 2, 3))

    assert not share(0.0).any()
    # At 16 px one of 9 moves stays where it is.
    always = 8 / 9 if name == "translation" else 1.0
    assert abs(share(1.0).mean() - always) <= 4 * (always * (1 - always) / 400) ** 0.5
    some = 0.3 * always
    assert abs(share(0.3).mean() - some) < 4 * (some * (1 - some) / 400) ** 0.5


def test_views_are_the_changes_one_after_the_other():
    image = noise((64, 16, 16, 3))
    view = functools.partial(augmentation.random_view, jax.random.key(4), image)
    np.testing.assert_array_equal(view(changes=()), image)
    first, both = view(changes=("colour",)), view(changes=("colour", "cutout"))
    kept = np.asarray(both) != 0.0
    np.testing.assert_array_equal(both[kept], first[kept])
    assert 0.6 < kept.mean() < 0.95
    # Whether an image is changed in one way says nothing of another.
    half = view(probability=0.5, changes=("colour", "cutout"))
    coloured = np.asarray((half != image) & (half != 0.0)).any(axis=(1, 2, 3))
    cut = np.asarray(half == 0.0).any(axis=(1, 2, 3))
    assert {tuple(pair) for pair in zip(coloured, cut, strict=True)} == {
        (False, False),
        (False, True),
        (True, False),
        (True, True),
    }
