"""A completion of a toy generator's own image finds it, and ranks what it found."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax import losses
from inpaint_jax.errors import InputError
from inpaint_jax.images import masks
from inpaint_jax.search import completion, driver, one_image, program
from inpaint_jax.search.problem import Problem, WeightedTerm, named_key
from inpaint_jax.search.settings import Settings

pytestmark = pytest.mark.usefixtures("standard_promotion", "optimised")

SIZE, Z_DIM, RESTARTS = 8, 4, 3
MATRIX = (
    np.random.default_rng(0).normal(scale=0.6, size=(Z_DIM, SIZE * SIZE * 3))
).astype(np.float32)
HIDDEN_Z = np.array([[0.5, -0.3, 0.8, -0.6]], np.float32)


def generate(z):
    return jnp.tanh(z @ MATRIX).reshape(-1, SIZE, SIZE, 3)


def no_opinion(image):
    return jnp.zeros(image.shape[0])


def broken_where_positive(z):
    return jnp.where(z[:, 0, None, None, None] > 0, jnp.nan, generate(z))


def settings(**changes):
    values = {"restarts": RESTARTS, "iterations": 200, "chunk": 50, "patience": 0}
    values |= {"init": "random", "decay": False}
    return Settings(**(values | changes))


def started(compiled, key, problem):
    """Where the restarts of one image begin, [restarts, z_dim]."""
    states = compiled.start(key[None], jax.tree.map(lambda x: x[None], problem))
    return np.asarray(states.z[0])


@functools.cache
def prepared(network=generate, **changes):
    return program.prepare(
        network, no_opinion, z_dim=Z_DIM, settings=settings(**changes)
    )


def damaged(name="left", seed=0):
    """The toy generator's image with noise in the hole, and the mask."""
    mask = masks.named(name)[1](jax.random.key(seed), (SIZE, SIZE))[None]
    noise = jax.random.uniform(jax.random.key(9), (1, SIZE, SIZE, 3), minval=-1.0)
    return jnp.where(mask > 0, generate(HIDDEN_Z), noise), mask


def complete(key, image, mask, compiled, *, target=None, blend="paste"):
    problem = Problem(image, mask, {} if target is None else {"landmark": target})
    *_, last = driver.search(key, problem, compiled=compiled)
    return completion.finish(last, problem, compiled=compiled, blend=blend)


@pytest.mark.parametrize(
    ("optimizer", "rate"), [("adam", 0.02), ("nesterov", 0.01), ("lbfgs", 0.1)]
)
def test_the_search_recovers_a_generated_image(optimizer, rate, key):
    image, mask = damaged()
    compiled = prepared(optimizer=optimizer, learning_rate=rate)
    result = complete(key, image, mask, compiled)
    known = np.broadcast_to(np.asarray(mask) > 0, image.shape)[0]
    truth = np.asarray(generate(HIDDEN_Z))[0]
    best = np.asarray(result.generated[0])
    # L1 with a fixed step: what remains is about the step times the matrix.
    assert np.abs(best - truth)[known].mean() < 0.02
    # 32 visible pixels pin down 4 numbers, and with them the hole.
    np.testing.assert_allclose(result.z[0], HIDDEN_Z[0], atol=0.05)
    assert np.abs(best - truth)[~known].mean() < 0.03


@pytest.mark.parametrize("optimizer", ["adam", "nesterov"])
def test_a_rate_that_decays_ends_nearer_to_the_minimum(optimizer, key):
    image, mask = damaged()
    rate = 0.05 if optimizer == "adam" else 0.02
    off = {}
    for decay in (False, True):
        compiled = prepared(
            optimizer=optimizer, learning_rate=rate, decay=decay, iterations=100
        )
        result = complete(key, image, mask, compiled)
        off[decay] = np.abs(np.asarray(result.z[0]) - HIDDEN_Z[0]).max()
    assert off[True] < 0.5 * off[False]


def test_restarts_are_ordered_by_their_score(key):
    image, mask = damaged()
    compiled = prepared(iterations=6, chunk=6, window=5)
    result = complete(key, image, mask, compiled)
    assert result.iterations == 6
    score = np.asarray(result.score)
    assert np.all(np.diff(score) > 0)
    weights = np.asarray(losses.image.context_weights(mask, window=5))
    expected = []
    for z, generated in zip(result.z, result.generated, strict=True):
        np.testing.assert_allclose(generated, generate(z[None])[0], atol=1e-6)
        off = weights * np.abs(np.asarray(generated)[None] - np.asarray(image))
        expected.append(off.sum() / (3 * weights.sum()))
    np.testing.assert_allclose(result.terms["context"], expected, rtol=1e-4)
    np.testing.assert_allclose(
        result.terms["prior"], np.full(RESTARTS, np.log(2)), rtol=1e-6
    )
    np.testing.assert_allclose(score, expected + 0.003 * np.log(2), rtol=1e-4)


