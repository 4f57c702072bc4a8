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

SIDE, VIEWS = 64, 300
LIGHT, TURN, ZOOM, SHIFT = 0.1, 25.0, 1.25, 10.24
# On a mirrored face: the ends of the jaw and its middle, the brows, the nose, the outer
# and the inner corners of the eyes, and those of the mouth.
OTHER_SIDE = {0: 16, 8: 8, 17: 26, 27: 27, 31: 35, 36: 45, 39: 42, 48: 54, 60: 64}


@pytest.fixture(scope="module")
def ramps():
    """Landmarks, and images whose red is x, green y and blue 1, from 0 to 1."""
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(16, SIDE - 17, (VIEWS, 68, 2)).astype(np.float32)
    y, x = np.mgrid[:SIDE, :SIDE] / (SIDE - 1)
    image = np.stack([x, y, np.ones_like(x)], axis=-1)
    return np.tile(image, (VIEWS, 1, 1, 1)).astype(np.float32), landmarks


MOVES = train_landmark_net.Moves(TURN, ZOOM, SHIFT / SIDE)
view = quickly(functools.partial(train_landmark_net.random_view, moves=MOVES))


@pytest.fixture(scope="module")
def viewed(ramps):
    return [np.asarray(x) for x in view(jax.random.key(3), *ramps)]


def at(image, points):
    """The image between its pixels, by a loop over points."""
    found = []
    for x, y in points:
        i, j = int(y), int(x)
        a, b = y - i, x - j
        rows = (1 - b) * image[i : i + 2, j] + b * image[i : i + 2, j + 1]
        found.append((1 - a) * rows[0] + a * rows[1])
    return np.array(found)


def inside(points):
    return ((points > 1) & (points < SIDE - 3)).all(axis=1)


@pytest.fixture(scope="module")
def undone(viewed):
    """The colours of each view at its points that lie inside."""
    found = []
    for image, _, after in zip(*viewed, strict=True):
        seen = at(image, after[inside(after)])
        # Red and green are contrast * place + brightness, blue their sum.
        assert np.ptp(image[..., 2]) < 1e-6
        found.append(seen)
    return found


def lit(seen, landmarks):
    """Contrast and brightness that explain the colours best, and the largest rest."""
    values, rest = seen[:, :2].T.ravel(), landmarks.T.ravel() / (SIDE - 1)
    design = np.stack([rest, np.ones_like(rest)], axis=1)
    (contrast, brightness), *_ = np.linalg.lstsq(design, values)
    return contrast, brightness, np.abs(design @ (contrast, brightness) - values).max()


@pytest.fixture(scope="module")
def explained(ramps, viewed, undone):
    """(mirrored, contrast, brightness) of each view, and its points before."""
    found = []
    for seen, before, after in zip(undone, ramps[1], viewed[2], strict=True):
        within = inside(after)
        both = []
        for mirrored in (False, True):
            points = before[annotation.MIRRORED] if mirrored else before
            both.append((lit(seen, points[within]), mirrored, points))
        (contrast, brightness, left), mirrored, points = min(
            both, key=lambda each: each[0][2]
        )
        assert left < 2e-3
        np.testing.assert_allclose(seen[:, 2], contrast + brightness, atol=1e-3)
        found.append((mirrored, contrast, brightness, points))
    return found


def test_points_lie_where_their_pixels_went(explained, undone):
    # Of each view: the colours at its points are those that were there before.
    assert len(explained) == VIEWS
    assert min(len(seen) for seen in undone) > 20


def test_points_of_a_mirrored_face_bear_the_names_of_the_other_side(explained, ramps):
    for (mirrored, *_, shown), before in zip(explained, ramps[1], strict=True):
        for point, other in OTHER_SIDE.items():
            for here, there in ((point, other), (other, point)):
                np.testing.assert_array_equal(
                    shown[here], before[there if mirrored else here]
                )


def test_half_of_the_faces_are_mirrored(explained):
    # 150 expected, standard deviation 9.
    assert 115 < sum(mirrored for mirrored, *_ in explained) < 185


