"""The landmark loss is its parts put together by hand, and pulls as they pull."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_jax import losses
from inpaint_jax.images import pixels
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.landmarks.cascade import model_file, prediction
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel
from inpaint_jax.search import estimators, landmark_term
from inpaint_jax.search.problem import Networks, Problem

SIZE, Z_DIM, ROWS = 24, 3, 3
BOX = np.array([[2, 3, 21, 22]], np.int32)
KEY = jax.random.key(0)
Z = np.array([[0.3, -0.5, 0.1], [-0.2, 0.4, -0.6], [0.7, 0.1, 0.5]], np.float32)
TERMS = ("step", "soft", "net")
INPUTS = ("masked", "composite")
ESTIMATED = ("spsa", "es")
# Nothing is left to the defaults, and one program serves many tests.
USUAL = {"gradient": "none", "input": "composite", "loss": "huber"}
USUAL |= {"threshold": 2.5, "threshold_unit": "pixels", "temperature": 8.0}


by_term = pytest.mark.parametrize("term", TERMS)
by_input = pytest.mark.parametrize("input", INPUTS)


def smooth_pictures(count, seed):
    """Sums of a few slow waves: their slopes change little from pixel to pixel."""
    rng = np.random.default_rng(seed)
    place = np.arange(SIZE) / SIZE
    wave = np.cos(np.pi * np.outer(np.arange(4), place))
    strength = rng.normal(size=(count, 3, 4, 4))
    return np.einsum("nckl,ky,lx->nyxc", strength, wave, wave).astype(np.float32)


BASE, DIRECTIONS = 0.2 * smooth_pictures(1, 0), 0.5 * smooth_pictures(Z_DIM, 1)


def generate(z):
    change = z @ jnp.asarray(DIRECTIONS).reshape(Z_DIM, -1)
    return jnp.tanh(BASE + change.reshape(-1, SIZE, SIZE, 3))


NETWORKS = Networks(generate, None)


def face(rng):
    """68 points in the unit square; the eyes are apart."""
    points = rng.uniform(0.1, 0.9, (68, 2))
    points[36:42, 0] = rng.uniform(0.1, 0.3, 6)
    points[42:48, 0] = rng.uniform(0.7, 0.9, 6)
    return points.astype(np.float32)


@functools.cache
def toy_cascade():
    """Two levels that each move the points by a pixel or two."""
    rng = np.random.default_rng(0)
    splits, forest, features = 3, (2, 8), 20
    threshold = rng.normal(0, 20, (*forest, splits))
    leaves = rng.normal(0, 0.06, (*forest, splits + 1, 68, 2))
    return ShapeModel(
        initial=face(rng),
        first=rng.integers(0, features, (*forest, splits), dtype=np.int32),
        second=rng.integers(0, features, (*forest, splits), dtype=np.int32),
        threshold=threshold.astype(np.float32),
        leaves=leaves.astype(np.float32),
        anchor=rng.integers(0, 68, (2, features), dtype=np.int32),
        offset=rng.normal(0, 0.1, (2, features, 2)).astype(np.float32),
    )


NET = np.random.default_rng(1).normal(0, 0.02, (SIZE * SIZE * 4, 136))
soft = jax.jit(functools.partial(prediction.predict_soft, temperature=8.0))


def place_by(net, image, mask):
    """A landmark net of one smooth layer."""
    known = jnp.concatenate([mask * image, mask], axis=-1).reshape(len(image), -1)
    points = SIZE * (0.5 + 0.5 * jnp.tanh(known @ net)).reshape(-1, 68, 2)
    whitening = jnp.broadcast_to(jnp.eye(2), (*points.shape, 2))
    return points, whitening


place = jax.tree_util.Partial(place_by, jnp.asarray(NET, jnp.float32))


def term_of(**changes):
    chosen = landmark_term.Settings(**(USUAL | changes))
    return landmark_term.LandmarkTerm(
        chosen, None if chosen.term == "net" else toy_cascade(), place
    )


@functools.cache
def compiled(**changes):
    """The loss as (key, z, G(z), problem) -> [rows], compiled; counts its traces."""
    loss = term_of(**changes)

    def traced(*arguments):
        traces.append(None)
        return loss(*arguments, NETWORKS)

    traces = []
    compiled = jax.jit(traced)
    return lambda *arguments: np.asarray(compiled(*arguments)), traces


def evaluate(z, problem, *, generated=None, key=KEY, **options):
    loss, _ = compiled(**options)
    return loss(key, z, generate(z) if generated is None else generated, problem)


@functools.cache
def differentiated(**changes):
    loss = term_of(**changes)

    def total(z, key, problem):
        values = loss(key, z, generate(z), problem, NETWORKS)
        return jnp.sum(values), values

    return jax.jit(jax.value_and_grad(total, has_aux=True))


def value_and_slope(z, problem, *, key=KEY, **options):
    """The loss, and its gradient with respect to z through G, row by row."""
    (_, value), slope = differentiated(**options)(z, key, problem)
    return np.asarray(value), np.asarray(slope)


def mask_of_left():
    return (
        np.ones((1, SIZE, SIZE, 1), np.float32)
        * (np.arange(SIZE) >= SIZE // 2)[:, None]
    )


def problem(term, *, seed=0, deviation=None, landmarks=None):
    """An image with half of it missing, and a target a few pixels off."""
    rng = np.random.default_rng(seed)
    image = np.tanh(smooth_pictures(1, 7 + seed))
    if landmarks is None:
        landmarks = mean_face() + 2.0 * rng.normal(size=(1, 68, 2))
    deviation = np.ones(68) if deviation is None else deviation
    target = landmark_term.Target(floats(landmarks), floats(deviation[None]), BOX)
    problem = Problem(image, mask_of_left(), {landmark_term.NAME: target})
    return jax.tree.map(jnp.asarray, problem)


def mean_face():
    """Where the toy cascade starts in the box."""
    return BOX[0, :2] + (BOX[0, 2:] - BOX[0, :2]) * toy_cascade().initial[None]


def floats(x):
    return jnp.asarray(x, jnp.float32)


def judged(image, problem, input):
    """What a face is judged by, by hand: (image, mask)."""
    mask = np.asarray(problem.mask).repeat(len(image), axis=0)
    if input == "masked":
        return floats(mask * np.asarray(image)), floats(mask)
    composite = np.where(mask > 0, np.asarray(problem.image), np.asarray(image))
    return floats(composite), floats(np.ones_like(mask))


# What the loss is.


@pytest.fixture
def dlibs_points(tmp_path):
    """(image) -> whole-pixel points of dlib itself, with the toy cascade's file."""
    pytest.importorskip("dlib")
    file = tmp_path / "toy.dat"
    file.write_bytes(model_file.serialise(toy_cascade()))
    predictor = dlib_host.Predictor(str(file))

    def predict(image):
        images = np.asarray(pixels.to_bytes(floats(image)))
        points, status = predictor.predict(images, BOX.repeat(len(images), axis=0))
        assert not status.any()
        return points

    return predict


