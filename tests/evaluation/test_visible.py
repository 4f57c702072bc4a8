"""Eyes and sharpness: by loops in NumPy, and in the order in which pictures blur."""

import jax
import numpy as np
import pytest
from skimage import filters

from inpaint_jax.evaluation import visible

SIZE, COUNT = 40, 3
eye_detail, sharpness = jax.jit(visible.eye_detail), jax.jit(visible.sharpness)


def faces(seed=0):
    rng = np.random.default_rng(seed)
    rough = rng.uniform(-1.0, 1.0, (COUNT, SIZE, SIZE, 3))
    return np.stack([filters.gaussian(x, 0.8, channel_axis=-1) for x in rough])


def landmarks(seed=0):
    """Eyes in the upper half, 14 to 18 pixels apart."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, SIZE, (COUNT, 68, 2))
    for eye, x in ((slice(36, 42), 12.0), (slice(42, 48), 28.0)):
        points[:, eye] = rng.normal(0, 1.0, (COUNT, 6, 2)) + [x, 16.0]
    return points


def by_loops(image, points):
    """(contrast, slope) in both windows of one face."""
    centres = [points[36:42].mean(axis=0), points[42:48].mean(axis=0)]
    apart = np.linalg.norm(centres[0] - centres[1])
    grey, found = image.mean(axis=-1), []
    for x, y in centres:
        weights, values, slopes = [], [], []
        for v in range(SIZE):
            for u in range(SIZE):
                far = ((u - x) / (0.24 * apart)) ** 2 + ((v - y) / (0.14 * apart)) ** 2
                right = grey[v, u + 1] - grey[v, u] if u + 1 < SIZE else 0.0
                down = grey[v + 1, u] - grey[v, u] if v + 1 < SIZE else 0.0
                weights.append(max(1 - far, 0.0))
                values.append(grey[v, u])
                slopes.append(np.hypot(right, down))
        mean = np.average(values, weights=weights)
        variance = np.average((np.array(values) - mean) ** 2, weights=weights)
        found += [np.sqrt(variance), np.average(slopes, weights=weights)]
    return np.array(found)


def floats(x):
    return np.asarray(x, np.float32)


def as_jax(*arrays):
    return [jax.numpy.asarray(floats(x)) for x in arrays]


def test_the_detail_of_eyes_is_the_least_of_four_ratios():
    image, reference, points = 0.7 * faces(1), faces(2), landmarks(3)
    expected = [
        (by_loops(one, here) / by_loops(other, here)).min()
        for one, other, here in zip(image, reference, points, strict=True)
    ]
    found = eye_detail(*as_jax(image, reference, points))
    np.testing.assert_allclose(found, expected, rtol=2e-3)


def test_sharpness_is_a_ratio_of_mean_slopes_in_the_region():
    image, reference = faces(1), faces(2)
    region = np.zeros((COUNT, SIZE, SIZE, 1))
    region[:, 5:20, 8:30] = 1.0

    def slope(pictures):
        grey = pictures.mean(axis=-1)
        right = np.diff(grey, axis=2)[:, 5:20, 8:30]
        down = np.diff(grey, axis=1)[:, 5:20, 8:30]
        return np.hypot(right, down).mean(axis=(1, 2))

    found = sharpness(*as_jax(image, reference, region))
    np.testing.assert_allclose(found, slope(image) / slope(reference), rtol=1e-4)
    assert np.isnan(sharpness(*as_jax(image, reference, 0 * region))).all()


@pytest.mark.parametrize("score", ["eyes", "sharpness"])
def test_a_picture_has_less_the_more_it_is_blurred(score):
    reference, last = faces(4), np.full(COUNT, 1.0 + 1e-5)
    third = landmarks(5) if score == "eyes" else np.ones((COUNT, SIZE, SIZE, 1))
    measure = eye_detail if score == "eyes" else sharpness
    for width in (0.0, 0.7, 1.5, 3.0):
        blurred = [filters.gaussian(x, width, channel_axis=-1) for x in reference]
        found = np.asarray(measure(*as_jax(np.stack(blurred), reference, third)))
        assert np.all(found <= last)
        last = found
    assert np.all(last < visible.OPEN)


def test_one_eye_is_not_enough():
    reference, points = faces(6), landmarks(7)
    one_eyed = reference.copy()
    one_eyed[:, :, SIZE // 2 :] = 0.1
    found = eye_detail(*as_jax(one_eyed, reference, points))
    np.testing.assert_allclose(found, 0.0, atol=2e-3)
    mirrored = eye_detail(*as_jax(np.full_like(reference, 0.1), reference, points))
    np.testing.assert_allclose(mirrored, 0.0, atol=2e-3)


def test_a_face_without_landmarks_has_no_number():
    points = landmarks()
    points[1, 40] = np.nan
    found = eye_detail(*as_jax(faces(), faces(), points))
    np.testing.assert_array_equal(np.isnan(found), [False, True, False])
