"""Faces and points change together, a step is as written."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inpaint_jax.images import masks
from inpaint_jax.landmarks import annotation
from inpaint_jax.models import landmark_net
from inpaint_jax.training import train_landmark_net

# Programs that run for a moment: optimising them would take longer.
quickly = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)

# Views.

SIDE, VIEWS = 64, 200
REACH, LIGHT = 1, 0.1  # pixels; of a range from -1 to 1
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


view = quickly(train_landmark_net.random_view)


@pytest.fixture(scope="module")
def viewed(painted):
    return [np.asarray(x) for x in view(jax.random.key(3), *painted)]


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
    assert len({tuple(move) for move in moves[:, 0]}) == (2 * REACH + 1) ** 2


def test_light_covers_its_range(viewed):
    contrast, brightness = light_of(viewed[0])
    for values, middle in ((contrast, 1.0), (brightness, 0.0)):
        assert np.abs(values - middle).max() <= LIGHT + 1e-6
        assert values.min() < middle - 0.9 * LIGHT
        assert values.max() > middle + 0.9 * LIGHT
    assert abs(np.corrcoef(contrast, brightness)[0, 1]) < 0.3


def test_parts_of_a_pixel_move_along(painted, viewed):
    image, landmarks = painted
    part = np.random.default_rng(1).uniform(0, 1, landmarks.shape).astype(np.float32)
    moved = np.asarray(view(jax.random.key(3), image, landmarks + part)[1])
    mirrored = is_mirrored(names_in(viewed[0]), viewed[1])
    part[mirrored] = part[mirrored][:, annotation.MIRRORED] * [-1, 1]
    np.testing.assert_allclose(moved, viewed[1] + part, atol=1e-4)


# Training.

BATCH = 30
TINY = landmark_net.Architecture(image_size=16, features=4, hidden=8)
RATE = 0.02
WARM = 0.025  # share of the training after which the rate is highest
# Its first step is that of plain gradient descent.
OPTIONS = {"architecture": TINY, "optimizer": optax.sgd(RATE, momentum=0.9)}


@pytest.fixture(scope="module")
def mean():
    """A shape that equals its mirror image."""
    points = np.random.default_rng(0).uniform(3, 12, (68, 2))
    mirrored = points[annotation.MIRRORED] * [-1, 1] + [15, 0]
    return ((points + mirrored) / 2).astype(np.float32)


@pytest.fixture(scope="module")
def faces(mean):
    """Faces that lie up to 3 px off the mean, in light that says where."""
    off = np.random.default_rng(0).uniform(-3, 3, (BATCH, 1, 1, 2))
    y, x = np.mgrid[:16, :16] - 7.5
    images = np.full((BATCH, 16, 16, 3), 100, np.uint8)
    images[..., 0] += (10 * np.abs(x - off[..., 0])).astype(np.uint8)
    images[..., 1] += (10 * np.abs(y - off[..., 1])).astype(np.uint8)
    return images, jnp.asarray(mean + off[:, 0], jnp.float32)


@pytest.fixture(scope="module")
def fresh(mean):
    init = quickly(functools.partial(train_landmark_net.init, **OPTIONS))
    return init(jax.random.key(0), mean)


@pytest.fixture(scope="module")
def advance():
    return quickly(functools.partial(train_landmark_net.train_step, **OPTIONS))


def test_a_new_net_places_the_mean_in_every_face(fresh, mean):
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.uniform(-1, 1, (4, 16, 16, 3)), jnp.float32)
    mask = jnp.asarray(rng.integers(0, 2, (4, 16, 16, 1)), jnp.float32)
    apply = quickly(lambda *x: TINY.network().apply(*x, train=False))
    points, whitening = apply(fresh.variables, image, mask)
    np.testing.assert_allclose(points, np.tile(mean, (4, 1, 1)), atol=0.3)
    np.testing.assert_allclose(whitening, np.tile(np.eye(2), (4, 68, 1, 1)), atol=0.1)
    assert fresh.step == 0 and fresh.step.dtype == jnp.int32


@quickly
def by_the_book(state, image, truth, mask):
    """Gradient, likelihood, error and statistics of a step, from the formulas."""

    def loss(params):
        (points, whitening), updated = TINY.network().apply(
            {**state.variables, "params": params},
            *(image, mask),
            train=True,
            mutable=["batch_stats"],
        )
        error = jnp.linalg.norm(points - truth, axis=-1)
        u = jnp.linalg.norm(whitening @ (points - truth)[..., None], axis=(-2, -1))
        nll = u + jnp.log(2 * jnp.pi / jnp.linalg.det(whitening))
        info = nll.mean(axis=1), error.mean(axis=1), updated["batch_stats"]
        return (nll + error).mean(), info

    gradient, info = jax.grad(loss, has_aux=True)(state.variables["params"])
    return gradient, *info


@pytest.fixture(scope="module")
def steps(fresh, faces, advance):
    """A step, and the same by the book."""
    key = jax.random.key(5)
    key_view, key_mask = jax.random.split(key)
    images, landmarks = faces
    image, truth = view(key_view, images / np.float32(127.5) - 1, landmarks)
    mask = masks.sample(key_mask, BATCH, (16, 16))
    expected = by_the_book(fresh, image, truth, mask)
    return advance(key, fresh, *faces, WARM), expected


def assert_trees_close(found, expected, tolerance):
    """Within the tolerance, relative to the largest number of all."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * largest)