def pull(key, z, generated, problem, networks):
    """A landmark loss: how far the first number of z is from the guide's."""
    del key, generated, networks
    return jnp.abs(z[:, 0] - problem.targets["landmark"][0])


def nowhere(key, z, generated, problem, networks):
    del key, generated, problem, networks
    return jnp.where(z[:, 0] == jnp.max(z[:, 0]), jnp.nan, 7.0)


@functools.cache
def guided(loss, moves, weight=1.0):
    return program.prepare(
        generate,
        no_opinion,
        z_dim=Z_DIM,
        settings=settings(iterations=6, chunk=6),
        terms={"landmark": WeightedTerm(weight, loss, moves)},
    )


@pytest.mark.parametrize("fades", [True, False])
def test_a_term_fades_along_half_a_cosine(key, fades):
    image, mask = damaged()
    steps, weight = 8, 100.0
    compiled = program.prepare(
        generate,
        no_opinion,
        z_dim=Z_DIM,
        # z stays where it is, so that only the weight changes.
        settings=settings(iterations=steps, chunk=4, learning_rate=0.0),
        terms={"landmark": WeightedTerm(weight, pull, fades=fades)},
    )
    problem = Problem(image, mask, {"landmark": jnp.array([5.0])})
    found = program.stacked([problem])
    state = compiled.start(jnp.stack([key]), found)
    losses = []
    for _ in range(2):  # the steps of a chunk follow those of the one before
        state, info = compiled.advance(state, found, iterations=4)
        losses.extend(np.asarray(info.loss[0]))
    _, ended, terms = compiled.evaluate(state.z, found)
    plain = np.asarray(terms["context"] + 0.003 * terms["prior"])[0]
    value = np.asarray(terms["landmark"])[0]
    shares = 0.5 * (1.0 + np.cos(np.pi * np.arange(steps) / steps))
    shares = shares if fades else np.ones(steps)
    expected = plain + weight * shares[:, None] * value
    np.testing.assert_allclose(np.stack(losses), expected, rtol=1e-5)
    last = plain + (0.0 if fades else weight) * value
    np.testing.assert_allclose(ended[0], last, rtol=1e-5)


def test_a_landmark_loss_that_cannot_move_z_ranks_the_restarts(key):
    image, mask = damaged()
    plain = complete(key, image, mask, prepared(iterations=6, chunk=6))
    assert "landmark" not in plain.terms
    guide = jnp.array([5.0])
    # Far more than any loss: the restart with the largest first number wins.
    compiled = guided(pull, False, weight=100.0)
    result = complete(key, image, mask, compiled, target=guide)
    order = np.argsort(-np.asarray(plain.z)[:, 0])
    assert not np.array_equal(order, np.arange(RESTARTS))
    np.testing.assert_array_equal(result.z, np.asarray(plain.z)[order])
    landmark = 5.0 - np.asarray(result.z)[:, 0]
    np.testing.assert_allclose(result.terms["landmark"], landmark, rtol=1e-6)
    expected = np.asarray(plain.score)[order] + 100.0 * landmark
    np.testing.assert_allclose(result.score, expected, rtol=1e-6)
    # Too small a weight leaves the order as it was.
    off = guided(pull, False, weight=0.0)
    unmoved = complete(key, image, mask, off, target=guide)
    np.testing.assert_array_equal(unmoved.z, plain.z)


def test_a_landmark_loss_with_a_gradient_moves_z(key):
    image, mask = damaged()
    plain = complete(key, image, mask, prepared(iterations=6, chunk=6))
    compiled = guided(pull, True, weight=100.0)
    right, left = (
        complete(key, image, mask, compiled, target=jnp.array([goal]))
        for goal in (5.0, -5.0)
    )
    first = [np.mean(np.asarray(r.z)[:, 0]) for r in (left, plain, right)]
    assert first[0] < first[1] < first[2]


def test_a_face_without_landmarks_ranks_last(key):
    image, mask = damaged()
    plain = complete(key, image, mask, prepared(iterations=6, chunk=6))
    result = complete(key, image, mask, guided(nowhere, False))
    lost = np.asarray(plain.z)[:, 0].argmax()
    np.testing.assert_array_equal(result.z[-1], plain.z[lost])
    assert np.isnan(result.score).tolist() == [False, False, True]


