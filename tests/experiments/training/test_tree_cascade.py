"""The application trains a cascade of trees that the library reads."""

import functools
import importlib.util
import json

import numpy as np
import pytest

from inpaint_jax.landmarks import dlib_host
from inpaint_jax.landmarks.cascade import model_file

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("dlib") is None, reason="dlib trains the trees"
)

FACES, SIZE = 12, 48
TINY = (
    *("--model=cascade", "--tree_levels=2", "--trees=12", "--tree_depth=2"),
    *("--tree_features=20", "--tree_candidates=5", "--initial_shapes=4"),
)


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    """Pictures with a bright square, 68 points on it, in a file of arrays."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (FACES, SIZE, SIZE, 3), np.uint8)
    grid = np.linspace(4, 27, dlib_host.POINTS)
    shape = np.stack([grid, 16 + 10 * np.sin(grid)], axis=-1)
    corner = rng.integers(0, 16, (FACES, 2))
    for image, (x, y) in zip(images, corner, strict=True):
        image[y : y + 32, x : x + 32] += 150
    path = tmp_path_factory.mktemp("faces") / "faces.npz"
    np.savez(
        path,
        images=images,
        boxes=np.tile([4, 4, 43, 43], (FACES, 1)),
        landmarks=(shape[None] + corner[:, None]).astype(np.float32),
    )
    return path


@pytest.fixture(scope="session")
def train(launched):
    return functools.partial(launched, "experiments.train_landmarks")


def test_a_cascade_is_trained_tested_and_read(train, labelled, tmp_path):
    source = f"labelled:{labelled}"
    done = train(
        *TINY,
        f"--data={source}",
        f"--test_data={source}",
        "--damage=centre,random50",
        f"--run_dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "cascade.json").read_text())
    assert report["faces"] == 3 * FACES and report["faces_test"] == FACES
    assert report["damage"] == ["centre", "random50"]
    assert report["settings"]["depth"] == 2 and report["settings"]["trees"] == 12
    assert 0 < report["error_test"] < 1
    assert f"{report['error_test']:.4f} on other faces" in done.stdout
    model = model_file.load(tmp_path / "cascade.dat")
    assert model.points == dlib_host.POINTS and model.first.shape == (2, 12, 3)
    flags = (tmp_path / "effective.flags").read_text()
    assert "--tree_depth=2" in flags and "--damage=centre,random50" in flags


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--data=xml:missing.xml"], "missing.xml"),
        (["--data=labelled:missing.npz"], "missing.npz"),
        (["--data=array:{file}", "--landmark_model=missing.dat"], "missing.dat"),
        (["--data=labelled:{file}", "--damage=hat"], "--damage=hat"),
        (["--data=labelled:{file}", "--tree_depth=11"], "tree_depth"),
        ([], "--data"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_one_sentence(train, labelled, tmp_path, flags, word):
    given = [flag.format(file=labelled) for flag in flags]
    done = train(*TINY, *given, f"--run_dir={tmp_path}")
    assert done.returncode == 2
    assert word in done.stderr and done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "cascade.dat").exists()
