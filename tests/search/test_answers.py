"""Answers are the best restarts of which each differs from all before it."""

import itertools

import numpy as np
import pytest

from inpaint_jax.search import answers

MASK = np.ones((1, 4, 4, 1), np.float32)
MASK[0, 1:3, 1:3] = 0.0


def flat(*greys):
    """Completions of one grey each inside the hole, with known pixels of their own."""
    pictures = np.random.default_rng(0).uniform(-1, 1, (len(greys), 4, 4, 3))
    pictures[:, 1:3, 1:3] = np.array(greys)[:, None, None, None]
    return pictures.astype(np.float32)


def choose(greys, scores, **options):
    options = {"most": 9, "least_distance": 0.1} | options
    found = answers.choose(flat(*greys), np.array(scores, np.float32), MASK, **options)
    return found.indices.tolist(), found.distances.tolist()


def test_distance_is_the_root_mean_square_inside_the_hole():
    pictures = flat(-1.0, 0.0, 1.0)
    pictures[2, 1, 1] = [-1.0, 0.5, 1.0]
    found = answers.distance(pictures, pictures[0], MASK)
    # By hand: of the hole's 12 numbers, 9 + 1 are 2 away, one is 1.5, and one is 0.
    assert found.tolist() == pytest.approx([0.0, 1.0, (42.25 / 12) ** 0.5])


def test_each_answer_is_away_from_all_before_it():
    indices, distances = choose([0.0, 0.05, 0.3, 0.28, -0.2], [1, 2, 3, 4, 5])
    assert indices == [0, 2, 4]
    assert distances == pytest.approx([np.inf, 0.3, 0.2], abs=1e-6)


def test_the_best_score_comes_first_whatever_the_order():
    assert choose([0.3, 0.0, 0.05, -0.2], [3, 1, 2, -4])[0] == [3, 1, 0]


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_there_are_no_more_than_wanted(most):
    indices, distances = choose([0.0, 0.2, 0.4, 0.6], [4, 3, 2, 1], most=most)
    assert indices == [3, 2, 1, 0][:most] and len(distances) == len(indices)


def test_what_is_not_finite_is_no_answer():
    nan, inf = float("nan"), float("inf")
    assert choose([0.0, 0.5, 1.0, -1.0], [2, nan, inf, -inf])[0] == [0]
    assert choose([0.0, 0.5], [nan, nan])[0] == []
    assert choose([0.0, nan, 0.5], [1, 2, 3])[0] == [0, 2]


def test_known_pixels_make_no_difference():
    assert choose([0.0, 0.0, 0.0], [1, 2, 3])[0] == [0]


def test_it_is_the_greedy_choice_by_definition():
    rng = np.random.default_rng(1)
    pictures = rng.normal(scale=0.3, size=(12, 4, 4, 3)).astype(np.float32)
    scores = rng.permutation(12).astype(np.float32)
    hole = MASK[0, ..., 0] == 0
    taken = []
    for i in np.argsort(scores):
        apart = [
            np.sqrt(((pictures[i] - pictures[j])[hole] ** 2).mean()) for j in taken
        ]
        if all(each >= 0.4 for each in apart):
            taken.append(i)
    found = answers.choose(pictures, scores, MASK, most=12, least_distance=0.4)
    assert found.indices.tolist() == taken and 1 < len(taken) < 12
    for i, j in itertools.pairwise(found.indices):
        assert scores[i] < scores[j]