@pytest.mark.parametrize("name", ["left", "centre", "random80"])
@pytest.mark.parametrize("blend", ["paste", "poisson"])
def test_known_pixels_are_untouched(blend, name, key):
    image, mask = damaged(name)
    result = complete(key, image, mask, prepared(iterations=6, chunk=6), blend=blend)
    known = np.broadcast_to(np.asarray(mask) > 0, image.shape)
    completed = np.asarray(result.completed)
    np.testing.assert_array_equal(completed[known], np.asarray(image)[known])
    assert np.abs(completed).max() <= 1
    hole = completed[~known] == np.asarray(result.generated[:1])[~known]
    assert hole.all() if blend == "paste" else not hole.all()


def test_the_hole_of_the_image_is_never_read(key):
    image, mask = damaged()
    broken = jnp.where(mask > 0, image, 0.77)
    compiled = prepared(iterations=6, chunk=6)
    for blend in ("paste", "poisson"):
        a = complete(key, image, mask, compiled, blend=blend)
        b = complete(key, broken, mask, compiled, blend=blend)
        jax.tree.map(np.testing.assert_array_equal, a, b)


def test_the_key_decides_everything(key):
    image, mask = damaged()
    compiled = prepared(iterations=6, chunk=6)
    first = complete(key, image, mask, compiled)
    again = complete(jax.random.key(0), image, mask, compiled)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    other = complete(jax.random.key(1), image, mask, compiled)
    assert not np.array_equal(first.z, other.z)


def test_the_key_of_an_image_comes_from_its_name(key):
    data = [
        jax.random.key_data(named_key(key, name)).tolist()
        for name in ("a.png", "b.png", "a.png", "å/ä.png")
    ]
    assert data[0] == data[2]
    assert len({tuple(words) for words in data}) == 3
    other = named_key(jax.random.key(1), "a.png")
    assert jax.random.key_data(other).tolist() != data[0]


SCENE = Problem(jnp.zeros((1, SIZE, SIZE, 3)), jnp.ones((1, SIZE, SIZE, 1)))


@pytest.mark.parametrize("z_prior", ["uniform", "normal"])
def test_starting_points_fill_the_box(z_prior):
    compiled = program.prepare(
        generate, no_opinion, z_dim=100, settings=settings(restarts=50, z_prior=z_prior)
    )
    z = started(compiled, jax.random.key(3), SCENE)
    assert z.shape == (50, 100)
    assert np.abs(z).max() <= 1
    # Variance 1/3 of the uniform law; a clipped normal has 32 % of its mass at +-1.
    at_the_border = 0.0 if z_prior == "uniform" else 0.3173
    variance = 1 / 3 if z_prior == "uniform" else 0.5161
    assert np.mean(np.abs(z) == 1) == pytest.approx(at_the_border, abs=0.03)
    assert np.var(z) == pytest.approx(variance, abs=0.03)
    assert np.mean(z) == pytest.approx(0, abs=0.05)


def test_progress_adds_up_when_chunks_do_not_fit(key):
    image, mask = damaged()
    compiled = prepared(iterations=7, chunk=3)
    reports = list(driver.search(key, Problem(image, mask), compiled=compiled))
    assert [report.iteration for report in reports] == [3, 6, 7]
    for before, after in itertools.pairwise(reports):
        assert np.all(after.best_loss <= before.best_loss)
    # Chunks only cut the search into pieces, up to how each program is rounded.
    at_once = prepared(iterations=7, chunk=50)
    (only,) = driver.search(key, Problem(image, mask), compiled=at_once)
    assert only.iteration == 7
    np.testing.assert_allclose(only.best_loss, reports[-1].best_loss, rtol=1e-6)
    np.testing.assert_array_equal(only.state.best_z, reports[-1].state.best_z)


def constant(z):
    return jnp.zeros((z.shape[0], SIZE, SIZE, 3))


@pytest.mark.parametrize("patience", [1, 2, 0])
def test_patience_stops_a_search_that_does_not_improve(patience, key):
    # The loss of a constant never falls: only the first chunk counts as progress.
    image, mask = damaged()
    compiled = prepared(constant, iterations=10, chunk=2, patience=patience)
    reports = list(driver.search(key, Problem(image, mask), compiled=compiled))
    assert len(reports) == (patience + 1 if patience else 5)