@by_input
def test_the_count_is_a_count_of_dlibs_points(input, dlibs_points):
    here = problem("step")
    points = dlibs_points(judged(generate(Z), here, input)[0])
    off = np.abs(points - np.asarray(here.targets["landmark"].landmarks)) > 2.5
    counted = evaluate(Z, here, term="step", input=input)
    np.testing.assert_array_equal(counted, 0.5 * off.sum(axis=(1, 2)))
    assert len(set(counted.tolist())) > 1


def by_hand(name, points, here):
    """The loss of a name with the arguments that it should get."""
    wanted = jnp.broadcast_to(here.targets["landmark"].landmarks, points.shape)
    weights = jnp.broadcast_to(
        1.0 / here.targets["landmark"].deviation, points.shape[:2]
    )
    if name == "proportions":
        return losses.landmark.proportions(points, wanted)
    name = "procrustes" if name == "shape" else name
    options = {} if name == "procrustes" else {"threshold": 2.5}
    if name == "huber":
        options["delta"] = landmark_term._HUBER_DELTA
    return getattr(losses.landmark, name)(points, wanted, weights, **options)


VARIED = np.random.default_rng(3).uniform(0.5, 3.0, 68)


@pytest.mark.parametrize(
    ("name", "input"),
    [
        ("hinge", "composite"),
        ("huber", "composite"),
        ("huber", "masked"),
        ("shape", "composite"),
        ("proportions", "composite"),
    ],
)
def test_each_loss_of_the_net_is_the_one_of_its_name(name, input):
    here = problem("net", deviation=VARIED)
    points, _ = place(*judged(generate(Z), here, input))
    expected = by_hand(name, points, here)
    got = evaluate(Z, here, term="net", loss=name, input=input)
    assert np.all(got > 0)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


