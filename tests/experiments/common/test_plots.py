"""Plots depend on their data alone, and matplotlib is loaded by what draws."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from experiments.common import plots


def rendered():
    def draw(figure):
        axes = figure.subplots()
        for i in range(len(plots.COLOURS)):
            axes.plot([0, 1], [i, i + 1], label=f"line {i}", **plots.line(i))
        axes.legend()

    return plots.render(draw, width=300, height=200)


def test_a_picture_has_the_size_that_is_asked_for_and_a_white_edge():
    image = rendered()
    assert image.shape == (200, 300, 3) and image.dtype == np.uint8
    assert (image[[0, -1]] == 255).all() and (image[:, [0, -1]] == 255).all()
    assert (image != 255).any()


def test_settings_of_a_user_change_nothing_and_are_left_alone():
    expected = rendered()
    with matplotlib.rc_context({"lines.linewidth": 9.0, "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        np.testing.assert_array_equal(rendered(), expected)
        assert dict(matplotlib.rcParams) == before


def test_strokes_and_markers_tell_curves_apart_without_colours():
    count = len(plots.COLOURS)
    assert len({plots.line(i)["linestyle"] for i in range(count)}) == count
    assert len({plots.marker(i)["marker"] for i in range(count)}) == count


def test_matplotlib_is_loaded_by_what_draws_and_pyplot_never(environment):
    code = """
import sys
from experiments import ablation
from experiments.common import curves
from experiments.search import quality_curves
from experiments.training import health
print("matplotlib" in sys.modules)
curves.draw({"loss": {"a": [(1.0, 2.0), (2.0, 1.0)]}}, width=300, height=200)
print("matplotlib" in sys.modules, "matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == ["False", "True", "False"], done.stderr


@pytest.mark.parametrize("application", ["ablation", "quality", "train"])
def test_an_application_that_would_draw_says_at_once_what_is_missing(
    application, tmp_path, launched
):
    (tmp_path / "metrics.jsonl").touch()
    flags = {"train": (f"--check={tmp_path}", "--data=missing")}
    given = flags.get(application, (f"--output_dir={tmp_path / 'out'}",))
    done = launched(
        "tests.experiments.without_matplotlib", f"experiments.{application}", *given
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: matplotlib is not installed; run "
        "pip install -e '.[plots]' in the project's folder.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