def test_patience_does_not_stop_a_search_that_improves(key):
    image, mask = damaged()
    compiled = prepared(iterations=10, chunk=2, patience=1)
    reports = list(driver.search(key, Problem(image, mask), compiled=compiled))
    assert reports[-1].iteration == 10


def all_nan(z):
    return generate(z) * jnp.nan


def encode(image, mask):
    """Names the image's red corner, and the size of the hole."""
    return jnp.stack([image[:, 0, 0, 0], *[jnp.mean(mask, (1, 2, 3))] * 99], axis=1)


@pytest.mark.parametrize(
    ("init", "restarts", "near"), [("encoder", 9, 9), ("mixed", 9, 5), ("mixed", 1, 1)]
)
def test_restarts_begin_around_the_guess(init, restarts, near):
    compiled = program.prepare(
        generate,
        no_opinion,
        z_dim=100,
        settings=settings(restarts=restarts, init=init, init_std=0.01),
        encode=encode,
    )
    image, mask = jnp.full((1, SIZE, SIZE, 3), -0.4), jnp.full((1, SIZE, SIZE, 1), 0.25)
    z = started(compiled, jax.random.key(3), Problem(image, mask))
    guess = np.asarray([-0.4] + 99 * [0.25])
    np.testing.assert_allclose(z[0], guess, atol=1e-6)
    deviation = np.std(z - guess, axis=1)
    if near > 1:
        np.testing.assert_allclose(deviation[1:near], 0.01, rtol=0.4)
    assert (deviation[near:] > 0.3).all() and len(deviation[near:]) == restarts - near
    assert len(np.unique(z, axis=0)) == restarts


def test_restarts_around_a_guess_stay_in_the_box():
    points = one_image.starting_points(
        jax.random.key(0),
        jnp.ones((1, 5)),
        z_dim=5,
        settings=settings(init="encoder", init_std=2.0),
    )
    assert np.abs(points).max() == 1.0 and points.min() < 0.0


def test_an_encoder_must_be_there_to_start_from():
    with pytest.raises(ValueError, match="mixed"):
        program.prepare(
            generate, no_opinion, z_dim=Z_DIM, settings=settings(init="mixed")
        )


def test_a_search_that_diverges_is_an_input_error(key):
    image, mask = damaged()
    compiled = prepared(all_nan, iterations=10, chunk=2)
    with pytest.raises(InputError, match="diverged.*learning rate"):
        list(driver.search(key, Problem(image, mask), compiled=compiled))


def test_one_restart_that_diverges_ranks_last_and_the_others_go_on():
    image, mask = damaged()
    # Starting points on both sides of the generator's broken half.
    compiled = prepared(broken_where_positive, iterations=6, chunk=3)
    key = jax.random.key(2)
    positive = started(compiled, key, Problem(image, mask))[:, 0] > 0
    assert 0 < positive.sum() < RESTARTS
    result = complete(key, image, mask, compiled)
    finite = np.isfinite(result.score)
    assert finite.tolist() == sorted(~positive, reverse=True)
    assert np.isfinite(result.completed).all()


def test_a_schedule_goes_on_with_the_best_restarts_only(key):
    image, mask = damaged()
    problem = Problem(image, mask)
    usual = prepared(iterations=12, chunk=3, restarts=6)
    fewer = prepared(chunk=3, restart_schedule=((6, 6), (2, 3), (1, 3)))
    whole = list(driver.search(key, problem, compiled=usual))
    halved = list(driver.search(key, problem, compiled=fewer))
    assert [p.iteration for p in halved] == [p.iteration for p in whole]
    assert [len(p.best_loss) for p in halved] == [6, 6, 2, 1]
    # Those that stay are the best so far, and go on as they would have.
    best = np.argsort(whole[1].best_loss)[:2]
    np.testing.assert_allclose(halved[2].loss, whole[2].loss[best], rtol=1e-5)
    best = best[np.argsort(whole[2].best_loss[best])[:1]]
    np.testing.assert_allclose(halved[3].loss, whole[3].loss[best], rtol=1e-5)
    result = completion.finish(halved[-1], problem, compiled=fewer, blend="paste")
    assert len(result.score) == 1 and result.iterations == 12


def several(count=4):
    """Scenes with their keys, each of another image and mask."""
    problems, keys = [], []
    for i in range(count):
        image, mask = damaged(("left", "centre")[i % 2], seed=i)
        problems.append(Problem(jnp.roll(image, i, axis=1), mask))
        keys.append(jax.random.key(10 + i))
    return keys, problems