@pytest.fixture(scope="module")
def moves(explained, viewed):
    """Turn in degrees, zoom, and shift of the centre of each view, from its points."""
    found = []
    for (mirrored, _, _, before), after in zip(explained, viewed[2], strict=True):
        centred = before - (SIDE - 1) / 2
        x = centred[:, 0] * (-1 if mirrored else 1)
        source = x + 1j * centred[:, 1]
        design = np.stack([source, np.ones_like(source)], axis=1)
        target = (after - (SIDE - 1) / 2) @ [1, 1j]
        (linear, shift), *_ = np.linalg.lstsq(design, target)
        assert np.abs(design @ [linear, shift] - target).max() < 1e-3
        turn = np.rad2deg(np.angle(linear))
        found.append((turn, np.abs(linear), shift.real, shift.imag))
    return np.array(found)


def test_small_moves_of_the_usual_training_are_less_than_a_pixel(ramps):
    usual = functools.partial(
        train_landmark_net.random_view, moves=train_landmark_net.Moves()
    )
    _, _, after = quickly(usual)(jax.random.key(3), *ramps)
    before = ramps[1]
    mirrored = before[:, annotation.MIRRORED] * [-1, 1] + [SIDE - 1, 0]
    off = np.minimum(
        *(np.abs(after - points).max(axis=(1, 2)) for points in (before, mirrored))
    )
    assert 0.8 < off.max() <= 1.001


def test_moves_cover_their_range(moves):
    turn, zoom, right, down = moves.T
    for values, most in ((turn, TURN), (np.log(zoom), np.log(ZOOM))):
        assert 0.6 * most < np.abs(values).max() < 1.01 * most
        assert abs(np.mean(values)) < 0.1 * most
    for values in (right, down):
        assert 0.6 * SHIFT < np.abs(values).max() <= SHIFT
        assert abs(np.mean(values)) < 0.1 * SHIFT
    assert np.abs(np.corrcoef(moves.T) - np.eye(4)).max() < 0.2


def test_small_moves_are_the_more_frequent(moves):
    # Of a product of two uniform numbers, the share below a half is (1 + log 2) / 2.
    right = np.abs(moves[:, 2])
    assert 0.78 < (right < SHIFT / 2).mean() < 0.91


def test_the_mask_is_where_the_view_shows_the_image(explained, viewed, moves):
    _, known, _ = viewed
    rows, columns = np.mgrid[:SIDE, :SIDE]
    here = columns + 1j * rows - (SIDE - 1) / 2 * (1 + 1j)
    for mask, (turn, zoom, *shift) in zip(known, moves, strict=True):
        move = zoom * np.exp(1j * np.deg2rad(turn))
        there = (here - shift[0] - 1j * shift[1]) / move
        farthest = np.maximum(np.abs(there.real), np.abs(there.imag))
        np.testing.assert_array_equal(mask[..., 0][farthest < SIDE / 2 - 0.01], 1)
        np.testing.assert_array_equal(mask[..., 0][farthest > SIDE / 2 + 0.01], 0)
    assert known.min() == 0


def test_light_covers_its_range(explained):
    contrast, brightness = np.array([each[1:3] for each in explained]).T
    for values, middle in ((contrast, 1.0), (brightness, 0.0)):
        assert np.abs(values - middle).max() <= LIGHT + 2e-3
        assert values.min() < middle - 0.9 * LIGHT
        assert values.max() > middle + 0.9 * LIGHT
    assert abs(np.corrcoef(contrast, brightness)[0, 1]) < 0.3


# Training.

BATCH = 30
TINY = landmark_net.Architecture(image_size=16, features=4, hidden=8)
RATE = 0.02
WARM = 0.025  # share of the training after which the rate is highest
# Its first step is that of plain gradient descent.
OPTIONS = {"architecture": TINY, "optimizer": optax.sgd(RATE, momentum=0.9)}
STEP = OPTIONS | {"moves": MOVES}


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
    return quickly(functools.partial(train_landmark_net.train_step, **STEP))


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
    image, known, truth = view(key_view, images / np.float32(127.5) - 1, landmarks)
    mask = known * masks.sample(key_mask, BATCH, (16, 16))
    assert known.min() == 0
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


def test_training_finds_the_faces(fresh, faces):
    usual = OPTIONS | {"moves": train_landmark_net.Moves()}
    advance = quickly(functools.partial(train_landmark_net.train_step, **usual))
    state, errors = fresh, []
    for step in range(90):
        state, info = advance(jax.random.key(step), state, *faces, WARM)
        errors.append(float(info.error.mean()))
    # The mean shape is 2.3 px off: so far is a square of 6 px from its middle.
    assert 1.8 < errors[0] < 2.8
    assert np.mean(errors[-5:]) < 0.5 * errors[0], errors
    assert state.step == 90
