"""Faces and points change together, masks come in equal parts, a step is as written."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inpaint_jax import landmark_fitting, masks
from inpaint_jax.landmarks import annotation
from inpaint_jax.models import landmark_net

pytestmark = pytest.mark.usefixtures("standard_promotion")

# Views.

SIDE, VIEWS = 64, 200
REACH = 3
# On a mirrored face: the ends of the jaw and its middle, the brows, the nose, the outer
# and the inner corners of the eyes, and those of the mouth.
OTHER_SIDE = {0: 16, 8: 8, 17: 26, 27: 27, 31: 35, 36: 45, 39: 42, 48: 54, 60: 64}


@pytest.fixture(scope="module")
def painted():
    """Landmarks on whole pixels, and images that name the point at each pixel.

    Red is i / 68 where point i lies and -0.5 elsewhere; green is 1 and blue 0.
    """
    rng = np.random.default_rng(0)
    inside = np.arange(REACH, SIDE - REACH)
    landmarks = np.zeros((VIEWS, 68, 2))
    image = np.tile(np.array([-0.5, 1.0, 0.0]), (VIEWS, SIDE, SIDE, 1))
    for row in range(VIEWS):
        places = rng.choice(len(inside) ** 2, 68, replace=False)
        landmarks[row] = inside[np.stack(np.divmod(places, len(inside)), axis=1)]
        x, y = landmarks[row].astype(int).T
        image[row, y, x, 0] = np.arange(68) / 68
    return image.astype(np.float32), landmarks.astype(np.float32)


@pytest.fixture(scope="module")
def viewed(painted):
    view = jax.jit(landmark_fitting.random_view)
    return [np.asarray(x) for x in view(jax.random.key(3), *map(jnp.asarray, painted))]


def light_of(views):
    """Contrast and brightness of each view, from its green and its blue."""
    green, blue = views[..., 1], views[..., 2]
    assert np.ptp(green, axis=(1, 2)).max() == np.ptp(blue, axis=(1, 2)).max() == 0
    return green[:, 0, 0] - blue[:, 0, 0], blue[:, 0, 0]


def names_in(views):
    """The point painted at each pixel, -34 where there is none."""
    contrast, brightness = light_of(views)
    red = (views[..., 0] - brightness[:, None, None]) / contrast[:, None, None]
    return np.round(68 * red).astype(int)


def is_mirrored(names, landmarks):
    """Whether the pixel of point 0 is that of the other end of the jaw."""
    x, y = landmarks[:, 0].astype(int).T
    found = names[np.arange(len(names)), y, x]
    assert set(found) <= {0, 16}
    return found == 16


def test_points_lie_where_their_pixels_went(viewed):
    views, landmarks = viewed
    np.testing.assert_array_equal(landmarks, np.round(landmarks))
    names = names_in(views)
    mirrored = is_mirrored(names, landmarks)
    for row in range(VIEWS):
        x, y = landmarks[row].astype(int).T
        expected = annotation.MIRRORED if mirrored[row] else np.arange(68)
        np.testing.assert_array_equal(names[row, y, x], expected)


def test_points_of_a_mirrored_face_bear_the_names_of_the_other_side(viewed):
    views, landmarks = viewed
    names = names_in(views)
    for row in np.flatnonzero(is_mirrored(names, landmarks)):
        for point, other in OTHER_SIDE.items():
            for here, there in ((point, other), (other, point)):
                x, y = landmarks[row, here].astype(int)
                assert names[row, y, x] == there


def test_half_of_the_faces_are_mirrored(viewed):
    views, landmarks = viewed
    # 100 expected, standard deviation 7.
    assert 70 < is_mirrored(names_in(views), landmarks).sum() < 130


def test_every_move_up_to_the_reach_occurs(painted, viewed):
    _, landmarks = viewed
    mirrored = is_mirrored(names_in(viewed[0]), landmarks)
    before = painted[1].copy()
    flipped = before[mirrored][:, annotation.MIRRORED]
    flipped[..., 0] = SIDE - 1 - flipped[..., 0]
    before[mirrored] = flipped
    moves = landmarks - before
    np.testing.assert_array_equal(moves, np.broadcast_to(moves[:, :1], moves.shape))
    for axis in range(2):
        assert set(moves[:, 0, axis]) == set(range(-REACH, REACH + 1))
    # Of 49 moves 48.2 are expected.
    assert len({tuple(move) for move in moves[:, 0]}) >= 45


def test_light_covers_its_range(viewed):
    contrast, brightness = light_of(viewed[0])
    for values, middle in ((contrast, 1.0), (brightness, 0.0)):
        assert np.abs(values - middle).max() <= 0.2 + 1e-6
        assert values.min() < middle - 0.18 and values.max() > middle + 0.18
    assert abs(np.corrcoef(contrast, brightness)[0, 1]) < 0.3


def test_parts_of_a_pixel_move_along(painted):
    image, landmarks = (jnp.asarray(x[:8]) for x in painted)
    part = jnp.asarray(np.random.default_rng(1).uniform(0, 1, (8, 68, 2)), jnp.float32)
    view = jax.jit(landmark_fitting.random_view)
    whole = np.asarray(view(jax.random.key(0), image, landmarks)[1])
    moved = np.asarray(view(jax.random.key(0), image, landmarks + part)[1])
    part = np.asarray(part)
    ends = whole[:, 0] + part[:, 0], whole[:, 0] + part[:, 16] * [-1, 1]
    mirrored = np.abs(moved[:, 0] - ends[1]).max(axis=1) < 1e-4
    assert 0 < mirrored.sum() < 8
    np.testing.assert_allclose(moved[~mirrored], (whole + part)[~mirrored], atol=1e-4)
    part = part[:, annotation.MIRRORED] * [-1, 1]
    np.testing.assert_allclose(moved[mirrored], (whole + part)[mirrored], atol=1e-4)


# Masks.

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
        alone = hole & ~np.roll(hole, 1, 0) & ~np.roll(hole, 1, 1)
        return "random80" if alone.sum() > 0.02 * hole.size else "free-form"
    half, quarter = list(range(side // 2)), list(range(side // 4, side - side // 4))
    columns = columns.tolist()
    if len(rows) == side:
        return "left" if columns == half else "right"
    return "centre" if rows.tolist() == columns == quarter else "block"


@functools.cache
def drawn(count, seed=0):
    draw = jax.jit(landmark_fitting.sample_masks, static_argnums=(1, 2))
    return np.asarray(draw(jax.random.key(seed), count, (32, 32)))


@pytest.mark.parametrize("count", [7, 17, 70])
def test_all_families_come_in_equal_parts(count):
    found = drawn(count)
    assert found.shape == (count, 32, 32, 1) and found.dtype == np.float32
    assert set(np.unique(found)) == {0.0, 1.0}
    parts = collections.Counter(family(mask) for mask in found)
    assert set(parts) == set(FAMILIES)
    assert set(parts.values()) <= {count // 7, -(-count // 7)}


def test_masks_of_chance_differ_within_a_draw_and_between_draws():
    kinds = [family(mask) for mask in drawn(70)]
    for kind in FAMILIES:
        first, second = (
            [
                m.tobytes()
                for m, k in zip(drawn(70, seed), kinds, strict=True)
                if k == kind
            ]
            for seed in (0, 1)
        )
        by_chance = kind in ("random80", "block", "free-form")
        assert len(set(first)) == (len(first) if by_chance else 1)
        assert set(first).isdisjoint(second) == by_chance


# Training.

TINY = landmark_net.Architecture(image_size=16, features=4, hidden=8)
BATCH = 28
OPTIONS = {"architecture": TINY, "optimizer": optax.adam(1e-2)}
RATE = 0.1


@pytest.fixture(scope="module")
def mean():
    angle = np.arange(68) / 68 * 2 * np.pi
    circle = 7.5 + 4 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return jnp.asarray(circle, jnp.float32)


@pytest.fixture(scope="module")
def fresh(mean):
    with jax.numpy_dtype_promotion("standard"):
        init = jax.jit(functools.partial(landmark_fitting.init, **OPTIONS))
        return init(jax.random.key(0), mean)


@pytest.fixture(scope="module")
def faces(mean):
    """Faces that lie up to 3 px off the mean, and a slope of light that says where."""
    off = np.random.default_rng(0).uniform(-3, 3, (BATCH, 1, 2))
    y, x = np.mgrid[:16, :16] - 7.5
    slope = np.stack(
        [x - off[..., :1], y - off[..., 1:], np.zeros_like(x + off[..., :1])], axis=-1
    )
    images = np.clip(128 + 10 * slope, 0, 255).astype(np.uint8)
    return images, np.asarray(mean)[None] + off.astype(np.float32)


def test_a_new_net_places_the_mean_in_every_face(fresh, mean):
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.uniform(-1, 1, (4, 16, 16, 3)), jnp.float32)
    mask = jnp.asarray(rng.integers(0, 2, (4, 16, 16, 1)), jnp.float32)
    apply = jax.jit(lambda *x: TINY.network().apply(*x, train=False))
    points, whitening = apply(fresh.variables, image, mask)
    np.testing.assert_allclose(points, np.tile(mean, (4, 1, 1)), atol=0.3)
    np.testing.assert_allclose(whitening, np.tile(np.eye(2), (4, 68, 1, 1)), atol=0.1)
    assert fresh.step == 0 and fresh.step.dtype == jnp.int32


def by_the_book(key, state, images, landmarks):
    """Loss, gradient and statistics of a step, from the formulas."""
    key_view, key_mask = jax.random.split(key)
    image = images.astype(jnp.float32) / 127.5 - 1.0
    image, truth = landmark_fitting.random_view(key_view, image, landmarks)
    mask = landmark_fitting.sample_masks(key_mask, BATCH, (16, 16))

    def loss(params):
        (points, whitening), updated = TINY.network().apply(
            {**state.variables, "params": params},
            *(image, mask),
            train=True,
            mutable=["batch_stats"],
        )
        error = jnp.sqrt(((points - truth) ** 2).sum(axis=-1))
        u = jnp.einsum("bpij,bpj->bpi", whitening, truth - points)
        determinant = jnp.linalg.det(whitening)
        nll = jnp.sqrt((u**2).sum(axis=-1)) + jnp.log(2 * jnp.pi / determinant)
        parts = nll.mean(axis=1), error.mean(axis=1)
        return (nll + error).mean(), (parts, updated["batch_stats"])

    gradient, found = jax.grad(loss, has_aux=True)(state.variables["params"])
    return gradient, *found


@pytest.fixture(scope="module")
def steps(fresh, faces):
    """One step of gradient descent, and the same by the book."""

    @jax.jit
    def both(key, state, *faces):
        options = {"architecture": TINY, "optimizer": optax.sgd(RATE)}
        state = state._replace(moments=options["optimizer"].init(None))
        step = landmark_fitting.train_step(key, state, *faces, **options)
        return step, by_the_book(key, state, *faces)

    with jax.numpy_dtype_promotion("standard"):
        return both(jax.random.key(5), fresh, *map(jnp.asarray, faces))


def assert_trees_close(found, expected, tolerance):
    """Within the tolerance, relative to the largest number of all."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * largest)