@by_input
def test_the_soft_loss_is_that_of_the_soft_cascade(input):
    here = problem("soft", deviation=VARIED)
    image, _ = judged(generate(Z), here, input)
    box = jnp.asarray(BOX.repeat(ROWS, axis=0))
    points = soft(toy_cascade(), image, box)
    got = evaluate(Z, here, term="soft", input=input)
    assert np.all(got > 0)
    np.testing.assert_allclose(got, by_hand("huber", points, here), rtol=1e-4)


@by_term
def test_a_masked_face_is_judged_by_what_is_known_of_it(term):
    here, generated = problem(term), np.asarray(generate(Z))
    loss = functools.partial(evaluate, Z, term=term, input="masked")
    usual = loss(here, generated=generated)
    hole = np.asarray(here.mask) == 0
    other_hole = np.where(hole, -generated, generated)
    np.testing.assert_array_equal(loss(here, generated=other_hole), usual)
    other_image = here._replace(image=-here.image)
    np.testing.assert_array_equal(loss(other_image, generated=generated), usual)
    other_known = np.where(hole, generated, -generated)
    assert np.all(loss(here, generated=other_known) != usual)


@by_term
def test_a_composite_is_judged_by_the_image_and_the_hole_of_the_face(term):
    here, generated = problem(term), np.asarray(generate(Z))
    loss = functools.partial(evaluate, Z, term=term, input="composite")
    usual = loss(here, generated=generated)
    hole = np.asarray(here.mask) == 0
    other_known = np.where(hole, generated, -generated)
    np.testing.assert_array_equal(loss(here, generated=other_known), usual)
    damaged = here._replace(image=jnp.where(hole, -1.0, here.image))
    np.testing.assert_array_equal(loss(damaged, generated=generated), usual)
    other_hole = np.where(hole, -generated, generated)
    assert np.any(loss(here, generated=other_hole) != usual)
    other_image = here._replace(image=-here.image)
    assert np.all(loss(other_image, generated=generated) != usual)


def stays(net, image, mask):
    """A landmark net that holds its points as weights."""
    del mask
    points = jnp.broadcast_to(net, (len(image), 68, 2))
    return points, jnp.broadcast_to(jnp.eye(2), (*points.shape, 2))


def pulls(name, deviation):
    """Length of the gradient of each point, all of them off by (3, 4) pixels."""
    net = mean_face() + (3.0, 4.0)
    here = problem("net", deviation=deviation, landmarks=mean_face())
    chosen = landmark_term.Settings(**(USUAL | {"term": "net", "loss": name}))

    def total(net):
        place = jax.tree_util.Partial(stays, net)
        loss = landmark_term.LandmarkTerm(chosen, None, place)
        return jnp.sum(loss(KEY, jnp.asarray(Z), generate(Z), here, NETWORKS))

    return np.linalg.norm(jax.jit(jax.grad(total))(floats(net))[0], axis=-1)


@pytest.mark.parametrize("name", ["hinge", "huber"])
def test_a_point_pulls_as_the_inverse_of_its_deviation(name):
    deviation = np.random.default_rng(0).uniform(0.5, 5.0, 68)
    pull = pulls(name, deviation)
    np.testing.assert_allclose(pull / pull[0], deviation[0] / deviation, rtol=1e-5)


def test_no_point_is_so_sure_that_it_silences_the_others():
    deviation = np.ones(68)
    deviation[:2] = 0.0, 1e-6
    pull = pulls("hinge", deviation)
    assert pull[0] == pull[1] < 10 * pull[2]