def test_a_step_descends_likelihood_and_distance(fresh, steps):
    (state, _), (gradient, *_) = steps
    before, after = (
        jax.tree.map(np.asarray, x.variables["params"]) for x in (fresh, state)
    )
    moved = jax.tree.map(lambda one, other: (one - other) / RATE, before, after)
    assert_trees_close(moved, gradient, 1e-4)


@pytest.mark.parametrize(
    ("progress", "rate"),
    [(0.0, 0.0), (WARM / 2, 0.5), ((1 + WARM) / 2, 0.5), (1.0, 0.0)],
)
def test_steps_grow_and_grow_smaller_again(
    progress, rate, fresh, faces, steps, advance
):
    (_, _), (gradient, *_) = steps
    state, _ = advance(jax.random.key(5), fresh, *faces, progress)
    moved = jax.tree.map(
        lambda one, other: (np.asarray(one) - np.asarray(other)) / RATE,
        *(x.variables["params"] for x in (fresh, state)),
    )
    expected = jax.tree.map(lambda leaf: rate * leaf, gradient)
    if rate:
        assert_trees_close(moved, expected, 2e-4)
    else:
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(moved)) < 1e-4


def test_a_step_updates_the_statistics_and_counts_itself(fresh, steps):
    (state, _), (*_, statistics) = steps
    assert_trees_close(state.variables["batch_stats"], statistics, 1e-5)
    assert np.abs(statistics["BatchNorm_0"]["mean"]).max() > 0  # which begins at 0
    assert state.step == 1 and state.step.dtype == fresh.step.dtype


def test_a_step_tells_likelihood_and_error_of_each_face(steps):
    (_, info), (_, likelihood, error, _) = steps
    assert np.ptp(error) > 0.5
    np.testing.assert_allclose(info.negative_log_likelihood, likelihood, rtol=1e-4)
    np.testing.assert_allclose(info.error, error, rtol=1e-4)


def test_training_finds_the_faces(fresh, faces, advance):
    state, errors = fresh, []
    for step in range(150):
        state, info = advance(jax.random.key(step), state, *faces, WARM)
        errors.append(float(info.error.mean()))
    # The mean shape is 2.3 px off: so far is a square of 6 px from its middle.
    assert 1.8 < errors[0] < 2.8
    assert np.mean(errors[-20:]) < 0.5 * errors[0], errors
    assert state.step == 150
