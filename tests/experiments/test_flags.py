"""Flag files say what they are: landmark.flags is what runs without any flag."""

import dataclasses
import pathlib

import pytest
from absl import flags

from experiments import inpaint
from experiments.search import guides, searches
from inpaint_jax.search import landmark_term, problem

FLAGS = pathlib.Path(__file__).parents[2] / "experiments" / "flags"
INPAINT = {
    flag.name: flag
    for module in (inpaint, searches, guides)
    for flag in flags.FLAGS.get_flags_for_module(module)
}


def stated(file):
    """The flags of a file as {name: value}, `--nox` being x = False."""
    values = {}
    for line in (FLAGS / file).read_text().splitlines():
        if line.startswith("--"):
            name, equals, text = line[2:].partition("=")
            if equals:
                values[name] = INPAINT[name].parser.parse(text)
            else:
                # "normalised" is a flag's whole name, "nosaturating" is not.
                values[name if name in INPAINT else name[2:]] = name in INPAINT
    return values


def test_landmark_flags_are_the_defaults():
    values = stated("landmark.flags")
    assert len(values) > 10
    assert values == {name: INPAINT[name].default for name in values}


def test_the_applications_defaults_are_the_librarys():
    for name, value in dataclasses.asdict(problem.Settings()).items():
        assert INPAINT[name].default == (value if value != () else "")
    landmark = dataclasses.asdict(landmark_term.Settings())
    assert INPAINT["landmark_term"].default == landmark.pop("term")
    assert guides.SETTINGS.keys() == landmark.keys()
    for name, value in landmark.items():
        assert INPAINT[guides.SETTINGS[name].name].default == value
        assert guides.SETTINGS[name].name == f"landmark_{name}"


def test_the_default_asks_for_no_oracle():
    assert INPAINT["landmark_target"].default != "oracle"
    assert INPAINT["allow_oracle"].default is False


# The numbers that Yeh et al. 2017 (section 3) and the thesis (section 3.3) state.
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "si_paper.flags",
            {"iterations": 1500, "lambda_prior": 0.003, "window": 7}
            | {"landmark_term": "none", "blend": "poisson", "saturating": True},
        ),
        (
            "thesis.flags",
            {"iterations": 1000, "restarts": 64, "lambda_prior": 0.003, "window": 7}
            | {"landmark_term": "step", "landmark_gradient": "none", "blend": "paste"}
            | {"landmark_target": "masked", "landmark_input": "masked"}
            | {"landmark_threshold": 3.0, "landmark_threshold_unit": "pixels"},
        ),
    ],
)
def test_presets_carry_the_published_numbers(file, expected):
    values = {name: flag.default for name, flag in INPAINT.items()} | stated(file)
    assert {name: values[name] for name in expected} == expected
