"""The benchmark writes one flat file, and counts operations as they are defined."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from experiments.benchmarks import search_speed, training_speed
from experiments.search import quality_curves
from inpaint_jax.models import dcgan

ROOT = pathlib.Path(__file__).parents[2]


def multiply_adds(a):
    """Of G and of D, forward, for one image: {layer: count}, by walking the taps."""
    found, side, channels = [], a.image_size, 3
    for level in range(a.levels):
        side //= 2
        wider = a.features << level
        found.append(side * side * a.kernel_size**2 * channels * wider)
        channels = wider
    ends = {"project": a.z_dim * 16 * channels, "to_logit": 16 * channels}
    return sum(found), ends


@pytest.mark.parametrize("changes", [{}, {"kernel_size": 4, "features": 48}])
def test_a_search_step_is_two_networks_there_and_back(changes):
    a = dcgan.Architecture(**changes)
    layers, ends = multiply_adds(a)
    expected = 2 * 2 * (2 * layers + sum(ends.values()))
    assert search_speed.step_flops(a) == expected


def test_a_training_step_costs_more_than_a_search_step():
    a = dcgan.Architecture()
    alone, beside = (training_speed.step_flops(a, encoder=e) for e in (False, True))
    assert search_speed.step_flops(a) < alone < beside


def test_the_file_is_flat_and_names_the_machine(tmp_path):
    output = tmp_path / "found.json"
    command = [sys.executable, "-m", "experiments.benchmark", "--suite=blend"]
    command += ["--batch_size=2", "--rounds=2", f"--output={output}"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    assert found["batch_size"] == 2 and "device" in found
    assert found["peak_gflops"] > 0 and found["peak_gbytes"] > 0
    for name in ("blend_paste", "blend_poisson"):
        assert found[name]["ms"] > 0 and found[name]["spread"] >= 0


def test_quality_is_what_each_search_had_reached_by_then():
    first = [quality_curves.Point(1.0, 5.0, 10.0), quality_curves.Point(3.0, 1.0, 20.0)]
    second = [quality_curves.Point(2.0, 3.0, 30.0)]
    assert quality_curves.mean_at([first, second], 1.5) is None
    mean = quality_curves.mean_at([first, second], 2.5)
    assert mean == {"loss": 4.0, "psnr_hole": 20.0, "seconds": 1.5}
    assert quality_curves.mean_at([first, second], 9.0)["loss"] == 2.0


def test_what_is_drawn_shows_both_values():
    point = [quality_curves.Point(t, 1.0 / t, t) for t in (0.5, 1.0, 4.0)]
    page = quality_curves.drawn({"one": [point]}, longest=4.0)
    assert page.shape == (520, 760, 3)
    for half in np.split(page, 2):
        assert (half != 255).any()
