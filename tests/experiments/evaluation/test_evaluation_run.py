"""Scores are never taken for those of another picture, method or model."""

import dataclasses

import pytest

from experiments.common import cases
from experiments.evaluation import completion_methods, evaluation_run
from inpaint_jax.errors import InputError
from inpaint_jax.io import files, picture_files
from tests import drawn


def picture(path, *, seed):
    files.make_directory(path.parent)
    picture_files.write(path, drawn.noise(8, 8, 3, seed=seed))
    return path


def method(name, **described):
    return completion_methods.CompletionMethod(name, described, complete=None)


@pytest.fixture
def plan(tmp_path):
    return evaluation_run.Plan(
        inputs=(picture(tmp_path / "A" / "face.jpg", seed=0),),
        holes=(cases.read_mask("centre", hole_is_white=True),),
        seed=0,
        at_once=1,
        crop=128,
        size=8,
        output=files.make_directory(tmp_path / "found"),
    )


def test_the_same_evaluation_goes_on_and_grows(plan, tmp_path):
    evaluation_run.agree(plan, [method("mine", steps=1)])
    moved = picture(tmp_path / "B" / "face.jpg", seed=0)
    more = picture(tmp_path / "B" / "other.jpg", seed=1)
    later = dataclasses.replace(plan, inputs=(moved, more))
    evaluation_run.agree(later, [method("mine", steps=1), method("tv")])


@pytest.mark.parametrize(
    ("name", "seed", "words"),
    [
        ("face.jpg", 1, "pictures.face.sha256"),
        ("face.png", 0, "pictures.face.file"),
        ("face.png", 1, "pictures.face.file"),
    ],
)
def test_another_picture_of_the_same_name_is_refused(plan, tmp_path, name, seed, words):
    evaluation_run.agree(plan, [method("tv")])
    other = picture(tmp_path / "B" / name, seed=seed)
    with pytest.raises(InputError, match=words):
        evaluation_run.agree(dataclasses.replace(plan, inputs=(other,)), [method("tv")])


def test_another_method_or_model_of_the_same_name_is_refused(plan):
    evaluation_run.agree(plan, [method("mine", steps=1, model={"generator": "12ab"})])
    with pytest.raises(InputError, match=r"methods\.mine\.steps was 1 and is 2"):
        evaluation_run.agree(
            plan, [method("mine", steps=2, model={"generator": "12ab"})]
        )
    with pytest.raises(InputError, match=r"methods\.mine\.model\.generator"):
        evaluation_run.agree(
            plan, [method("mine", steps=1, model={"generator": "34cd"})]
        )


def test_scores_without_their_protocol_are_refused(plan):
    (plan.output / "scores.csv").write_text("method,mask,image\n")
    with pytest.raises(InputError, match="without their protocol"):
        evaluation_run.agree(plan, [method("tv")])
