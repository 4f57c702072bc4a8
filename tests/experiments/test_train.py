"""Training as a user starts, stops, kills and repeats it."""

import concurrent.futures
import functools
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inpaint_jax.io import checkpoints, files, picture_files
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import weights
from inpaint_jax.training import gan_gradients, train_gan
from tests import drawn
from tests.experiments import launcher

ROOT = pathlib.Path(__file__).parents[2]
TINY = dcgan.Architecture(image_size=16, features=4, z_dim=8, kernel_size=4)
NETWORK = ("--image_size=16", "--features=4", "--z_dim=8", "--batch_size=4")
STEPS = 40
LAST_CHECKPOINTS = (36, 40)


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "noise.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (13, 16, 16, 3), np.uint8))
    return path


@pytest.fixture(scope="session")
def usual(pictures):
    """Flags of a short run that writes a checkpoint every 4 steps."""
    return (
        *NETWORK,
        f"--data=array:{pictures}",
        f"--steps={STEPS}",
        "--log_every=1",
        "--sample_every=20",
        "--checkpoint_every=4",
    )


def command(*flags):
    return [sys.executable, "-m", "experiments.train", *map(str, flags)]


@pytest.fixture(scope="session")
def train(launched):
    def run(*flags, start=launched):
        done = start("experiments.train", *flags)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def undisturbed(train, environment, usual, tmp_path_factory):
    """A whole run and its release; started as a user does."""
    folder = tmp_path_factory.mktemp("train")
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


def last_state(run_dir, *, encodes=True):
    rate = optax.adam(1e-4)
    encoder = (TINY.encoder(), rate) if encodes else ()
    trained = gan_gradients.Networks(
        TINY.generator(), TINY.discriminator(), rate, rate, *encoder
    )
    template = jax.eval_shape(
        lambda: train_gan.init(jax.random.key(0), networks=trained)
    )
    with checkpoints.opened(run_dir) as store:
        step, state, _ = store.latest(template)
    return step, state


def assert_same_state(run_dir, other):
    (step, found), (expected_step, expected) = last_state(run_dir), last_state(other)
    assert step == expected_step == STEPS
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()


def assert_refused(outcome, *words):
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert "Traceback" not in outcome.err
    assert outcome.err.count("\n") == 1
    for word in words:
        assert word in outcome.err


def test_a_run_leaves_logs_samples_and_checkpoints(undisturbed):
    outcome, run_dir, _ = undisturbed
    assert "Traceback" not in outcome.err
    assert steps_of(run_dir) == list(range(1, STEPS + 1))
    for line in lines_of(run_dir):
        assert {"seconds", "generator_loss", "discriminator_loss"} <= line.keys()
        assert np.isfinite(line["generator_loss"])
        assert 0.0 <= line["real_accuracy"] <= 1.0
    samples = sorted(path.name for path in (run_dir / "samples").iterdir())
    assert samples == ["step_0000020.png", "step_0000040.png"]
    sheet = picture_files.read(run_dir / "samples" / samples[0])
    assert sheet.shape == (8 * 18 + 2, 8 * 18 + 2, 3) and sheet.std() > 1
    kept = {p.name for p in (run_dir / "checkpoints").iterdir() if p.is_dir()}
    assert kept == {str(step) for step in LAST_CHECKPOINTS}


def test_effective_flags_name_every_setting(undisturbed, pictures):
    _, run_dir, _ = undisturbed
    lines = (run_dir / "effective.flags").read_text().splitlines()
    assert lines[0].startswith("# python -m experiments.train")
    assert f"--data=array:{pictures}" in lines
    for expected in (
        *("--seed=0", "--features=4", "--beta1=0.5", "--average_images=44000.0"),
        *("--augment=brightness,translation", "--flip"),
    ):
        assert expected in lines


