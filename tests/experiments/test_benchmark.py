"""The benchmark writes one flat file, and counts operations as they are defined."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import pytest

from experiments.benchmarks import search_speed, training_speed
from experiments.training import gan_recipe
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
    recipe = gan_recipe.Recipe()
    recipes = [training_speed.without_encoder(recipe), recipe]
    for name in ("lambda_features", "real_penalty", "fake_penalty"):
        recipes.append(dataclasses.replace(recipes[-1], **{name: 1.0}))
    found = [training_speed.step_flops(a, each) for each in recipes]
    assert search_speed.step_flops(a) < found[0]
    assert found == sorted(set(found))


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
