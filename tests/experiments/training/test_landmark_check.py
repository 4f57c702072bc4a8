"""The measures of the landmark net are right where the answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.training import landmark_check
from inpaint_jax.io import data

SIZE, COUNT, POINTS = 8, 60, 68


@pytest.fixture(scope="module")
def faces():
    """Noise, with points that are a linear function of its grey levels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3 * COUNT, SIZE, SIZE, 3), np.uint8)
    grey = images.mean(axis=-1).reshape(3 * COUNT, -1) / 255.0
    matrix = rng.normal(size=(grey.shape[1], POINTS * 2))
    points = 4.0 + 0.3 * (grey @ matrix).reshape(-1, POINTS, 2)
    return images.astype(np.uint8), points.astype(np.float32)


def floats(images):
    return (images / np.float32(127.5) - 1).astype(np.float32)


def test_ridge_finds_a_linear_relation_and_loses_what_is_hidden(faces):
    images, points = faces
    x, y = floats(images), points
    known, test = slice(0, 2 * COUNT), slice(2 * COUNT, None)
    errors = []
    for hidden_rows in (0, SIZE // 2, SIZE - 1):
        mask = np.ones((3 * COUNT, SIZE, SIZE, 1), np.float32)
        mask[:, :hidden_rows] = 0
        guess = landmark_check._ridge(
            x[known], jnp.asarray(mask[known]), y[known], x[test], mask[test]
        )
        errors.append(np.linalg.norm(guess - y[test], axis=-1).mean())
    mean = np.linalg.norm(y[known].mean(axis=0) - y[test], axis=-1).mean()
    assert errors[0] < 0.05 * mean
    assert errors[0] < errors[1] < errors[2] < 1.05 * mean


def test_a_point_is_hidden_where_its_pixel_is():
    mask = np.ones((1, 4, 6, 1), np.float32)
    mask[0, 1, 2] = 0
    points = np.array([[[2.0, 1.0], [2.4, 0.6], [2.6, 1.0], [1.0, 2.0], [9.0, 9.0]]])
    found = landmark_check._is_hidden(points, mask)
    np.testing.assert_array_equal(found, [[True, True, False, False, False]])


def test_errors_are_over_the_distance_of_the_eyes_and_kept_apart():
    truth = np.zeros((1, POINTS, 2), np.float32)
    truth[0, 36:42] = [10.0, 5.0]
    truth[0, 42:48] = [30.0, 5.0]
    points = truth.copy()
    points[0, :10, 0] += 2.0
    hidden = np.zeros((1, POINTS), bool)
    hidden[0, :20] = True
    found = landmark_check._nme(points, truth, hidden)
    assert found == pytest.approx(
        {"all": 10 / 68 * 0.1, "hidden": 0.5 * 0.1, "visible": 0.0}
    )


def test_the_spread_makes_half_of_the_points_lie_where_half_should():
    # Errors of a circular Laplace law, twice as wide as the net says.
    rng = np.random.default_rng(1)
    count = 40
    truth = rng.uniform(10, 50, (count, POINTS, 2)).astype(np.float32)
    radius = rng.gamma(2.0, 2.0, (count, POINTS, 1))
    angle = rng.uniform(0, 2 * np.pi, (count, POINTS, 1))
    error = radius * np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)
    whitening = np.zeros((count, POINTS, 2, 2), np.float32)
    whitening[..., [0, 1], [0, 1]] = 1 / np.sqrt(3)

    def predict(image, mask):
        del image, mask
        return jnp.asarray(truth + error, jnp.float32), jnp.asarray(whitening)

    images = np.zeros((count, SIZE, SIZE, 3), np.uint8)
    names = tuple(map(str, range(count)))
    found = landmark_check.fitted_spread(
        jax.random.key(0),
        predict,
        data.Faces(images, names, ()),
        truth,
    )
    assert found == pytest.approx(2.0, rel=0.05)
