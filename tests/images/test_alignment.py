"""Similarities are found exactly, and pictures move by them as independent sums say."""

import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from inpaint_jax.images import alignment, framing
from inpaint_jax.landmarks import annotation
from tests import drawn


def similarity(scale, degrees, x=0.0, y=0.0):
    turn = scale * np.exp(1j * np.deg2rad(degrees))
    a, b = turn.real, turn.imag
    return alignment.Similarity(np.array([[a, -b, x], [b, a, y]]))


def smooth(height, width):
    """A picture of slow waves, as a function of (x, y) too."""

    def colour(x, y):
        waves = [np.sin(x / 31 + y / 47), np.cos(x / 43), np.sin(y / 37 - x / 53)]
        return 127.5 + 110 * np.stack(waves, axis=-1)

    y, x = np.mgrid[:height, :width].astype(float)
    return np.round(colour(x, y)).astype(np.uint8), colour


def centred(scale, degrees, middle, size):
    """The similarity that puts a point of the photograph at the frame's centre."""
    linear = similarity(scale, degrees)
    shift = (size - 1) / 2 - linear.apply(np.asarray(middle, float))
    return alignment.Similarity(np.column_stack([linear.matrix[:, :2], shift]))


numbers = strategies.floats(-100, 100)


@hypothesis.given(
    strategies.floats(0.01, 100),
    strategies.floats(-179, 179),
    numbers,
    numbers,
    strategies.integers(0, 1000),
)
@hypothesis.settings(max_examples=50, deadline=None)
def test_fit_finds_the_similarity_that_moved_the_points(scale, degrees, x, y, seed):
    rng = np.random.default_rng(seed)
    points, weights = rng.normal(size=(7, 2)), rng.uniform(0.1, 2, 7)
    true = similarity(scale, degrees, x, y)
    found = alignment.fit(points, true.apply(points), weights=weights)
    np.testing.assert_allclose(found.matrix, true.matrix, atol=1e-9 * (scale + 100))
    assert np.isclose(found.scale, scale)
    assert np.isclose(np.rad2deg(found.angle), degrees)
    back = true.inverse.apply(true.apply(points))
    np.testing.assert_allclose(back, points, atol=1e-9 * (1 + 200 / scale))


def test_fit_is_the_weighted_least_squares_solution():
    rng = np.random.default_rng(0)
    points, target, weights = rng.normal(size=(9, 2)), rng.normal(size=(9, 2)), None
    for weights in (None, rng.uniform(0.1, 3, 9)):
        # Linear in (a, b, x, y): solved by NumPy's own least squares.
        ones, zeros = np.ones(9), np.zeros(9)
        rows = [
            np.column_stack([points[:, 0], -points[:, 1], ones, zeros]),
            np.column_stack([points[:, 1], points[:, 0], zeros, ones]),
        ]
        root = np.sqrt(np.tile(ones if weights is None else weights, 2))
        system, right = np.concatenate(rows), target.T.ravel()
        a, b, x, y = np.linalg.lstsq(root[:, None] * system, root * right)[0]
        found = alignment.fit(points, target, weights=weights)
        np.testing.assert_allclose(found.matrix, [[a, -b, x], [b, a, y]], atol=1e-12)


def test_after_applies_the_first_one_first():
    one, two = similarity(2, 30, 4, 5), similarity(0.3, -70, -8, 1)
    points = np.random.default_rng(0).normal(size=(5, 2))
    both = two.after(one).apply(points)
    np.testing.assert_allclose(both, two.apply(one.apply(points)), atol=1e-12)


@pytest.mark.parametrize("shape", [(218, 178), (109, 89), (64, 64), (300, 200)])
def test_the_central_similarity_draws_what_framing_cuts_bit_by_bit(shape):
    picture = drawn.noise(*shape, 3)
    central = alignment.central(*shape, crop=128, size=64)
    got = alignment.to_frame(picture, central, size=64)
    np.testing.assert_array_equal(got, framing.frame(picture, crop=128, size=64))
    assert not alignment.outside(central, shape, size=64).any()


