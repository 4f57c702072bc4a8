"""Training of the landmark net as a user starts, kills, repeats and changes it."""

import concurrent.futures
import dataclasses
import functools
import importlib.util
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inpaint_jax.io import checkpoints, files
from inpaint_jax.landmarks import annotation, dlib_host
from inpaint_jax.landmarks.cascade import model_file, shape_model
from inpaint_jax.models import landmark_net
from inpaint_jax.pretrained import networks
from inpaint_jax.training import train_landmark_net
from tests.experiments import launcher

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("dlib") is None, reason="labels are dlib's"
)

ROOT = pathlib.Path(__file__).parents[2]
TINY = landmark_net.Architecture(image_size=16, features=4, hidden=8)
PICTURES, STEPS = 16, 24
LAST_CHECKPOINTS = (20, 24)


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def usual(tmp_path_factory):
    """Flags of a short run on noise that writes a checkpoint every 4 steps."""
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (PICTURES, 16, 16, 3), np.uint8)
    np.save(folder / "noise.npy", noise)
    (folder / "toy.dat").write_bytes(model_file.serialise(toy_model(rng)))
    return (
        f"--data=array:{folder}/noise.npy",
        f"--landmark_model={folder}/toy.dat",
        *("--image_size=16", "--features=4", "--hidden=8", "--batch_size=7"),
        *(f"--steps={STEPS}", "--log_every=1", "--checkpoint_every=4"),
    )


def toy_model(rng):
    """A model of one split: the brighter of two pixels decides how wide the face is."""
    initial = rng.uniform(0, 1, (1, dlib_host.POINTS, 2)).astype(np.float32)
    return shape_model.ShapeModel(
        initial=initial[0],
        first=np.array([[[0]]], np.int32),
        second=np.array([[[1]]], np.int32),
        threshold=np.zeros((1, 1, 1), np.float32),
        leaves=np.stack([0.2 * initial, -0.2 * initial], axis=1)[None],
        anchor=np.array([[27, 8]], np.int32),
        offset=np.zeros((1, 2, 2), np.float32),
    )


def command(*flags):
    return [sys.executable, "-m", "experiments.train_landmarks", *map(str, flags)]


@pytest.fixture(scope="session")
def train(launched):
    def run(*flags, start=launched):
        done = start("experiments.train_landmarks", *flags)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def undisturbed(train, environment, usual, tmp_path_factory):
    """A whole run and its release; started as a user does."""
    folder = tmp_path_factory.mktemp("landmarks")
    flags = (*usual, f"--run_dir={folder}/run", f"--export={folder}/release")
    outcome = train(*flags, start=functools.partial(launcher.python_m, environment))
    assert outcome.code == 0, outcome.err
    return outcome, folder / "run", folder / "release"


def lines_of(run_dir):
    path = run_dir / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def steps_of(run_dir):
    return [line["step"] for line in lines_of(run_dir)]


def errors_of(run_dir):
    return [line["error"] for line in lines_of(run_dir)]


def last_state(run_dir):
    optimizer = optax.adamw(1.0)
    template = jax.eval_shape(
        lambda: train_landmark_net.init(
            jax.random.key(0),
            jnp.zeros((dlib_host.POINTS, 2)),
            architecture=TINY,
            optimizer=optimizer,
        )
    )
    with checkpoints.opened(run_dir) as store:
        step, state, _ = store.latest(template)
    return step, state


def assert_same_state(run_dir, other):
    (step, found), (expected_step, expected) = last_state(run_dir), last_state(other)
    assert step == expected_step == STEPS
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()


def test_a_run_leaves_logs_labels_and_checkpoints(undisturbed):
    outcome, run_dir, _ = undisturbed
    assert "Traceback" not in outcome.err
    assert f"labelling {PICTURES} faces with dlib" in outcome.out
    assert steps_of(run_dir) == list(range(1, STEPS + 1))
    for line in lines_of(run_dir):
        assert line.keys() == {
            "step",
            "seconds",
            "negative_log_likelihood",
            "error",
            "data_wait_fraction",
        }
        assert np.isfinite(line["negative_log_likelihood"]) and 0 < line["error"] < 16
    kept = {p.name for p in (run_dir / "checkpoints").iterdir() if p.is_dir()}
    assert kept == {str(step) for step in LAST_CHECKPOINTS}


def test_training_starts_at_the_mean_of_the_labels(undisturbed):
    _, run_dir, _ = undisturbed
    with np.load(run_dir / "labels.npz") as stored:
        landmarks = stored["landmarks"]
    assert landmarks.shape == (PICTURES, dlib_host.POINTS, 2)
    mirrored = landmarks[:, annotation.MIRRORED] * [-1, 1] + [15, 0]
    views = np.concatenate([landmarks, mirrored])
    off = np.linalg.norm(views - landmarks.mean(axis=0), axis=-1).mean(axis=1)
    found = errors_of(run_dir)[0]
    assert off.min() < found < off.max()
    # Far less than from the corner of the picture.
    assert 2 * found < np.linalg.norm(landmarks, axis=-1).mean()


def test_effective_flags_name_every_setting(undisturbed, usual):
    lines = (undisturbed[1] / "effective.flags").read_text().splitlines()
    assert lines[0].startswith("# python -m experiments.train_landmarks")
    for expected in (*usual, "--seed=0", "--weight_decay=0.05", "--crop=128"):
        assert expected in lines


