"""Masks have the holes that they name."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.errors import InputError
from inpaint_jax.images import masks

KEYS = jax.random.split(jax.random.key(7), 50)


@functools.cache
def many(name, shape=(64, 64)):
    make = masks.named(name)[1]
    return np.asarray(jax.jit(jax.vmap(lambda key: make(key, shape)))(KEYS))


def one(name, shape):
    make = masks.named(name)[1]
    return np.asarray(jax.jit(make, static_argnums=1)(KEYS[0], shape))


@pytest.mark.parametrize("shape", [(64, 64), (21, 33)])
@pytest.mark.parametrize("name", masks.MASKS)
def test_masks_are_float32_zeros_and_ones_of_the_shape(name, shape):
    batch = many(name, shape)
    assert batch.shape == (len(KEYS), *shape, 1)
    assert batch.dtype == np.float32
    for mask in batch:
        assert set(np.unique(mask)) == {0.0, 1.0}


@pytest.mark.parametrize("shape", [(64, 64), (6, 10), (16, 8)])
def test_centre_hides_a_quarter_and_the_sides_exactly_half(shape):
    area = shape[0] * shape[1]
    left, right = one("left", shape), one("right", shape)
    assert np.sum(one("centre", shape) == 0) * 4 == area
    assert np.sum(left == 0) * 2 == area
    assert np.sum(right == 0) * 2 == area
    np.testing.assert_array_equal(left + right, np.ones((*shape, 1)))
    assert not left[:, 0].any() and left[:, -1].all()
    assert right[:, 0].all() and not right[:, -1].any()


@pytest.mark.parametrize("shape", [(7, 9), (64, 5), (11, 64)])
def test_odd_sizes_are_halved_to_within_a_pixel(shape):
    height, width = shape
    left, right = one("left", shape), one("right", shape)
    half = width // 2
    expected = np.ones((height, width, 1))
    expected[:, :half] = 0
    np.testing.assert_array_equal(left, expected)
    np.testing.assert_array_equal(right, expected[:, ::-1])
    hole = one("centre", shape)[..., 0] == 0
    for axis, side in ((1, height), (0, width)):
        places = np.flatnonzero(hole.any(axis=axis))
        assert abs(len(places) - side / 2) <= 0.5
        before, after = places[0], side - 1 - places[-1]
        assert abs(int(before) - int(after)) <= 1
    assert hole.sum() == hole.any(axis=1).sum() * hole.any(axis=0).sum()


@pytest.mark.parametrize(
    ("name", "full_name", "rate"),
    [
        ("random", "random80", 0.8),
        ("random80", "random80", 0.8),
        ("random30", "random30", 0.3),
        ("random12", "random12", 0.12),
    ],
)
def test_random_pixels_are_hidden_at_their_rate(name, full_name, rate):
    assert masks.named(name)[0] == full_name
    hole = many(name, (32, 32)) == 0
    deviation = np.sqrt(rate * (1 - rate) / hole.size)
    assert abs(hole.mean() - rate) < 5 * deviation
    each = hole.reshape(len(KEYS), -1)
    deviation = np.sqrt(rate * (1 - rate) / each.shape[1])
    assert np.all(np.abs(each.mean(axis=1) - rate) < 5 * deviation)
    # A pixel is hidden on its own: over keys each one is hidden at the same rate.
    deviation = np.sqrt(rate * (1 - rate) / len(KEYS))
    assert np.all(np.abs(each.mean(axis=0) - rate) < 6 * deviation)


@pytest.mark.parametrize("name", ["random80", "block", "free-form"])
def test_chance_comes_from_the_key_alone(name):
    make = jax.jit(masks.named(name)[1], static_argnums=1)
    batch = many(name)
    for i in (0, 17, 17):
        np.testing.assert_array_equal(make(KEYS[i], (64, 64)), batch[i])
    assert len({mask.tobytes() for mask in batch}) == len(KEYS)


@pytest.mark.parametrize("shape", [(64, 64), (21, 33)])
def test_block_is_a_rectangle_of_a_quarter_to_half_of_each_side(shape):
    places = []
    for mask in many("block", shape):
        hole = mask[..., 0] == 0
        rows = np.flatnonzero(hole.any(axis=1))
        columns = np.flatnonzero(hole.any(axis=0))
        assert hole.sum() == len(rows) * len(columns)
        assert rows[-1] - rows[0] + 1 == len(rows)
        assert columns[-1] - columns[0] + 1 == len(columns)
        assert round(shape[0] / 4) <= len(rows) <= round(shape[0] / 2)
        assert round(shape[1] / 4) <= len(columns) <= round(shape[1] / 2)
        places.append((rows[0] / (shape[0] - len(rows)), columns[0]))
    # Places spread over all that is possible.
    places = np.array(places)
    assert places[:, 0].min() < 0.15 and places[:, 0].max() > 0.85


@pytest.mark.parametrize("shape", [(64, 64), (21, 33)])
def test_free_form_hides_some_but_never_all(shape):
    side = min(shape)
    # At least the thinnest dot, cut where the brush starts near the edge; at most four
    # strokes of full length and width that never cross.
    least = 0.5 * np.pi * (0.03 * side) ** 2
    most = 4 * (6 * 0.2 * 2 * 0.08 + np.pi * 0.08**2) * side**2
    holes = np.sum(many("free-form", shape) == 0, axis=(1, 2, 3))
    assert holes.min() >= max(least, 1)
    assert holes.max() <= 1.1 * most < 0.95 * shape[0] * shape[1]
    assert 0.05 < holes.mean() / (shape[0] * shape[1]) < 0.5


@pytest.mark.parametrize("name", ["center", "random0", "random100", "randomx", ""])
def test_an_unknown_name_lists_the_names(name):
    with pytest.raises(InputError) as error:
        masks.named(name)
    assert f"{name}: no such mask" in str(error.value)
    for known in masks.MASKS:
        assert known in str(error.value)


def test_stencil_polarity_and_threshold():
    grey = np.array([[0, 127, 128], [255, 129, 1]], np.uint8)
    white = masks.from_image(grey, name="m.png", shape=(2, 3))
    np.testing.assert_array_equal(white[..., 0], [[1, 1, 0], [0, 0, 1]])
    black = masks.from_image(grey, name="m.png", shape=(2, 3), hole_is_white=False)
    np.testing.assert_array_equal(black[..., 0], [[0, 0, 1], [1, 1, 0]])
    assert white.dtype == black.dtype == jnp.float32


def test_stencil_of_another_size_names_both_sizes():
    with pytest.raises(InputError, match=r"m\.png: 5 x 4 .* 8 x 6"):
        masks.from_image(np.zeros((4, 5), np.uint8), name="m.png", shape=(6, 8))


@pytest.mark.parametrize("hole_is_white", [True, False])
@pytest.mark.parametrize("level", [0, 255])
def test_stencil_without_hole_or_with_nothing_else(level, hole_is_white):
    share = "100%" if (level == 255) == hole_is_white else "0%"
    colour = "white" if hole_is_white else "black"
    with pytest.raises(InputError, match=rf"m\.png.* {share} .*in {colour} and"):
        masks.from_image(
            np.full((4, 5), level, np.uint8),
            name="m.png",
            shape=(4, 5),
            hole_is_white=hole_is_white,
        )


def test_hole_share_counts_each_image():
    mask = jnp.stack([jnp.ones((4, 5, 1)), jnp.zeros((4, 5, 1))])
    mask = mask.at[0, 1, 2].set(0.0)
    np.testing.assert_allclose(masks.hole_fraction(mask), [1 / 20, 1], atol=1e-6)


# Draws of all families.

DRAWN = 30
FAMILIES = [*masks.MASKS, "nothing"]


def family(mask):
    """What a mask looks like, found without the library."""
    side = len(mask)
    hole = mask[..., 0] == 0
    if not hole.any():
        return "nothing"
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    block = hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if not block.all():
        # 80 % of 256 pixels, standard deviation 2.5 %; strokes hide much less.
        return "random80" if hole.mean() > 0.7 else "free-form"
    half, quarter = list(range(side // 2)), list(range(side // 4, side - side // 4))
    columns = columns.tolist()
    if len(rows) == side:
        return "left" if columns == half else "right"
    return "centre" if rows.tolist() == columns == quarter else "block"


@jax.jit
def draw(key):
    return masks.sample(key, DRAWN, (16, 16))


@functools.cache
def drawn(seed):
    """{family: the bytes of its masks} and all masks of one draw."""
    found = np.asarray(draw(jax.random.key(seed)))
    parts = collections.defaultdict(list)
    for mask in found:
        parts[family(mask)].append(mask.tobytes())
    return parts, found


def test_all_families_come_in_equal_parts():
    parts, found = drawn(0)
    assert found.shape == (DRAWN, 16, 16, 1) and found.dtype == np.float32
    assert set(np.unique(found)) == {0.0, 1.0}
    # 30 = 7 * 4 + 2.
    assert set(parts) == set(FAMILIES)
    assert sorted(map(len, parts.values())) == [4, 4, 4, 4, 4, 5, 5]


@pytest.mark.parametrize("count", [1, 6, 7, 64])
def test_any_number_of_masks_can_be_drawn(count):
    draw = functools.partial(masks.sample, count=count, shape=(16, 16))
    found = jax.eval_shape(draw, jax.random.key(0))
    assert found.shape == (count, 16, 16, 1) and found.dtype == np.float32


def test_masks_of_chance_differ_within_a_draw_and_between_draws():
    for kind in FAMILIES:
        first, second = (drawn(seed)[0][kind] for seed in (0, 1))
        by_chance = kind in ("random80", "block", "free-form")
        assert len(set(first)) == (len(first) if by_chance else 1)
        assert set(first).isdisjoint(second) == by_chance


def test_the_order_of_the_families_is_that_of_chance():
    first, second = ([family(mask) for mask in drawn(seed)[1]] for seed in (0, 1))
    assert first != second and sorted(first) != first