def test_export_writes_a_release_of_the_run(undisturbed):
    _, run_dir, release = undisturbed
    exported, trained = weights.load(release), weights.load(run_dir)
    assert exported.architecture == trained.architecture == TINY
    assert exported.crop == trained.crop == 128
    z = train_gan.sample_z(jax.random.key(1), 4, TINY.z_dim)
    image = trained.generate(z)
    assert bool(jnp.isfinite(image).all()) and float(jnp.std(image)) > 1e-3
    np.testing.assert_allclose(exported.generate(z), image, atol=2e-3)
    assert exported.encodes == "whole faces"
    for name in ("generator", "discriminator"):
        assert (release / f"{name}.stablehlo").is_file()
    described = json.loads((release / "model.json").read_text())["provenance"]
    assert described["steps"] == STEPS and described["images"] == 13


def test_a_finished_run_goes_on_from_its_effective_flags(undisturbed, train, tmp_path):
    _, run_dir, _ = undisturbed
    before = last_state(run_dir)
    outcome = train(
        f"--flagfile={run_dir}/effective.flags",
        f"--export={tmp_path}/release",
    )
    assert outcome.code == 0, outcome.err
    assert f"resuming after step {STEPS}" in outcome.out
    assert steps_of(run_dir) == list(range(1, STEPS + 1))
    after = last_state(run_dir)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(a, b)
    assert weights.load(tmp_path / "release").architecture == TINY


def end_after(environment, run_dir, step, flags, number):
    """Starts training and sends it a signal once `step` is in the log."""
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
        process.send_signal(number)
        _, err = process.communicate()
    steps = steps_of(run_dir)
    assert step <= steps[-1] < STEPS
    return process.returncode, err, steps[-1]


def test_a_killed_run_ends_like_an_undisturbed_one(
    undisturbed, train, environment, usual, tmp_path
):
    _, expected, _ = undisturbed
    run_dir = tmp_path / "run"
    # Most likely before a checkpoint.
    code, err, _ = end_after(environment, run_dir, 2, usual, signal.SIGKILL)
    assert code == -signal.SIGKILL, err
    code, err, last = end_after(environment, run_dir, 13, usual, signal.SIGTERM)
    assert code == 143 and "error: terminated; " in err and "Traceback" not in err
    assert checkpoints.read_meta(run_dir)[0] == last
    # What a process that is killed while it writes may leave.
    with open(run_dir / "metrics.jsonl", "a") as log:
        log.write('{"step": ' + str(last + 1))
    outcome = train(*usual, f"--run_dir={run_dir}")
    assert outcome.code == 0, outcome.err
    assert f"resuming after step {last}" in outcome.out
    assert steps_of(run_dir) == list(range(1, STEPS + 1))
    losses = [
        [line["generator_loss"] for line in lines_of(folder)]
        for folder in (run_dir, expected)
    ]
    assert losses[0] == losses[1]
    assert_same_state(run_dir, expected)


def test_the_seed_matters(undisturbed, train, usual, tmp_path):
    _, expected, _ = undisturbed
    flags = (*usual, f"--run_dir={tmp_path}/run", "--seed=1", "--steps=4")
    assert train(*flags).code == 0
    found = [line["generator_loss"] for line in lines_of(tmp_path / "run")]
    assert found != [line["generator_loss"] for line in lines_of(expected)[:4]]


def test_bad_pictures_are_skipped_with_exit_code_1(train, usual, tmp_path):
    faces = tmp_path / "faces"
    faces.mkdir()
    for i in range(14):
        picture_files.write(faces / f"{i}.png", np.full((16, 16, 3), i, np.uint8))
    (faces / "2.png").write_bytes(b"")
    flags = f"--data=folder:{faces}", f"--run_dir={tmp_path}/run", "--steps=2"
    outcome = train(*usual, *flags)
    assert outcome.code == 1
    assert "skipped" in outcome.out and "2.png" in outcome.out
    assert steps_of(tmp_path / "run") == [1, 2]
    assert weights.load(tmp_path / "run").architecture == TINY