def test_searches_together_equal_searches_alone():
    keys, problems = several()
    compiled = prepared(iterations=6, chunk=3)
    *_, together = driver.search_together(keys, problems, compiled=compiled)
    for key, problem, progress in zip(keys, problems, together, strict=True):
        *_, alone = driver.search(key, problem, compiled=compiled)
        np.testing.assert_allclose(progress.loss, alone.loss, rtol=1e-5)
        np.testing.assert_allclose(progress.state.best_z, alone.state.best_z, atol=1e-5)


def test_company_of_one_number_changes_no_bit():
    keys, problems = several()
    compiled = prepared(iterations=6, chunk=3)
    *_, first = driver.search_together(keys, problems, compiled=compiled)
    order = [2, 3, 3, 1]
    *_, other = driver.search_together(
        [keys[i] for i in order], [problems[i] for i in order], compiled=compiled
    )
    for place, i in enumerate(order):
        np.testing.assert_array_equal(other[place].state.best_z, first[i].state.best_z)


def test_searches_that_are_over_leave_the_program():
    keys, problems = several()
    compiled = prepared(constant, iterations=40, chunk=2, patience=3)
    # The loss of a constant never falls, that of the others does.
    moving = prepared(iterations=40, chunk=2, patience=3)
    reports = list(driver.search_together(keys, problems, compiled=compiled))
    assert len(reports) == 4 and all(p is not None for p in reports[-1])
    shapes = []
    advance = moving.pieces.advance

    def stalls(networks, states, together, *, iterations):
        # Three of four images make no progress.
        shapes.append(states.z.shape[0])
        states, info = advance(networks, states, together, iterations=iterations)
        if states.z.shape[0] == 4:
            flat = jnp.array([[[1.0]], [[0.0]], [[0.0]], [[0.0]]])
            best = jnp.where(flat > 0, info.best_loss, 1.0)
            info = info._replace(best_loss=best)
        return states, info

    *_, alone = driver.search(keys[0], problems[0], compiled=moving)
    halting = moving._replace(pieces=moving.pieces._replace(advance=stalls))
    reports = list(driver.search_together(keys, problems, compiled=halting))
    over = [sum(p is not None for p in image) for image in zip(*reports, strict=True)]
    assert over == [20, 4, 4, 4]
    assert shapes == [4] * 4 + [1] * 16
    np.testing.assert_allclose(reports[-1][0].best_loss, alone.best_loss, rtol=1e-4)


def test_a_search_that_diverges_leaves_the_others_alone():
    keys, problems = several(2)
    broken = problems[1]._replace(image=problems[1].image * jnp.nan)
    compiled = prepared(iterations=4, chunk=2)
    reports = list(
        driver.search_together(keys, [problems[0], broken], compiled=compiled)
    )
    assert [p is None for p in reports[-1]] == [False, True]
    driver.check(reports[-1][0])
    with pytest.raises(InputError, match="diverged"):
        driver.check(reports[0][1])


def test_images_share_one_trace():
    keys, problems = several()
    traces = []

    def counted(z):
        traces.append(None)
        return generate(z)

    compiled = program.prepare(
        counted, no_opinion, z_dim=Z_DIM, settings=settings(iterations=6, chunk=3)
    )
    after = []
    for key, problem in zip(keys, problems, strict=True):
        *_, last = driver.search(key, problem, compiled=compiled)
        completion.finish(last, problem, compiled=compiled, blend="paste")
        after.append(len(traces))
    assert after[0] > 0 and set(after) == {after[0]}


def test_memory_grows_with_the_restarts(key):
    problem = several(1)[1][0]
    few, many = (
        prepared(restarts=restarts).memory(key, problem) for restarts in (4, 64)
    )
    assert 0 < few < many


def test_restarts_that_need_more_memory_than_there_is_are_refused(key):
    problem = several(1)[1][0]
    for restarts in (1_000_000, 1_000_000_000):
        search = prepared(restarts=restarts)
        with pytest.raises(InputError, match=rf"^restarts={restarts}: .* give fewer"):
            search.check_memory(key, problem, images=100)


def test_restarts_of_a_schedule_are_refused_by_its_name(key):
    problem = several(1)[1][0]
    for restarts in (1_000_000, 9_999_999):
        search = prepared(restart_schedule=((restarts, 2), (1, 1)))
        match = rf"^restart_schedule={restarts}x2,1x1: .* give fewer"
        with pytest.raises(InputError, match=match):
            search.check_memory(key, problem, images=100)