def with_eyes_apart(distance):
    wanted = mean_face()
    for eye, centre in [(slice(36, 42), 4.0), (slice(42, 48), 4.0 + distance)]:
        middle = wanted[:, eye].mean(axis=1, keepdims=True)
        wanted[:, eye] += (centre, 8.0) - middle
    return wanted


@pytest.mark.parametrize("name", ["step", "hinge", "huber"])
def test_a_threshold_in_eyes_is_one_in_pixels(name):
    kind = {"term": "step"} if name == "step" else {"term": "net", "loss": name}
    in_eyes = {**kind, "threshold": 0.25, "threshold_unit": "eyes"}
    here = problem(kind["term"], landmarks=with_eyes_apart(10.0))
    in_pixels = evaluate(Z, here, **kind)
    np.testing.assert_allclose(evaluate(Z, here, **in_eyes), in_pixels, rtol=1e-5)
    here = problem(kind["term"], landmarks=with_eyes_apart(15.0))
    assert np.all(evaluate(Z, here, **in_eyes) < evaluate(Z, here, **kind))


@by_term
def test_rows_do_not_interact(term):
    here = problem(term)
    together = evaluate(Z, here, term=term)
    assert len(set(together.tolist())) == ROWS
    np.testing.assert_allclose(
        evaluate(Z[::-1], here, term=term), together[::-1], rtol=1e-5
    )
    # A face that is no picture has no loss, and takes none from the others.
    generated = np.array(generate(Z))
    generated[1] = np.nan
    broken = evaluate(Z, here, generated=generated, term=term)
    assert np.isnan(broken[1])
    np.testing.assert_allclose(broken[[0, 2]], together[[0, 2]], rtol=1e-5)


@by_term
def test_images_share_a_program(term):
    first = evaluate(Z, problem(term), term=term)
    _, traces = compiled(term=term)
    assert len(traces) == 1
    second = evaluate(Z, problem(term, seed=1), term=term)
    assert len(traces) == 1
    assert np.all(first != second)


# How it pulls.


def test_the_count_has_no_gradient():
    count, slope = value_and_slope(Z, problem("step"), term="step")
    assert np.all(count > 0)
    np.testing.assert_array_equal(slope, np.zeros_like(Z))


@by_input
@pytest.mark.parametrize("term", ["soft", "net"])
def test_the_loss_rises_by_its_gradient_along_a_way(term, input):
    here = problem(term)
    slope_at = functools.partial(value_and_slope, problem=here, term=term, input=input)
    _, slope = slope_at(Z)
    assert np.all(np.linalg.norm(slope, axis=1) > 0.05)
    # The slope jumps where a feature crosses from pixel to pixel, so that a difference
    # quotient is not the derivative; what it sums up to is not affected by that.
    steps = 100
    way = 0.1 * slope / np.linalg.norm(slope, axis=1, keepdims=True)
    middles = [Z + way * (i + 0.5) / steps for i in range(steps)]
    rise = sum(np.sum(slope_at(z)[1] * way, axis=1) for z in middles) / steps
    ahead, behind = (evaluate(z, here, term=term, input=input) for z in (Z + way, Z))
    np.testing.assert_allclose(rise, ahead - behind, rtol=0.01)


@pytest.mark.parametrize("name", ESTIMATED)
def test_the_count_moves_z_by_an_estimate(name):
    options = {"term": "step", "gradient": name, "pairs": 4, "radius": 0.5}
    count, slope = value_and_slope(Z, problem("step"), **options)
    np.testing.assert_array_equal(count, evaluate(Z, problem("step"), term="step"))
    assert np.all(np.linalg.norm(slope, axis=1) > 0)