def test_a_step_descends_the_likelihood_and_the_distance(fresh, steps):
    (state, _), (gradient, _, _) = steps
    moved = jax.tree.map(
        lambda before, after: np.asarray(before - after) / RATE,
        fresh.variables["params"],
        state.variables["params"],
    )
    assert_trees_close(moved, gradient, 1e-4)


def test_a_step_updates_the_statistics_and_counts_itself(fresh, steps):
    (state, _), (_, _, statistics) = steps
    assert_trees_close(state.variables["batch_stats"], statistics, 1e-5)
    assert state.step == 1
    before = jax.tree.leaves(fresh.variables["batch_stats"])
    assert all(
        (a != b).any() for a, b in zip(before, jax.tree.leaves(statistics), strict=True)
    )


def test_a_step_tells_likelihood_and_error_of_each_face(steps):
    (_, info), (_, (likelihood, error), _) = steps
    assert np.ptp(error) > 0.5
    np.testing.assert_allclose(info.likelihood, likelihood, rtol=1e-4)
    np.testing.assert_allclose(info.error, error, rtol=1e-4)


def test_training_finds_the_faces(fresh, faces):
    advance = jax.jit(functools.partial(landmark_fitting.train_step, **OPTIONS))
    state, errors = fresh, []
    for step in range(60):
        key = jax.random.fold_in(jax.random.key(1), step)
        state, info = advance(key, state, *map(jnp.asarray, faces))
        errors.append(float(info.error.mean()))
    # The mean shape is 2.3 px off: that of a square of 6 px from its middle.
    assert 1.8 < errors[0] < 2.8
    assert np.mean(errors[-5:]) < 0.5 * errors[0]
    assert state.step == 60
