"""Scores are never taken for those of another picture, method or model."""

import dataclasses
import json
from typing import NamedTuple

import numpy as np
import pytest

from experiments.common import identity, mask_specs, reporting
from experiments.evaluation import completion_methods, evaluation_run, scoring
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
        holes=(mask_specs.read_mask("centre", hole_is_white=True),),
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


def test_another_device_or_version_of_the_code_is_refused(plan, monkeypatch):
    evaluation_run.agree(plan, [method("tv")])
    with monkeypatch.context() as patch:
        patch.setattr(
            reporting, "environment", lambda: {"device": "tpu: v9", "versions": {}}
        )
        with pytest.raises(InputError, match=r"frame\.device was .* is \"tpu: v9\""):
            evaluation_run.agree(plan, [method("tv")])
    monkeypatch.setattr(identity, "of_code", lambda: "0.1.0+other")
    with pytest.raises(InputError, match=r"frame\.version was .*0\.1\.0\+other"):
        evaluation_run.agree(plan, [method("tv")])


def test_scores_without_their_protocol_are_refused(plan):
    (plan.output / "scores.csv").write_text("method,mask,image\n")
    with pytest.raises(InputError, match="without their protocol"):
        evaluation_run.agree(plan, [method("tv")])


def test_names_that_look_alike_are_told_apart(plan, tmp_path):
    escape = picture(tmp_path / "A" / "a\x1b.jpg", seed=1)
    literal = picture(tmp_path / "B" / "a\\x1b.jpg", seed=2)
    evaluation_run.agree(dataclasses.replace(plan, inputs=(escape,)), [method("tv")])
    with pytest.raises(InputError, match=r"pictures\..*file"):
        other = dataclasses.replace(plan, inputs=(literal,))
        evaluation_run.agree(other, [method("tv")])


def test_a_name_that_is_no_utf_8_can_be_gone_on_with(plan, tmp_path):
    named = picture(tmp_path / "A" / "caf\udce9.jpg", seed=1)
    for _ in range(2):
        again = dataclasses.replace(plan, inputs=(named,))
        evaluation_run.agree(again, [method("c\udce9")])


def test_rows_of_which_the_protocol_knows_nothing_are_refused(plan):
    evaluation_run.agree(plan, [method("tv")])
    path = plan.output / "protocol.json"
    protocol = json.loads(path.read_text())
    columns = ",".join(evaluation_run.COLUMNS)
    numbers = ",1" * (len(evaluation_run.COLUMNS) - 3)
    table = f"{columns}\ntv,centre,face{numbers}\n"
    (plan.output / "scores.csv").write_text(table)
    evaluation_run.agree(plan, [method("tv")])
    path.write_text(json.dumps({**protocol, "pictures": {}}))
    with pytest.raises(InputError, match=r"scores of face, which are not in protocol"):
        evaluation_run.agree(plan, [method("tv")])


class Truth(NamedTuple):
    images: np.ndarray
    embeddings: np.ndarray

    def take(self, rows):
        return Truth(self.images[rows], self.embeddings[rows])


@pytest.fixture
def complete(plan, tmp_path, monkeypatch):
    """Completes two pictures; returns the names of those that were computed."""
    embed = lambda images: np.ones((len(images), 128), np.float32)
    truth = lambda images, crop: Truth(images, embed(images))
    monkeypatch.setattr(scoring, "truth", truth)
    ones = lambda images, *_: scoring.Scored(
        dict.fromkeys(scoring.COLUMNS, np.ones(len(images))), embed(images)
    )
    monkeypatch.setattr(scoring, "score", ones)
    other = picture(tmp_path / "A" / "other.jpg", seed=1)
    both = dataclasses.replace(plan, inputs=(*plan.inputs, other), at_once=2)

    def run():
        computed = []

        def fill(inputs):
            computed.extend(case.name for case in inputs)
            images, count = np.stack([case.picture for case in inputs]), len(inputs)
            return completion_methods.Completions(
                images, np.ones(count), np.zeros(count, bool)
            )

        used = [completion_methods.CompletionMethod("tv", {}, fill)]
        evaluation_run.agree(both, used)
        rows = evaluation_run.run(both, used)
        assert {row["image"] for row in rows} == {"face", "other"}
        return computed

    return run


@pytest.mark.parametrize(
    "name",
    [
        *("completions/centre/tv/face.png", "completions/centre/tv/face.npy"),
        *("originals/face.png", "originals/face.npy", "damaged/centre/face.png"),
    ],
)
def test_a_picture_that_is_gone_or_damaged_is_made_again(plan, complete, name, capsys):
    assert complete() == ["face", "other"] and complete() == []
    path = plan.output / name
    whole = path.read_bytes()
    for damage in (path.unlink, lambda: path.write_bytes(whole[:40])):
        damage()
        assert complete() == ["face"]
        assert f"{path} is gone or damaged; tv centre face" in capsys.readouterr().out
        assert path.read_bytes() == whole and complete() == []
