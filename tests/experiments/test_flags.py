"""Flag files say what they are: landmark.flags is what runs without any flag."""

import pathlib

import pytest

from experiments.common import options
from experiments.search import picture_options, search_methods
from inpaint_jax.errors import InputError
from inpaint_jax.search import landmark_term
from inpaint_jax.search.settings import Settings

FLAGS = pathlib.Path(__file__).parents[2] / "experiments" / "flags"
APPLICATIONS = sorted(
    path.stem
    for path in FLAGS.parent.glob("*.py")
    if "application.run(main)" in path.read_text()
)


def stated(file):
    return options.parse(search_methods.Asked, [f"--flagfile={FLAGS / file}"])


def test_landmark_flags_are_the_defaults():
    lines = (FLAGS / "landmark.flags").read_text().splitlines()
    assert len([line for line in lines if line.startswith("--")]) > 10
    assert stated("landmark.flags") == search_methods.Asked()


def test_the_applications_defaults_are_the_librarys():
    usual = options.parse(search_methods.Asked, [])
    assert usual.search.settings == Settings()
    assert usual.landmarks.used == landmark_term.Settings()


def test_the_default_asks_for_no_oracle():
    landmarks = search_methods.Asked().landmarks
    assert landmarks.landmark_target != "oracle" and not landmarks.allow_oracle


@pytest.mark.parametrize(
    "given",
    [f"--{name}=1e39" for name in ("learning_rate", "init_std", "landmark_radius")]
    + [f"--lambda_{name}=1e308" for name in ("context", "prior", "landmark")]
    + [f"--lambda_{name}=1e308" for name in ("structure", "in_domain")]
    + [f"--{name}=999999999" for name in ("window", "structure_blur")]
    + ["--landmark_pairs=999999999", "--structure_tolerance=1e39"],
)
def test_a_search_takes_no_number_that_overflows_or_never_ends(given):
    with pytest.raises(InputError, match=f"^{given}: .* is not a.* in the range"):
        options.parse(search_methods.Asked, [given])


@pytest.mark.parametrize("given", ["0.0", "-1", "1e9", "inf", "nan"])
def test_memory_is_a_number_of_gigabytes(given):
    with pytest.raises(InputError, match=f"^--max_memory={given}: "):
        options.parse(picture_options.Pictures, [f"--max_memory={given}"])


# The numbers that Yeh et al. 2017 (section 3) and the thesis (section 3.3) state.
def test_the_preset_of_yeh_et_al_carries_the_published_numbers():
    asked = stated("si_paper.flags")
    settings = asked.search.settings
    assert (settings.iterations, settings.window) == (1500, 7)
    assert (settings.lambda_prior, settings.saturating) == (0.003, True)
    assert asked.search.blend == "poisson" and asked.landmarks.used is None


def test_the_preset_of_the_thesis_carries_the_published_numbers():
    asked = stated("thesis.flags")
    settings, used = asked.search.settings, asked.landmarks.used
    assert (settings.iterations, settings.restarts) == (1000, 64)
    assert (settings.lambda_prior, settings.window) == (0.003, 7)
    assert asked.search.blend == "paste"
    assert asked.landmarks.landmark_target == "masked"
    assert used is not None and (used.term, used.gradient) == ("step", "none")
    assert (used.input, used.threshold) == ("masked", 3.0)
    assert used.threshold_unit == "pixels"


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_help_is_the_applications_own(name, launched):
    done = launched(f"experiments.{name}", "--help")
    assert done.returncode == 0, done.stderr
    assert f"python -m experiments.{name}" in done.stdout
    found = [line for line in done.stdout.splitlines() if line.startswith("  --")]
    assert len(found) == len(set(found)) > 3
    assert "  --[no]debug" in found and "--flagfile\n" not in done.stdout
    texts = " ".join(done.stdout.split())
    assert texts.count("default: ") == len(found)
    assert "( " not in texts and "[no]help" not in texts


@pytest.mark.parametrize(
    ("name", "given", "new"),
    [
        ("inpaint", "--products=float32", "precision"),
        ("inpaint", "--start=normal", "z_prior"),
        ("evaluate", "--spread=1", "init_std"),
        ("train", "--start_from=runs/old", "pretrained"),
        ("train_landmarks", "--start_from=runs/old", "pretrained"),
    ],
)
def test_an_old_name_leads_to_the_new_one(name, given, new, launched, tmp_path):
    file = tmp_path / "old.flags"
    file.write_text(f"{given}\n")
    old = given.partition("=")[0]
    for argument in (given, f"--flagfile={file}"):
        done = launched(f"experiments.{name}", argument)
        assert done.returncode == 2
        assert done.stderr == f"error: {old}: is called --{new} now.\n"