def test_faces_are_packed_and_trained_on(train, tmp_path):
    # Smooth ones: noise is too large for its share of the archive.
    levels = (
        np.linspace(0, 1, 16)[:, None, None]
        * np.arange(80, 240, 20)[:, None, None, None]
    )
    folder = files.make_directory(tmp_path / "faces")
    for i, face in enumerate(np.broadcast_to(levels, (8, 16, 16, 3)).astype(np.uint8)):
        picture_files.write(folder / f"{i}.png", face)
    data = f"--data=folder:{folder}[:5],folder:{folder}[4:]"
    packed = tmp_path / "new" / "faces.zip"
    outcome = train("--image_size=16", data, f"--pack={packed}")
    assert outcome.code == 0, outcome.err
    *_, first, last = launcher.told(outcome.out)
    assert first.startswith("1 pictures repeat others")
    assert last.startswith(f"wrote {packed}: 8 faces, ") and "WebP quality 95" in last
    run_dir = tmp_path / "run"
    flags = (f"--data=zip:{packed}", f"--run_dir={run_dir}", "--steps=2")
    outcome = train(*NETWORK, *flags)
    assert (outcome.code, outcome.err) == (0, "")
    assert steps_of(run_dir) == [2]


def test_what_pack_did_not_write_is_not_replaced(train, pictures, tmp_path):
    data, packed = f"--data=array:{pictures}", tmp_path / "faces.zip"
    flat = (
        np.zeros((5, 16, 16, 3), np.uint8)
        + np.arange(5, dtype=np.uint8)[:, None, None, None]
    )
    np.save(tmp_path / "flat.npy", flat)
    flat = f"--data=array:{tmp_path}/flat.npy"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("1.png", b"mine")
    photograph = tmp_path / "me.png"
    photograph.write_bytes(b"mine")
    for path in (packed, photograph, pictures):
        before = path.read_bytes()
        outcome = train("--image_size=16", data, f"--pack={path}")
        assert_refused(outcome, f"--pack={path}: is there, and this program did not")
        assert path.read_bytes() == before
    packed.unlink()
    for _ in range(2):  # what it wrote is written anew
        assert train("--image_size=16", flat, f"--pack={packed}").code == 0
    before = packed.read_bytes()
    itself = f"--data=zip:{packed}[:3]"
    outcome = train("--image_size=16", itself, f"--pack={packed}")
    assert_refused(outcome, f"--pack={packed}: {itself} reads it")
    assert packed.read_bytes() == before
    outcome = train("--image_size=16", data, "--pack=/dev/null/faces.zip")
    assert_refused(outcome, "--pack=/dev/null/faces.zip: ")


# Refusals: name -> (further flags, words of the sentence).
REFUSED = {
    "no data": (["--data="], ["--data"]),
    "no run_dir": (["--run_dir="], ["--run_dir"]),
    "missing data": (["--data=array:missing.npy"], ["missing.npy"]),
    "missing archive": (["--data=zip:missing.zip"], ["missing.zip: no such file"]),
    "one of two missing": (
        ["--data=folder:tests/experiments/missing,zip:missing.zip"],
        ["tests/experiments/missing: no such folder"],
    ),
    "missing validation": (
        ["--validation=zip:missing.zip"],
        ["--validation=zip:missing.zip: no such file"],
    ),
    "nowhere to export": (["--export=/dev/null/x"], ["--export=/dev/null/x: cannot"]),
    "nowhere to cache": (["--cache=/dev/null/x.npy"], ["--cache=/dev/null/x.npy"]),
    "too little memory": (["--features=100000"], ["GB of memory", "--features"]),
    "no release to export to": (["--export=tests"], ["--export=tests", "no release"]),
    "nothing to check": (["--check=tests"], ["--check=tests: neither a training run"]),
    "training and packing": (
        ["--pack=faces.zip"],
        ["--batch_size: has no effect beside --pack; leave it out"],
    ),
    "image_size 50": (["--image_size=50"], ["--image_size", "50"]),
    "batch too large": (["--batch_size=14"], ["--batch_size=14", "13"]),
    "batch of one": (["--batch_size=1"], ["--batch_size"]),
    "unknown flag": (["--learning_rate=1"], ["learning_rate"]),
    "unknown argument": (["faces"], ["faces"]),
    "negative seed": (["--seed=-1"], ["seed"]),
    "large seed": (["--seed=99999999999999999999"], ["seed"]),
    "kernel of nothing": (["--kernel_size=1"], ["kernel_size"]),
}
# A flag file that is understood gets as far as the missing --data.
REFUSED |= {
    path.name: ([f"--flagfile={path}", "--data="], ["--data: missing"])
    for path in sorted((ROOT / "experiments" / "flags").glob("train_*.flags"))
    if "experiments.train --" in path.read_text(encoding="utf-8")
}


