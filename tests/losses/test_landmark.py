"""Landmark losses equal loops in float64; what should not matter does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from inpaint_jax import losses

step = jax.jit(losses.landmark.step)
hinge = jax.jit(losses.landmark.hinge)
huber = jax.jit(losses.landmark.huber, static_argnames="delta")
shape = jax.jit(losses.landmark.procrustes)
proportions = jax.jit(losses.landmark.proportions)
# (landmarks, target, weights) -> [batch]; those with a slope.
SMOOTH = {
    "hinge": lambda p, q, w: hinge(p, q, w, threshold=1.5),
    "huber": lambda p, q, w: huber(p, q, w, threshold=1.5, delta=3.0),
    "shape": shape,
    "proportions": lambda p, q, w: proportions(p, q),
}
WEIGHTED = {name: SMOOTH[name] for name in ("hinge", "huber", "shape")}
ALL = {"step": lambda p, q, w: step(p, q), **SMOOTH}


def named(table):
    return pytest.mark.parametrize("loss", table.values(), ids=table.keys())


def floats(x):
    return jnp.asarray(x, jnp.float32)


def faces(seed=0, batch=3):
    """Two faces of 68 random points each, a few pixels apart, and weights."""
    rng = np.random.default_rng(seed)
    target = rng.uniform(0, 64, (batch, 68, 2))
    # So that the eyes are apart.
    target[:, 36:42, 0] -= 40
    landmarks = target + rng.normal(size=target.shape) * 3
    weights = rng.uniform(0, 2, (batch, 68))
    weights[:, 5:9] = 0
    return landmarks, target, weights


def moved(points, scale, angle, shift):
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return scale * points @ turn + np.asarray(shift)


similarities = st.tuples(
    st.floats(0.2, 4),
    st.floats(-np.pi, np.pi),
    st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
)


def excess(landmarks, target, threshold):
    distance = np.sqrt(np.sum((landmarks - target) ** 2, axis=-1))
    return np.maximum(distance - np.reshape(threshold, (-1, 1)), 0)


def slope(loss, landmarks, target, weights):
    target, weights = floats(target), floats(weights)
    gradient = jax.grad(lambda p: jnp.sum(loss(p, target, weights)))
    return np.asarray(gradient(floats(landmarks)))


def count(landmarks, target, threshold):
    total = 0.0
    for (x, y), (u, v) in zip(landmarks, target, strict=True):
        total += 0.5 * (abs(x - u) > threshold) + 0.5 * (abs(y - v) > threshold)
    return total


@pytest.mark.parametrize("threshold", [3.0, 1.0])
def test_step_equals_a_loop(threshold):
    rng = np.random.default_rng(1)
    # Whole pixels, as dlib gives them: many distances are exactly the threshold.
    landmarks = rng.integers(0, 12, (4, 68, 2)).astype(np.float32)
    target = rng.integers(0, 12, (4, 68, 2)).astype(np.float32)
    expected = [count(a, b, threshold) for a, b in zip(landmarks, target, strict=True)]
    got = losses.landmark.step(
        jnp.asarray(landmarks), jnp.asarray(target), threshold=threshold
    )
    np.testing.assert_array_equal(got, expected)


def test_step_counts_coordinates_beyond_three_pixels():
    target = jnp.zeros((5, 2, 2))
    landmarks = jnp.array(
        [
            [[3.0, -3.0], [3.0, 0.0]],
            [[3.0001, 0.0], [0.0, 0.0]],
            [[0.0, -4.0], [0.0, 0.0]],
            [[4.0, -4.0], [0.0, 0.0]],
            [[4.0, -4.0], [99.0, -99.0]],
        ]
    )
    got = step(landmarks, target)
    np.testing.assert_array_equal(got, [0, 0.5, 0.5, 1, 2])


def test_step_lies_between_zero_and_the_number_of_points():
    target = floats(faces()[1])
    np.testing.assert_array_equal(step(target, target), np.zeros(3))
    np.testing.assert_array_equal(step(target + 100.0, target), np.full(3, 68))


def test_step_has_no_gradient():
    landmarks, target, weights = faces()
    landmarks[0, 0, 0] = target[0, 0, 0] + 3.0
    landmarks[2, 1] = np.nan
    np.testing.assert_array_equal(
        slope(ALL["step"], landmarks, target, weights), np.zeros((3, 68, 2))
    )


def test_hinge_equals_a_loop():
    landmarks, target, weights = faces()
    expected = []
    for p, q, w in zip(landmarks, target, weights, strict=True):
        total = 0.0
        for i in range(68):
            total += w[i] * max(np.hypot(*(p[i] - q[i])) - 1.5, 0)
        expected.append(total / w.sum())
    got = hinge(floats(landmarks), floats(target), floats(weights), threshold=1.5)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_huber_equals_its_pieces():
    landmarks, target, weights = faces()
    beyond = excess(landmarks, target, 1.5)
    assert 0 < np.mean(beyond[beyond > 0] < 3) < 1
    cost = np.where(beyond < 3, beyond**2 / 6, beyond - 1.5)
    expected = np.average(cost, axis=1, weights=weights)
    got = SMOOTH["huber"](floats(landmarks), floats(target), floats(weights))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "slopes"),
    [("hinge", [0, 0, 1, 1, 1]), ("huber", [0, 0, 0.2 / 3, 1, 1])],
)
def test_slopes_along_a_ray(name, slopes):
    # At the target, inside the threshold, just beyond it, where Huber's pieces meet,
    # and far out.
    distance = np.array([0, 1, 1.7, 4.5, 90])
    points = np.zeros((5, 1, 2))
    points[:, 0, 1] = distance
    got = slope(SMOOTH[name], points, np.zeros((5, 1, 2)), np.ones((5, 1)))
    expected = np.stack([np.zeros(5), slopes], axis=-1)
    np.testing.assert_allclose(got[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("threshold", [0.0, 3.0])
def test_points_at_their_target_cost_nothing_and_stay(threshold):
    _, target, weights = faces()

    def loss(p, q, w):
        return hinge(p, q, w, threshold=threshold)

    value = loss(floats(target), floats(target), floats(weights))
    np.testing.assert_array_equal(value, np.zeros(3))
    np.testing.assert_array_equal(slope(loss, target, target, weights), 0 * target)


def test_a_face_can_have_its_own_threshold():
    landmarks, target, weights = faces()
    each = np.array([0.5, 2.0, 4.0])
    got = losses.landmark.hinge(
        floats(landmarks), floats(target), floats(weights), threshold=floats(each)
    )
    expected = np.average(excess(landmarks, target, each), axis=1, weights=weights)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_threshold_in_shares_of_the_eyes_scales_with_the_face():
    landmarks, target, weights = faces()

    def loss(scale):
        p, q = floats(scale * landmarks), floats(scale * target)
        threshold = losses.landmark.fraction_of_eye_distance(q, 0.05)
        return losses.landmark.hinge(p, q, floats(weights), threshold=threshold)

    assert np.all(np.asarray(loss(1.0)) > 0)
    np.testing.assert_allclose(loss(2.5), 2.5 * np.asarray(loss(1.0)), rtol=1e-4)


def test_share_of_eyes_is_a_share_of_their_distance():
    target = np.zeros((1, 68, 2))
    target[:, 36:42] = [10, 20]
    target[:, 42:48] = [40, 60]
    got = losses.landmark.fraction_of_eye_distance(floats(target), 0.1)
    np.testing.assert_allclose(got, [5.0], rtol=1e-6)


@pytest.mark.parametrize("delta", [0.0, -1.0, np.nan])
def test_huber_refuses_a_delta_that_is_not_positive(delta):
    p, q, w = map(floats, faces())
    with pytest.raises(ValueError, match=str(delta)):
        losses.landmark.huber(p, q, w, threshold=1.0, delta=delta)


def best_similarity(p, q, w):
    """Least squares over (a, b, s, t): u = a x - b y + s, v = b x + a y + t."""
    rows, right, root = [], [], []
    for (x, y), (u, v), weight in zip(p, q, w, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        right += [u, v]
        root += [np.sqrt(weight)] * 2
    root = np.array(root)
    rows, right = np.array(rows) * root[:, None], np.array(right) * root
    solution = np.linalg.lstsq(rows, right)[0]
    return np.sum((rows @ solution - right) ** 2) / np.sum(w)


def test_shape_is_what_least_squares_leaves():
    landmarks, target, weights = faces()
    landmarks = moved(landmarks, 1.7, 0.6, [30, -8])
    left = [
        best_similarity(*face) for face in zip(landmarks, target, weights, strict=True)
    ]
    eyes = target[:, 36:42].mean(1) - target[:, 42:48].mean(1)
    got = shape(floats(landmarks), floats(target), floats(weights))
    np.testing.assert_allclose(got, left / np.sum(eyes**2, axis=-1), rtol=1e-4)


@settings(max_examples=15, deadline=None)
@given(similarities)
@named({name: SMOOTH[name] for name in ("shape", "proportions")})
def test_a_similarity_of_the_landmarks_changes_nothing(loss, similarity):
    landmarks, target, weights = faces()
    before = loss(floats(landmarks), floats(target), floats(weights))
    other = moved(landmarks, *similarity)
    got = loss(floats(other), floats(target), floats(weights))
    np.testing.assert_allclose(got, before, rtol=1e-3)


@settings(max_examples=15, deadline=None)
@given(similarities)
def test_shape_does_not_depend_on_the_unit_of_the_target(similarity):
    landmarks, target, weights = faces()
    before = shape(floats(landmarks), floats(target), floats(weights))
    got = shape(floats(landmarks), floats(moved(target, *similarity)), floats(weights))
    np.testing.assert_allclose(got, before, rtol=1e-3)


def test_a_mirrored_face_has_another_shape():
    _, target, weights = faces()
    got = shape(floats(target * [-1, 1]), floats(target), floats(weights))
    assert np.all(np.asarray(got) > 0.01)


PARTS = [slice(36, 42), slice(42, 48), slice(27, 36), slice(48, 68)]


def test_proportions_equal_a_loop():
    def size(points):
        centre = sum(points) / len(points)
        square = sum(np.sum((point - centre) ** 2) for point in points)
        return np.sqrt(square / len(points))

    landmarks, target, _ = faces()
    expected = [
        sum(
            np.log(size(p[part]) / size(p) / (size(q[part]) / size(q))) ** 2
            for part in PARTS
        )
        for p, q in zip(landmarks, target, strict=True)
    ]
    got = proportions(floats(landmarks), floats(target))
    np.testing.assert_allclose(got, expected, rtol=1e-3)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_proportions_tell_when_one_part_grows_in_its_place(part, factor):
    # Small parts of a large face, so that the face keeps its size.
    target = np.random.default_rng(2).uniform(-100, 100, (1, 68, 2))
    for each in PARTS:
        target[:, each] *= 0.02
    landmarks = target.copy()
    centre = target[:, part].mean(axis=1, keepdims=True)
    landmarks[:, part] = centre + factor * (target[:, part] - centre)
    got = proportions(floats(landmarks), floats(target))
    np.testing.assert_allclose(got, [np.log(2) ** 2], rtol=1e-2)


def test_a_mouth_turned_in_its_place_keeps_its_proportions_but_not_the_shape():
    _, target, weights = faces()
    landmarks = target.copy()
    mouth = target[:, 48:]
    centre = mouth.mean(axis=1, keepdims=True)
    landmarks[:, 48:] = centre + moved(mouth - centre, 1, 1.5, [0, 0])
    got = proportions(floats(landmarks), floats(target))
    np.testing.assert_allclose(got, np.zeros(3), atol=1e-9)
    assert np.all(shape(floats(landmarks), floats(target), floats(weights)) > 0.01)


@named(SMOOTH)
def test_a_face_is_no_distance_from_itself(loss):
    _, target, weights = faces()
    got = loss(floats(target), floats(target), floats(weights))
    np.testing.assert_allclose(got, np.zeros(3), atol=1e-9)


@named(WEIGHTED)
def test_the_scale_of_the_weights_does_not_matter(loss):
    landmarks, target, weights = faces()
    before = loss(floats(landmarks), floats(target), floats(weights))
    got = loss(floats(landmarks), floats(target), floats(1e-6 * weights))
    np.testing.assert_allclose(got, before, rtol=1e-5)


@named(WEIGHTED)
def test_a_point_without_weight_does_not_matter(loss):
    landmarks, target, weights = faces()
    before = loss(floats(landmarks), floats(target), floats(weights))
    assert not weights[:, 5:9].any()
    landmarks[:, 5:9] += 40
    got = loss(floats(landmarks), floats(target), floats(weights))
    np.testing.assert_allclose(got, before, rtol=1e-5)
    assert not slope(loss, landmarks, target, weights)[:, 5:9].any()


@named(WEIGHTED)
def test_without_any_weight_there_is_no_loss_and_no_slope(loss):
    landmarks, target, weights = faces()
    weights[1] = 0
    got = loss(floats(landmarks), floats(target), floats(weights))
    np.testing.assert_array_equal(np.asarray(got) == 0, [False, True, False])
    gradient = slope(loss, landmarks, target, weights)
    np.testing.assert_array_equal(
        np.any(gradient != 0, axis=(1, 2)), [True, False, True]
    )


@named(SMOOTH)
def test_gradients_agree_with_finite_differences(loss, standard_promotion):
    landmarks, target, weights = map(floats, faces(seed=4, batch=2))
    check_grads(
        lambda p: 100 * loss(p, target, weights),
        (landmarks,),
        order=1,
        modes=["rev"],
        eps=1e-2,
        atol=2e-2,
        rtol=2e-2,
    )


@named(SMOOTH)
@pytest.mark.parametrize("spread", [0.0, 1e-6, 1e-3, 0.1])
def test_gradients_are_finite_where_all_points_are_one(loss, spread):
    _, target, weights = faces()
    landmarks = 20 + spread * np.random.default_rng(5).normal(size=target.shape)
    assert np.isfinite(slope(loss, landmarks, target, weights)).all()
    assert np.isfinite(loss(floats(landmarks), floats(target), floats(weights))).all()


@named(ALL)
def test_a_face_with_a_nan_is_nan_and_disturbs_nobody(loss):
    landmarks, target, weights = map(floats, faces(batch=4))
    before = np.array(loss(landmarks, target, weights))
    # Point 6 has no weight, and is in no part whose size is compared.
    landmarks = landmarks.at[1, 6, 0].set(jnp.nan)
    target = target.at[3, 6, 1].set(jnp.nan)
    before[[1, 3]] = np.nan
    np.testing.assert_allclose(loss(landmarks, target, weights), before, rtol=1e-6)


@named(ALL)
def test_vmap_agrees_with_the_batch(loss):
    landmarks, target, weights = map(floats, faces())
    alone = jax.vmap(lambda p, q, w: loss(p[None], q[None], w[None])[0])
    np.testing.assert_allclose(
        alone(landmarks, target, weights), loss(landmarks, target, weights), rtol=1e-5
    )
