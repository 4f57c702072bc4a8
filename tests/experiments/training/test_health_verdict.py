"""Rules are passed by figures that keep their bounds, and by nothing else."""

import copy
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.training import health_verdict


def figure(value, low=None, high=None):
    low, high = (value if x is None else x for x in (low, high))
    return {"value": value, "low": low, "high": high}


GOOD = {
    "face_fraction": figure(0.9),
    "face_fraction_real": figure(0.95),
    "frechet_face": 0.06,
    "frechet_face_floor": 0.02,
    "frechet_ratio": figure(3.0),
    "diversity": 0.6,
    "diversity_real": 0.65,
    "diversity_ratio": figure(0.92),
    "copies": 0.0,
    "nearest": {
        "samples_mean": 0.2,
        "real_mean": 0.22,
        "ratio": figure(0.91),
        "real_in_reference": 0.0,
    },
    "discriminator": {
        "accuracy_real": figure(0.36, 0.32, 0.4),
        "accuracy_samples": figure(0.98, 0.964, 0.989),
    },
    "reconstruction": {"psnr": figure(22.1), "nme": figure(0.04)},
}
JUDGED = [
    ("face_fraction",),
    ("frechet_ratio",),
    ("diversity_ratio",),
    ("nearest", "ratio"),
    ("reconstruction", "psnr"),
    ("reconstruction", "nme"),
]


def changed(path, value):
    scores = copy.deepcopy(GOOD)
    place = scores
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return scores


def test_all_rules_are_kept():
    verdict, fit = health_verdict.judge(GOOD, trained_on_reference=True)
    assert fit and len(verdict) == 7
    assert all(sentence.startswith("passed: ") for sentence in verdict[:6])
    assert verdict[6] == (
        "D is right about 36.0% (32.0% to 40.0%) of the real faces and 98.0% (96.4% "
        "to 98.9%) of the samples."
    )


@pytest.mark.parametrize(
    ("rule", "value"), [*enumerate([0.849, 4.01, 0.849, 0.79, 21.9, 0.051])]
)
def test_one_broken_rule_is_enough(rule, value):
    scores = changed(JUDGED[rule], figure(value))
    verdict, fit = health_verdict.judge(scores, trained_on_reference=True)
    failed = [sentence.startswith("FAILED: ") for sentence in verdict[:6]]
    assert not fit and failed == [i == rule for i in range(6)]


@pytest.mark.parametrize("rule", range(6))
def test_what_cannot_be_computed_is_not_passed(rule):
    nothing = figure(math.nan)
    scores = changed(JUDGED[rule], nothing)
    verdict, fit = health_verdict.judge(scores, trained_on_reference=True)
    assert not fit and verdict[rule].startswith("not judged: there is no figure: ")
    assert sum(sentence.startswith("passed: ") for sentence in verdict) == 5


@pytest.mark.parametrize(
    ("rule", "value", "words"),
    [
        (0, figure(0.9, 0.84, 0.95), "passed, but the interval reaches 84.0%: "),
        (0, figure(0.8, 0.7, 0.86), "FAILED, but the interval reaches 86.0%: "),
        (0, figure(0.9, 0.86, 0.95), "passed: "),
        (1, figure(3.5, 3.0, 4.2), "passed, but the interval reaches 4.20: "),
        (1, figure(5.2, 3.9, 6.5), "FAILED, but the interval reaches 3.90: "),
        (1, figure(5.2, 4.1, 6.5), "FAILED: "),
        (4, figure(22.5, 21.5, 23.5), "passed, but the interval reaches 21.5 dB: "),
        (5, figure(0.049, 0.04, 0.06), "passed, but the interval reaches 0.060: "),
        (0, figure(0.9, math.nan, math.nan), "passed, but its interval is unknown: "),
    ],
)
def test_an_interval_beyond_the_bound_is_told(rule, value, words):
    scores = changed(JUDGED[rule], value)
    verdict, fit = health_verdict.judge(scores, trained_on_reference=True)
    assert verdict[rule].startswith(words)
    assert fit == words.startswith("passed")


def test_a_sentence_holds_figure_interval_and_bound():
    scores = changed(("face_fraction",), figure(0.914, 0.886, 0.936))
    verdict, _ = health_verdict.judge(scores, trained_on_reference=True)
    assert verdict[0] == (
        "passed: exactly one face in 91.4% (88.6% to 93.6%) of the samples (at least "
        "85.0%; real pictures 95.0%)."
    )


@given(
    copies=st.floats(0.051, 1.0),
    values=st.lists(st.floats(allow_nan=True), min_size=6, max_size=6),
    trained_on_reference=st.booleans(),
)
def test_nothing_is_passed_where_samples_are_copies(
    copies, values, trained_on_reference
):
    scores = copy.deepcopy(GOOD)
    scores["copies"] = copies
    for path, value in zip(JUDGED, values, strict=True):
        place = scores
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = figure(value)
    verdict, fit = health_verdict.judge(
        scores, trained_on_reference=trained_on_reference
    )
    assert not fit
    assert not [sentence for sentence in verdict if sentence.startswith("passed")]


@pytest.mark.parametrize(
    ("copies", "why"),
    [
        (1.0, "all samples are one picture"),
        (0.5, "all samples are like those of 2 pictures"),
        (0.1, "all samples are like those of 10 pictures"),
    ],
)
def test_the_reason_says_how_few_pictures_there_are(copies, why):
    verdict, _ = health_verdict.judge(
        {**GOOD, "copies": copies}, trained_on_reference=True
    )
    assert all(line.startswith(f"not judged: {why}: ") for line in verdict[:6])


def test_a_copy_now_and_then_is_no_collapse():
    _, fit = health_verdict.judge({**GOOD, "copies": 0.01}, trained_on_reference=True)
    assert fit


def test_real_faces_in_the_reference_leave_two_rules_unjudged():
    scores = changed(("nearest", "real_in_reference"), 0.5)
    verdict, fit = health_verdict.judge(scores, trained_on_reference=True)
    withheld = [line.startswith("not judged: 50.0% of the real") for line in verdict]
    assert not fit and withheld == [i in (1, 3) for i in range(7)]


def test_memorisation_is_judged_by_the_training_faces_only():
    near = changed(("nearest", "ratio"), figure(0.05))
    verdict, fit = health_verdict.judge(near, trained_on_reference=False)
    assert fit and "--train_data" in verdict[-1]
    _, fit = health_verdict.judge(near, trained_on_reference=True)
    assert not fit
