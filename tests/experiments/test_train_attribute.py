"""The classifier of an attribute: what is refused before a face is looked at."""

import shutil

import numpy as np
import pytest

from inpaint_jax.io import files
from tests import drawn


@pytest.fixture
def fit(launched, tmp_path):
    np.save(tmp_path / "faces.npy", drawn.noise(6, 64, 64, 3))
    (tmp_path / "labels.csv").write_text("id,male,young\n1,1,1\n2,0,0\n")

    def run(*flags):
        usual = (
            f"--data=array:{tmp_path}/faces.npy",
            f"--validation=array:{tmp_path}/faces.npy[4:]",
            *(f"--labels={tmp_path}/labels.csv", f"--export={tmp_path}/new"),
        )
        done = launched("experiments.train_attribute", *usual, *flags)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert "embedding" not in done.stdout and not (tmp_path / "new").exists()
        return done.stderr

    return run


def test_training_faces_are_not_held_out(fit, tmp_path):
    validation = f"--validation=array:{tmp_path}/faces.npy[4:]"
    assert f"{validation}: 2 of its 2 faces are among those of --data" in fit()


def test_labels_of_nothing_are_blamed(fit, tmp_path):
    (tmp_path / "empty.csv").touch()
    said = fit(f"--labels={tmp_path}/empty.csv")
    assert f"--labels={tmp_path}/empty.csv: says of no picture" in said


def test_the_classifier_of_another_attribute_is_not_replaced(fit, tmp_path):
    there = shutil.copytree(files.ASSETS / "attributes", tmp_path / "attributes")
    said = fit("--attribute=young", f"--export={there}")
    assert f"--export={there}: holds a release of male, which is not" in said
    assert (tmp_path / "attributes" / "male.safetensors").is_file()
