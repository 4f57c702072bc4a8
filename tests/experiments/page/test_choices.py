"""What the page offers is what the flags say, and what it asks for is checked."""

import shlex

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import inpaint
from experiments.common import options
from experiments.page import choices
from experiments.search import search_methods
from inpaint_jax.errors import InputError


@pytest.fixture(scope="module")
def offered():
    with flagsaver.flagsaver():
        flags.FLAGS(["program"])
        return choices.Choices(most_steps=100_000)


def chosen(offered, method="landmark", known=False, framed=False, **given):
    asked = choices.Asked(method, given, known, framed)
    return offered.chosen(asked, name="my face.png", hole="my face_mask.png")


def test_settings_are_the_flags_with_their_help(offered):
    described = offered.described()
    by_name = {each["name"]: each for each in described["settings"]}
    assert by_name["restarts"]["text"] == "Number of starting points for each image."
    assert by_name["restarts"]["whole"] and not by_name["restarts"]["folded"]
    assert by_name["init"]["words"] == ["random", "encoder", "mixed"]
    assert by_name["lambda_prior"]["least"] == 0.0 and by_name["lambda_prior"]["folded"]
    assert all(each["text"] for each in described["settings"])


def test_each_method_has_the_values_of_its_flag_file(offered):
    methods = {each["name"]: each for each in offered.described()["methods"]}
    assert methods["landmark"]["values"]["lambda_structure"] == "1"
    assert (
        methods["si"]["values"] | {"restarts": "64", "landmark_term": "none"}
        == (methods["si"]["values"])
    )
    assert methods["thesis"]["values"]["iterations"] == "1000"
    assert methods["gfc"]["values"] == {} and "nn" not in methods


@pytest.mark.parametrize("method", ["landmark", "si"])
def test_the_command_line_asks_for_the_same_search(offered, method):
    given = {"restarts": "2", "lambda_prior": "0.012345678", "init": "random"}
    choice = chosen(offered, method, framed=True, **given)
    program, *arguments = shlex.split(choice.command)[2:]
    assert program == "experiments.inpaint"
    with flagsaver.flagsaver():
        flags.FLAGS([program, *arguments])
        assert options.read(search_methods.Asked) == choice.search
        pictures = options.read(inpaint.picture_options.Pictures)
    assert pictures.images == ("my face.png",) and pictures.mask == "my face_mask.png"
    assert pictures.original_known is False and pictures.face == "none"


def test_a_search_is_watched_in_short_chunks_and_calls_nothing_back(offered):
    for method in ("landmark", "si", "thesis"):
        search = chosen(offered, method, restarts="64", iterations="99").search
        assert search.search.settings.chunk == 5
        assert search.search.settings.patience == 0
        assert not search_methods.calls_back(search)


@pytest.mark.parametrize(
    ("method", "given", "words"),
    [
        ("nose", {}, "--method=nose: no such method"),
        ("landmark", {"restarts": "0"}, "restarts"),
        ("landmark", {"restarts": "many"}, "--restarts.*whole number"),
        ("landmark", {"lambda_prior": "nan"}, "--lambda_prior=nan"),
        ("landmark", {"window": "4"}, "window=4: must be odd"),
        ("landmark", {"init": "magic"}, "init"),
        ("landmark", {"checkpoint": "/etc"}, "--checkpoint: cannot be chosen"),
        ("landmark", {"flagfile": "/etc/passwd"}, "--flagfile: cannot be chosen"),
        ("landmark", {"restarts": "320", "iterations": "1000"}, "--most_steps"),
        ("landmark", {"restarts": "321"}, "--restarts=321: are too many"),
        ("gfc", {"restarts": "2"}, "has no settings"),
        ("nn", {}, "--bank"),
    ],
)
def test_what_is_wrong_is_said_by_its_flag(offered, method, given, words):
    with pytest.raises(InputError, match=words):
        chosen(offered, method, **given)


def test_many_restarts_are_looked_at_after_fewer_steps(offered):
    search = chosen(offered, restarts="300", iterations="9").search
    assert search.search.settings.chunk == 1


def test_methods_of_one_pass_have_no_command(offered):
    choice = chosen(offered, "gfc")
    assert choice.search is None and choice.command == ""


def test_a_server_that_was_started_with_a_schedule_says_so():
    with flagsaver.flagsaver():
        flags.FLAGS(["program", "--restart_schedule=4x2,2x2"])
        with pytest.raises(InputError, match="--restart_schedule"):
            choices.Choices(most_steps=10)


def test_the_nearest_face_is_offered_where_there_is_a_bank():
    with flagsaver.flagsaver():
        flags.FLAGS(["program"])
        offered = choices.Choices(most_steps=10, bank=True)
    assert "nn" in [each["name"] for each in offered.described()["methods"]]
    assert chosen(offered, "nn").search is None