@pytest.fixture(scope="session")
def refused(train, usual, tmp_path_factory):
    """All refusals, two at a time."""
    folder = tmp_path_factory.mktemp("refused")

    def run(item):
        i, (flags, _) = item
        run_dir = folder / str(i)
        return train(*usual, f"--run_dir={run_dir}", *flags), run_dir

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(run, enumerate(REFUSED.values())))
    return dict(zip(REFUSED, outcomes, strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_flags_give_a_sentence_and_exit_code_2(refused, name):
    outcome, run_dir = refused[name]
    assert_refused(outcome, *REFUSED[name][1])
    assert steps_of(run_dir) == []


@pytest.mark.parametrize("model", ["gan", "encoder", "parser"])
def test_a_release_of_other_networks_is_not_exported_to(train, usual, tmp_path, model):
    ours = pathlib.Path(shutil.copytree(files.ASSETS / "gfc", tmp_path / "gfc"))
    flags = [flag for flag in usual if "z_dim" not in flag]
    outcome = train(
        *(*flags, f"--model={model}"),
        *(f"--run_dir={tmp_path}/run", f"--export={ours}"),
    )
    assert_refused(outcome, f"--export={ours}: holds a release of gfc", "another")
    assert sorted(path.name for path in ours.glob("*.safetensors")) == [
        "gfc.safetensors"
    ]
    assert steps_of(tmp_path / "run") == []


def test_a_refused_command_leaves_no_folder_to_export_to(train, tmp_path):
    for more in ([], ["--data=array:missing.npy"]):
        outcome = train(f"--run_dir={tmp_path}/run", f"--export={tmp_path}/new", *more)
        assert_refused(outcome, "--data")
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "flag, words",
    [
        ("--seed=5", ["--seed=5", "has 0"]),
        ("--generator_rate=0.5", ["--generator_rate=0.5", "0.0002"]),
        ("--features=2", ["float32 [8]", "float32 [4]"]),
    ],
)
def test_resuming_with_other_settings_is_refused(
    undisturbed, train, usual, tmp_path, flag, words
):
    run_dir = pathlib.Path(shutil.copytree(undisturbed[1], tmp_path / "run"))
    flags = (run_dir / "effective.flags").read_text()
    outcome = train(*usual, f"--run_dir={run_dir}", flag)
    assert_refused(outcome, *words)
    # The run is as it was, and its flag file still continues it.
    assert (run_dir / "effective.flags").read_text() == flags
    assert steps_of(run_dir) == list(range(1, STEPS + 1))


def test_a_run_dir_in_use_is_refused(undisturbed, train, usual):
    _, run_dir, _ = undisturbed
    flags = (run_dir / "effective.flags").read_text()
    with checkpoints.opened(run_dir):
        outcome = train(*usual, f"--run_dir={run_dir}")
    assert_refused(outcome, str(run_dir), "another process")
    assert (run_dir / "effective.flags").read_text() == flags
    assert steps_of(run_dir) == list(range(1, STEPS + 1))


def test_damage_to_the_last_checkpoint_is_refused(undisturbed, train, usual, tmp_path):
    run_dir = pathlib.Path(shutil.copytree(undisturbed[1], tmp_path / "run"))
    for path in (run_dir / "checkpoints" / str(STEPS) / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    outcome = train(*usual, f"--run_dir={run_dir}")
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert f"checkpoints/{STEPS}" in outcome.err


# Other ways to train, all from the run above.


@pytest.fixture(scope="session")
def few(usual):
    return tuple(flag for flag in usual if not flag.startswith("--steps"))


def test_training_can_start_from_other_networks(undisturbed, train, few, tmp_path):
    _, run_dir, _ = undisturbed
    outcome = train(
        *few,
        f"--pretrained={run_dir}",
        f"--run_dir={tmp_path}/run",
        *("--steps=1", "--generator_rate=1e-9", "--discriminator_rate=1e-9"),
    )
    assert outcome.code == 0, outcome.err
    before, after = weights.load(run_dir), weights.load(tmp_path / "run")
    for name, variables in before.networks.items():
        for a, b in zip(
            jax.tree.leaves(variables["params"]),
            jax.tree.leaves(after.networks[name]["params"]),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_model_without_discriminator_is_refused(train, few, tmp_path):
    (generator,) = weights.templates(TINY, discriminator=False).values()
    model = weights.Model(
        TINY,
        128,
        generator=drawn.variables(generator),
        discriminator=None,
        source={},
        discriminates=False,
    )
    weights.export(tmp_path / "alone", model, provenance={})
    for flag in ("--pretrained", "--check"):
        outcome = train(*few, f"{flag}={tmp_path}/alone", f"--run_dir={tmp_path}/run")
        assert_refused(outcome, f"{flag}={tmp_path}/alone", "no discriminator")


def test_a_start_of_another_architecture_is_refused(undisturbed, train, few, tmp_path):
    flags = (*few, f"--pretrained={undisturbed[1]}", f"--run_dir={tmp_path}/run")
    outcome = train(*flags, "--features=5")
    assert_refused(outcome, "--features=5", "--pretrained", "4")


@pytest.fixture(scope="session")
def encoder_run(undisturbed, train, few, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    outcome = train(
        *few,
        "--model=encoder",
        f"--checkpoint={undisturbed[1]}",
        f"--run_dir={folder}/run",
        *("--steps=8", f"--export={folder}/release"),
    )
    assert outcome.code == 0, outcome.err
    return folder


def test_an_encoder_is_trained_beside_an_unchanged_generator(undisturbed, encoder_run):
    before = weights.load(undisturbed[1])
    for folder in ("run", "release"):
        after = weights.load(encoder_run / folder)
        assert after.encodes == "damaged faces"
    after = weights.load(encoder_run / "run")
    for name in ("generator", "discriminator", "encoder"):
        same = all(
            np.array_equal(a, b)
            for a, b in zip(
                jax.tree.leaves(before.networks[name]),
                jax.tree.leaves(after.networks[name]),
                strict=True,
            )
        )
        assert same == (name != "encoder")
    assert steps_of(encoder_run / "run") == list(range(1, 9))
    assert lines_of(encoder_run / "run")[0]["error"] > 0


def test_an_encoders_run_goes_on_with_its_own_flags_only(encoder_run, train):
    flags = f"--flagfile={encoder_run}/run/effective.flags"
    assert "resuming after step 8" in train(flags).out
    outcome = train(flags, f"--checkpoint={encoder_run}/release")
    assert_refused(outcome, "--checkpoint", "the run in --run_dir has")


def test_a_search_starts_where_the_encoder_says(encoder_run, undisturbed, launched):
    def inpaint(checkpoint):
        flags = [
            f"--checkpoint={checkpoint}",
            "--landmark_term=none",
            "--lambda_structure=0",
            "--init=mixed",
        ]
        flags += ["--restarts=2", "--iterations=2", f"--output_dir={encoder_run}/out"]
        done = launched("experiments.inpaint", *flags)
        return Outcome(done.returncode, done.stdout, done.stderr)

    assert inpaint(encoder_run / "release").code == 0
    # The encoder that is trained beside G knows whole faces only.
    assert_refused(inpaint(undisturbed[1]), "--init=mixed", "whole faces")


def test_a_training_that_diverges_stops_with_exit_code_2(train, few, tmp_path):
    run_dir = tmp_path / "run"
    rates = ("--generator_rate=1e3", "--lambda_reconstruction=0")
    outcome = train(*few, f"--run_dir={run_dir}", "--steps=30", *rates)
    assert_refused(outcome, " at step ", "training diverged", "--generator_rate")
    assert all(line["discriminator_loss"] <= 1e5 for line in lines_of(run_dir))


def test_a_run_goes_on_when_its_pictures_have_moved(
    undisturbed, train, usual, pictures, tmp_path
):
    run_dir = pathlib.Path(shutil.copytree(undisturbed[1], tmp_path / "run"))
    moved = shutil.copy(pictures, tmp_path / "moved.npy")
    flags = (*usual, f"--run_dir={run_dir}")
    outcome = train(*flags, f"--data=array:{moved}")
    assert outcome.code == 0, outcome.err
    assert f"--data=array:{moved}" in (run_dir / "effective.flags").read_text()
    outcome = train(*flags, f"--data=array:{moved}[1:]")
    assert_refused(outcome, "--data=", "holds other pictures")


def test_the_thesiss_training_ends_after_its_minutes(train, few, tmp_path):
    run_dir = tmp_path / "run"
    flags = ("--flagfile=experiments/flags/train_thesis.flags", *few, "--kernel_size=4")
    outcome = train(*flags, f"--run_dir={run_dir}", "--steps=1000000", "--minutes=0.01")
    assert outcome.code == 0, outcome.err
    assert "(100 %)" in outcome.out and "done after step" in outcome.out
    model = weights.load(run_dir)
    assert model.prior == "normal" and model.encoder is None
    settings = checkpoints.read_meta(run_dir)[1]["settings"]
    assert settings["augment"] == [] and settings["beta1"] == 0.0
    assert (settings["flip"], settings["adversarial_loss"]) == (False, "saturating")
    # Without an average, what is stored is G as it is.
    _, state = last_state(run_dir, encodes=False)
    for a, b in zip(
        jax.tree.leaves(model.generator["params"]),
        jax.tree.leaves(state.generator["params"]),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_two_devices_train_like_one(undisturbed, train, environment, few, tmp_path):
    _, alone, _ = undisturbed
    flags = f"{environment['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    two = functools.partial(launcher.python_m, environment | {"XLA_FLAGS": flags})
    outcome = train(*few, f"--run_dir={tmp_path}/run", "--steps=4", start=two)
    assert outcome.code == 0, outcome.err
    for found, expected in zip(
        lines_of(tmp_path / "run"), lines_of(alone)[:4], strict=True
    ):
        for name in ("generator_loss", "discriminator_loss", "reconstruction"):
            assert found[name] == pytest.approx(expected[name], rel=1e-3)
    odd = train(*few, f"--run_dir={tmp_path}/odd", "--batch_size=3", start=two)
    assert_refused(odd, "--batch_size=3", "2 devices")


def test_the_best_checkpoint_is_kept(train, few, pictures, tmp_path):
    pytest.importorskip("dlib")
    outcome = train(
        *few,
        f"--validation=array:{pictures}[:4]",
        f"--run_dir={tmp_path}/run",
        *("--steps=12", "--spectral_norm", "--precision=bfloat16"),
    )
    assert outcome.code == 0, outcome.err
    scores = {x["step"]: x["score"] for x in lines_of(tmp_path / "run") if "score" in x}
    assert sorted(scores) == [4, 8, 12]
    kept = weights.load(tmp_path / "run" / "best")
    assert kept.source["step"] == min(scores, key=scores.__getitem__)
    assert kept.architecture.spectral_norm