def test_the_template_is_symmetric_and_scales_with_the_frame():
    mirrored = alignment.TEMPLATE[annotation.MIRRORED] * [-1, 1]
    np.testing.assert_array_equal(mirrored, alignment.TEMPLATE)
    points = alignment.template(crop=128, size=64)
    # The middle of the frame is 31.5, and a CelebA pixel is half as wide.
    np.testing.assert_allclose(points, alignment.TEMPLATE / 2 + 31.5)
    # As in aligned CelebA pictures, the eyes' centres lie about 39 pixels apart.
    eyes = [points[annotation.RIGHT_EYE], points[annotation.LEFT_EYE]]
    assert 19 < eyes[1].mean(axis=0)[0] - eyes[0].mean(axis=0)[0] < 20


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_translation_by_whole_pixels_is_a_cut(channels):
    picture = drawn.noise(40, 50, channels)
    moved = similarity(1, 0, -7, -3)
    got = alignment.to_frame(picture, moved, size=32)
    np.testing.assert_array_equal(got, picture[3:35, 7:39])
    assert alignment.frame_box(moved, picture.shape, size=32) == (7, 3, 39, 35)
    back = alignment.to_photograph(got, moved, box=(7, 3, 39, 35))
    np.testing.assert_array_equal(back, got)


def test_outside_the_photograph_its_edge_continues():
    picture = drawn.noise(20, 24, 3)
    moved = similarity(1, 0, 5, 9)
    got = alignment.to_frame(picture, moved, size=40)
    padded = np.pad(picture, ((9, 11), (5, 11), (0, 0)), mode="edge")
    np.testing.assert_array_equal(got, padded)
    inside = np.zeros((40, 40), bool)
    inside[9:29, 5:29] = True
    np.testing.assert_array_equal(
        alignment.outside(moved, picture.shape, size=40), ~inside
    )
    assert alignment.frame_box(moved, picture.shape, size=40) == (0, 0, 24, 20)


def test_a_frame_beside_the_photograph_meets_nothing_of_it():
    picture = drawn.noise(20, 24, 3)
    beside = similarity(0.5, 20, 900, 0)
    left, _, right, _ = alignment.frame_box(beside, picture.shape, size=16)
    assert left == right
    assert alignment.outside(beside, picture.shape, size=16).all()
    hole = np.ones((20, 24), bool)
    assert not alignment.hole_to_frame(hole, beside, size=16).any()
    assert alignment.to_frame(picture, beside, size=16).shape == (16, 16, 3)


@pytest.mark.parametrize("degrees", [0, 30, -100, 180])
@pytest.mark.parametrize("scale", [1 / 3, 1 / 8, 1 / 30, 1, 2.5])
def test_a_smooth_photograph_is_drawn_as_its_area_averages(scale, degrees):
    size = 12
    side = int(2 * size / scale) + 8
    picture, colour = smooth(side, side + 6)
    moved = centred(scale, degrees, (side / 2 + 1.3, side / 2 - 0.6), size)
    got = alignment.to_frame(picture, moved, size=size)
    # The mean of the function itself over each pixel, by 15 x 15 points in it.
    steps = (np.arange(size * 15) + 0.5) / 15 - 0.5
    fine = np.stack(np.meshgrid(steps, steps), axis=-1)
    values = colour(*np.moveaxis(moved.inverse.apply(fine), -1, 0))
    expected = values.reshape(size, 15, size, 15, 3).mean(axis=(1, 3))
    # The waves' own curvature within the filter is what is left at 1/30.
    inner = np.abs(got - expected)[2:-2, 2:-2]
    assert inner.max() < (12 if scale < 1 / 20 else 2.5)


def test_shrinking_is_antialiased_at_any_angle():
    # Stripes of one pixel average to grey; a few samples would show some of them.
    picture = np.zeros((256, 256, 1), np.uint8)
    picture[:, ::2] = 254
    for degrees in (0, 17, 45, 90):
        moved = centred(1 / 8, degrees, (128, 128), 16)
        got = alignment.to_frame(picture, moved, size=16)
        np.testing.assert_allclose(got, 127, atol=5)


