"""Flag files say what they are: landmark.flags is what runs without any flag."""

import dataclasses
import pathlib

import pytest
from absl import flags

from experiments import inpaint
from inpaint_jax import completion

FLAGS = pathlib.Path(__file__).parents[2] / "experiments" / "flags"
INPAINT = {flag.name: flag for flag in flags.FLAGS.get_flags_for_module(inpaint)}


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
    for name, value in dataclasses.asdict(completion.Settings()).items():
        assert INPAINT[name].default == value


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
            | {"landmark_term": "step", "blend": "paste", "landmark_threshold": 3.0},
        ),
    ],
)
def test_presets_carry_the_published_numbers(file, expected):
    values = stated(file)
    assert {name: values[name] for name in expected} == expected