def test_export_writes_a_release_of_the_run(undisturbed):
    _, run_dir, release = undisturbed
    exported, trained = (
        networks.load(path, model="landmark_net") for path in (release, run_dir)
    )
    assert exported.architecture == trained.architecture == TINY
    assert exported.crop == trained.crop == 128
    for half, full in zip(
        jax.tree.leaves(exported.variables),
        jax.tree.leaves(trained.variables),
        strict=True,
    ):
        np.testing.assert_array_equal(half, np.asarray(full).astype(np.float16))
    described = json.loads((release / "model.json").read_text())
    assert described["architecture"] == dataclasses.asdict(TINY)
    provenance = described["provenance"]
    assert provenance["images"] == PICTURES
    assert provenance["settings"]["steps"] == STEPS
    assert "--run_dir" not in provenance["command"]


def kill_after(environment, run_dir, step, flags):
    """Starts training and kills it once `step` is in the log."""
    process = subprocess.Popen(
        command(*flags, f"--run_dir={run_dir}"),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        deadline = time.monotonic() + 120
        while process.poll() is None and max(steps_of(run_dir), default=0) < step:
            assert time.monotonic() < deadline, "no step in 120 s"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, err
    assert step <= steps_of(run_dir)[-1] < STEPS


def test_a_killed_run_ends_like_an_undisturbed_one(
    undisturbed, train, environment, usual, tmp_path
):
    _, expected, _ = undisturbed
    for name in ("labels.npz", "effective.flags"):  # labels take a while
        shutil.copy(expected / name, tmp_path)
    kill_after(environment, tmp_path, 7, usual)
    outcome = train(*usual, f"--run_dir={tmp_path}")
    assert outcome.code == 0, outcome.err
    assert "resuming after step" in outcome.out and "labelling" not in outcome.out
    assert steps_of(tmp_path) == list(range(1, STEPS + 1))
    assert errors_of(tmp_path) == errors_of(expected)
    assert_same_state(tmp_path, expected)


# Refusals: name -> (further flags, words of the sentence). The first meets the folder
# of a run that was started with the usual flags; its rate falls to 0 at the last step.
REFUSED = {
    "more steps": ([f"--steps={STEPS + 1}"], [f"--steps={STEPS + 1}", f"has {STEPS}"]),
    "image_size 24": (["--image_size=24"], ["--image_size", "24"]),
    "other labels": (
        ["--landmark_model={other}"],
        ["--landmark_model=", "gives other landmarks than the run in --run_dir"],
    ),
    "no model": (["--landmark_model=no.dat"], ["--landmark_model=no.dat"]),
}


@pytest.fixture(scope="session")
def refused(undisturbed, train, usual, tmp_path_factory):
    """All refusals, two at a time."""
    folder = tmp_path_factory.mktemp("refused")
    for name in ("more steps", "other labels"):
        shutil.copytree(undisturbed[1], folder / name)
    other = folder / "other.dat"
    other.write_bytes(model_file.serialise(toy_model(np.random.default_rng(1))))

    def run(name):
        changed = (flag.format(other=other) for flag in REFUSED[name][0])
        flags = (*usual, f"--run_dir={folder / name}", *changed)
        return train(*flags), folder / name

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return dict(zip(REFUSED, pool.map(run, REFUSED), strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_flags_give_a_sentence_and_exit_code_2(refused, name):
    outcome, _ = refused[name]
    assert outcome.code == 2
    assert outcome.err.startswith("error: ") and "Traceback" not in outcome.err
    assert outcome.err.count("\n") == 1
    for word in REFUSED[name][1]:
        assert word in outcome.err


def test_a_release_of_another_network_is_not_exported_to(train, usual, tmp_path):
    ours = shutil.copytree(files.ASSETS / "ce", tmp_path / "ce")
    flags = (*usual, f"--run_dir={tmp_path}/run", f"--export={ours}")
    outcome = train(*flags)
    assert outcome.code == 2
    assert f"--export={ours}: holds a release of ce, which is not" in outcome.err
    assert (tmp_path / "ce" / "ce.safetensors").is_file()


@pytest.mark.parametrize("name", ["more steps", "other labels"])
def test_a_refused_run_is_as_it_was(refused, undisturbed, name):
    _, run_dir = refused[name]
    for file in ("effective.flags", "metrics.jsonl", "labels.npz"):
        assert (run_dir / file).read_bytes() == (undisturbed[1] / file).read_bytes()
    assert_same_state(run_dir, undisturbed[1])


STRANGERS = {
    "labels.npz": (),
    "effective.flags": ("--model=cascade",),
    "cascade.dat": ("--model=cascade",),
    "landmarks.json": ("--check=release", "--check_data=array:none.npy"),
    "samples/a.png": (),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_files_of_another_origin_are_not_replaced(train, usual, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    outcome = train(*usual, f"--run_dir={tmp_path}", *STRANGERS[name])
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    first = name.partition("/")[0]
    assert f"--run_dir={tmp_path}: holds files that are no results" in outcome.err
    assert f"as {first};" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == [first]
    assert (tmp_path / name).read_text() == "mine"


def test_a_cascade_that_is_refused_leaves_the_flags_of_the_run(
    undisturbed, train, usual, tmp_path
):
    run_dir = tmp_path / "run"
    shutil.copytree(undisturbed[1], run_dir)
    flags = (*usual, f"--run_dir={run_dir}", "--model=cascade", "--data=xml:none.xml")
    assert train(*flags).code == 2
    before = (undisturbed[1] / "effective.flags").read_bytes()
    assert (run_dir / "effective.flags").read_bytes() == before