@pytest.mark.parametrize("scale", [0.1, 0.5, 1, 2])
@pytest.mark.parametrize("degrees", [0, 30, 135])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_frame_comes_back_to_its_place(scale, degrees, dtype):
    size = 64
    _, colour = smooth(1, 1)
    moved = centred(scale, degrees, (400.2, 390.7), size)
    y, x = np.mgrid[:size, :size].astype(float)
    where = moved.inverse.apply(np.stack([x, y], axis=-1)) * scale
    image = np.round(colour(*np.moveaxis(where, -1, 0))).astype(dtype)
    box = alignment.frame_box(moved, (800, 900), size=size)
    got = alignment.to_photograph(image, moved, box=box)
    left, top, right, bottom = box
    assert got.shape == (bottom - top, right - left, 3) and got.dtype == dtype
    rows, columns = np.mgrid[top:bottom, left:right].astype(float)
    place = np.stack([columns, rows], axis=-1)
    expected = colour(*(scale * np.moveaxis(place, -1, 0)))
    u, v = np.moveaxis(moved.apply(place), -1, 0)
    inner = (np.minimum(u, v) > 2) & (np.maximum(u, v) < size - 3)
    assert inner.mean() > 0.3
    assert np.abs(got.astype(float) - expected)[inner].max() < 2.5


def touched(hole, moved, size, points):
    """Pixels of the frame in which one of many points lies in the hole."""
    steps = (np.arange(size * points) + 0.5) / points - 0.5
    fine = np.stack(np.meshgrid(steps, steps), axis=-1)
    x, y = np.round(np.moveaxis(moved.inverse.apply(fine), -1, 0)).astype(int)
    height, width = hole.shape
    within = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    found = within & hole[y.clip(0, height - 1), x.clip(0, width - 1)]
    return found.reshape(size, points, size, points).any(axis=(1, 3))


@pytest.mark.parametrize("degrees", [0, 30, 45, 90])
@pytest.mark.parametrize("scale", [1 / 40, 1 / 8, 0.7, 3])
def test_no_pixel_that_touches_the_hole_is_missed(scale, degrees):
    size = 12
    side = int(1.4 * size / scale) + 3
    rng = np.random.default_rng(1)
    hole = rng.random((side, side)) < 5 / side**2
    hole[side // 3 : side // 2, side // 2 : 2 * side // 3] = True
    moved = centred(scale, degrees, (side / 2 + 0.37, side / 2 - 0.21), size)
    got = alignment.hole_to_frame(hole, moved, size=size)
    must = touched(hole, moved, size, 48)
    assert must.any() and not must.all()
    assert not (must & ~got).any()
    # At most its neighbours come in addition, and few of them.
    assert np.sum(got & ~must) <= (3 if degrees in (0, 90) and scale > 1 / 32 else 9)


def test_a_hole_of_whole_pixels_is_exact():
    hole = np.zeros((64, 64), bool)
    hole[16:32, 8:24] = True
    got = alignment.hole_to_frame(
        hole, alignment.central(64, 64, crop=128, size=8), size=8
    )
    expected = np.zeros((8, 8), bool)
    expected[2:4, 1:3] = True
    np.testing.assert_array_equal(got, expected)


def test_a_large_photograph_is_not_copied_as_floats():
    picture = np.full((3000, 4000, 3), 77, np.uint8)
    hole = np.zeros((3000, 4000), bool)
    hole[1400:1600, 1900:2100] = True
    moved = centred(64 / 2500, 10, (2000, 1500), 64)
    tracemalloc.start()
    got = alignment.to_frame(picture, moved, size=64)
    marked = alignment.hole_to_frame(hole, moved, size=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(got, np.full((64, 64, 3), 77))
    assert marked[32, 32] and not marked[10, 10]
    assert peak < picture.nbytes


def test_frames_are_as_far_apart_as_their_corners():
    one = alignment.central(180, 240, crop=128, size=64)
    moved = alignment.Similarity(one.matrix + [[0, 0, 3.0], [0, 0, 4.0]])
    np.testing.assert_allclose(alignment.distance(one, one, size=64), 0, atol=1e-9)
    np.testing.assert_allclose(alignment.distance(one, moved, size=64), 5 / 64)
    # Half a turn about the centre exchanges opposite corners.
    turn = alignment.Similarity(np.array([[-1.0, 0.0, 63.0], [0.0, -1.0, 63.0]]))
    found = alignment.distance(turn.after(one), one, size=64)
    np.testing.assert_allclose(found, 2**0.5)