@pytest.mark.parametrize("name", ESTIMATED)
def test_an_estimate_is_that_of_its_name(name):
    # Of the net's loss, which costs less to compile than the count.
    options = {"pairs": 3, "radius": 0.2}
    here = problem("net")
    loss, _ = compiled(term="net")
    by_name = {"spsa": estimators.spsa, "es": estimators.evolution_strategies}

    def total(z):
        score = lambda z: term_of(term="net")(KEY, z, generate(z), here, NETWORKS)
        return jnp.sum(by_name[name](KEY, z, score=score, **options))

    expected = jax.jit(jax.grad(total))(jnp.asarray(Z))
    options |= {"term": "net", "gradient": name}
    _, slope = value_and_slope(Z, here, **options)
    np.testing.assert_allclose(slope, expected, rtol=1e-3, atol=1e-4)
    _, redrawn = value_and_slope(Z, here, key=jax.random.key(1), **options)
    assert np.all(np.linalg.norm(redrawn - slope, axis=1) > 1e-2)


@pytest.mark.parametrize(
    ("term", "gradient", "moves"),
    [
        ("step", "none", False),
        ("step", "spsa", True),
        ("step", "es", True),
        ("soft", "none", True),
        ("net", "none", True),
    ],
)
def test_only_the_bare_count_does_not_move(term, gradient, moves):
    assert landmark_term.Settings(term=term, gradient=gradient).has_gradient == moves


# Towards what.


def test_the_cascades_target_is_what_dlib_places(dlibs_points):
    image = floats(np.tanh(smooth_pictures(1, 5)))
    target_of = jax.jit(landmark_term.target_of_cascade)
    target = target_of(toy_cascade(), image, jnp.asarray(BOX))
    np.testing.assert_array_equal(target.landmarks, dlibs_points(image))
    assert np.any(np.abs(target.landmarks - mean_face()) > 1)
    np.testing.assert_array_equal(target.box, BOX)
    assert target.deviation.shape == (1, 68) and np.ptp(target.deviation) == 0


target_of_net = jax.jit(landmark_term.target_of_net)


def test_the_nets_target_knows_the_deviation_along_an_axis():
    rng = np.random.default_rng(0)
    whitening = np.tril(rng.normal(size=(1, 68, 2, 2)))
    whitening[..., [0, 1], [0, 1]] = rng.uniform(0.2, 2.0, (1, 68, 2))
    landmarks = floats(mean_face())
    target = target_of_net(landmarks, floats(whitening), None)
    covariance = np.linalg.inv(np.swapaxes(whitening, -1, -2) @ whitening)
    mean = 0.5 * np.trace(covariance, axis1=-2, axis2=-1)
    np.testing.assert_allclose(target.deviation, np.sqrt(mean), rtol=1e-4)
    np.testing.assert_array_equal(target.landmarks, landmarks)
    # With a cascade it has a box as well.
    target = target_of_net(landmarks, floats(whitening), toy_cascade())
    expected = landmark_term.box_around(toy_cascade(), landmarks)
    np.testing.assert_array_equal(target.box, expected)
    np.testing.assert_array_equal(target.landmarks, landmarks)


@settings(max_examples=30, deadline=None)
@given(
    corner=st.tuples(st.integers(-40, 40), st.integers(-40, 40)),
    side=st.integers(2, 200),
    noise=st.sampled_from([0.0, 0.5]),
)
def test_a_box_is_found_again_by_the_mean_shape_in_it(corner, side, noise):
    initial = toy_cascade().initial
    landmarks = np.array(corner) + side * initial[None]
    rng = np.random.default_rng(side)
    landmarks = landmarks + rng.uniform(-noise, noise, landmarks.shape)
    box = landmark_term.box_around(toy_cascade(), floats(landmarks))
    expected = np.array([[*corner, *(c + side for c in corner)]])
    np.testing.assert_allclose(box, expected, atol=1 if noise else 0)


DEGENERATE = {
    "one point": np.full((68, 2), 7.0),
    "upside down": 20.0 - 15.0 * toy_cascade().initial,
    "NaN": np.full((68, 2), np.nan),
    "infinite": np.full((68, 2), np.inf),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_points_that_are_no_face_are_no_target(name):
    whitening = floats(np.broadcast_to(np.eye(2), (1, 68, 2, 2)))
    target = target_of_net(floats(DEGENERATE[name][None]), whitening, toy_cascade())
    assert target.box.shape == (1, 4)
    assert not np.isfinite(target.landmarks).any()
