"""One command trains all networks by the clock, survives kills, and needs no dlib."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from experiments.training import (
    materials,
    release_files,
    release_install,
    release_labels,
    release_plan,
)
from inpaint_jax.errors import InputError
from inpaint_jax.io import data, folders
from inpaint_jax.pretrained import networks, weights
from tests import drawn
from tests.experiments import launcher

SIZE = 16
FILES = {
    *("generator.safetensors", "discriminator.safetensors", "encoder.safetensors"),
    *("net.safetensors", "ce.safetensors", "gfc.safetensors"),
    *("release.json", "logs.zip"),
}


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Flags that name faces of noise, and labels as --labels_only writes them."""
    folder = tmp_path_factory.mktemp("material")
    arrays = {"landmark_model_sha256": "none", "size": SIZE, "crop": 128}
    rng = np.random.default_rng(0)
    for name, count in (("faces", 24), ("validation", 9)):
        np.save(folder / f"{name}.npy", drawn.noise(count, SIZE, SIZE, 3, seed=count))
        width = len(str(count))
        arrays[f"{name}_names"] = np.array([f"{i:0{width}d}" for i in range(count)])
        arrays[name] = rng.uniform(2, 14, (count, 68, 2)).astype(np.float32)
    np.savez(folder / "labels.npz", **arrays)
    return (
        f"--data=array:{folder}/faces.npy",
        f"--validation=array:{folder}/validation.npy",
        f"--labels={folder}/labels.npz",
        f"--image_size={SIZE}",
        "--width=0.05",
        "--batch_size=16",
    )


def places(folder):
    return f"--run_dir={folder}/run", f"--output_dir={folder}/out"


RECIPE = "--flagfile=experiments/flags/release.flags"


def kill_when(is_time, command, environment):
    process = subprocess.Popen(
        command, cwd=launcher.ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300.0
    while not is_time() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    return process.wait()


@pytest.fixture(scope="module")
def released(environment, material, tmp_path_factory):
    """A whole release, killed within a network, where dlib cannot be imported."""
    folder = tmp_path_factory.mktemp("released")
    (folder / "dlib.py").write_text("raise ImportError('no dlib here')")
    path = os.pathsep.join([str(folder), environment.get("PYTHONPATH", "")])
    without_dlib = environment | {"PYTHONPATH": path}
    flags = (RECIPE, *material, *places(folder), "--minutes=0.2")
    command = [sys.executable, "-m", "experiments.release", *flags]
    begun = "run/encoder/checkpoints/[0-9]*"  # after the generator is finished
    killed = kill_when(lambda: list(folder.glob(begun)), command, without_dlib)
    assert killed == -signal.SIGKILL
    assert (folder / "out" / "generator.safetensors").is_file()
    done = launcher.python_m(without_dlib, "experiments.release", *flags)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_the_flags_of_a_release_are_in_its_run_dir(released):
    text = (released[0] / "run" / "effective.flags").read_text()
    assert text.startswith("# python -m experiments.release --flagfile=")


def read(folder):
    return json.loads((folder / "out" / "release.json").read_text())


def test_killed_it_ends_with_all_networks_in_eight_files(released):
    folder, done = released
    assert {path.name for path in (folder / "out").glob("[!.]*")} == FILES
    assert list(read(folder)["networks"]) == list(release_plan.SHARES)
    assert "done: " + ", ".join(release_plan.SHARES) in done.stdout


def test_what_is_written_says_how_it_was_made(released):
    found = read(released[0])
    for about in found["networks"].values():
        assert about["steps"] >= 1 and about["seconds"] > 0
        assert about["images_seen"] == 16 * about["steps"]
        assert about["images"] == 24 and "experiments.release" in about["command"]
    settings = found["networks"]["generator"]["settings"]
    assert settings["adversarial_loss"] == "relativistic"
    assert settings["augment"] == ["colour", "translation", "cutout"]


def test_each_network_can_be_installed_and_read(released, tmp_path):
    said = release_install.install(str(released[0] / "out"), assets=tmp_path)
    assert len(said) == len(release_files.RELEASES)
    model = weights.load(tmp_path / "dcgan")
    assert model.encodes == "damaged faces" and model.architecture.image_size == SIZE
    assert networks.load(tmp_path / "landmark_net", model="landmark_net").spread > 0
    for name in ("ce", "gfc"):
        assert networks.load(tmp_path / name, model=name).crop == 128


def test_started_again_it_trains_nothing(released, launched, material):
    folder, _ = released
    before = {p.name: p.stat().st_mtime_ns for p in (folder / "out").iterdir()}
    done = launched("experiments.release", RECIPE, *material, *places(folder))
    assert done.returncode == 0 and "compiling" not in done.stdout
    assert before == {p.name: p.stat().st_mtime_ns for p in (folder / "out").iterdir()}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--labels=/nowhere.npz",), ("--labels=/nowhere.npz", "--labels_only")),
        (("--only=gfc",), ("parser", "train it first")),
        (("--only=nose",), ("--only=nose", "gfc")),
        (("--image_size=60",), ("image_size", "60")),
        (("--minutes=nan",), ("--minutes=nan",)),
        (("--install=/nowhere",), ("has no effect beside --install",)),
    ],
)
def test_bad_input_is_refused_in_a_sentence(launched, material, tmp_path, flags, words):
    done = launched("experiments.release", *material, *places(tmp_path), *flags)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ") and all(w in done.stderr for w in words)


def test_a_release_that_is_not_there_is_not_installed(launched, tmp_path):
    (tmp_path / "file").touch()
    for name, words in {"none": "no such folder", "file": "is a file"}.items():
        done = launched("experiments.release", f"--install={tmp_path}/{name}")
        assert done.returncode == 2
        assert f"--install={tmp_path}/{name}: {words}; give the --output" in done.stderr


def test_labels_replace_labels_only(launched, material, tmp_path):
    labels = tmp_path / "labels.npz"
    np.savez(labels, mine=np.ones(3))
    before = labels.read_bytes()
    done = launched(
        "experiments.release", *material, "--labels_only", f"--labels={labels}"
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"--labels={labels}: is there, and this program did not" in done.stderr
    assert labels.read_bytes() == before
    (made,) = (x.partition("=")[2] for x in material if x.startswith("--labels="))
    assert release_labels.is_ours(made)
    (tmp_path / "text").write_text("mine")
    assert not release_labels.is_ours(tmp_path / "text")


def faces_named(*names, size=SIZE):
    return data.Faces(drawn.noise(len(names), size, size, 3), names, ())


def test_labels_go_to_the_faces_of_their_names(material):
    path = material[2].partition("=")[2]
    found = release_labels.read(
        path, faces_named("07", "03"), faces_named("8"), crop=128
    )
    with np.load(path) as stored:
        np.testing.assert_array_equal(found.faces, stored["faces"][[7, 3]])
        np.testing.assert_array_equal(found.validation, stored["validation"][[8]])


@pytest.mark.parametrize(
    ("faces", "crop", "words"),
    [
        (faces_named("07", "x"), 128, "no landmarks of 1 of the 2 faces, as x"),
        (faces_named("07", size=8), 128, "'size': 8"),
        (faces_named("07"), 108, "'crop': 108"),
    ],
)
def test_labels_of_other_faces_are_refused(material, faces, crop, words):
    path = material[2].partition("=")[2]
    with pytest.raises(InputError, match=words):
        release_labels.read(path, faces, faces, crop=crop)


@pytest.mark.parametrize("left", [600.0, 200.0])
def test_the_time_is_shared_out_and_no_more_than_it(left):
    missing, total = list(release_plan.SHARES), 0.0
    while missing:
        seconds = release_plan.seconds_of_the_first(missing, left - total)
        assert seconds >= 20.0
        total += seconds + 6.0
        missing.pop(0)
    assert total == pytest.approx(left)


def test_two_processes_may_write_one_release(tmp_path):
    with folders.alone(tmp_path):
        writer = threading.Thread(
            target=release_files.describe,
            args=(tmp_path, "ce", {"seconds": 1.0}),
        )
        writer.start()
        writer.join(timeout=0.3)
        assert writer.is_alive() and not (tmp_path / "release.json").exists()
    writer.join()
    release_files.describe(tmp_path, "gfc", {"seconds": 2.0})
    assert list(release_files.read(tmp_path)["networks"]) == ["ce", "gfc"]


STRANGERS = ("generator.safetensors", "net.safetensors", "logs.zip", "release.json")


@pytest.mark.parametrize("name", STRANGERS)
def test_files_of_another_origin_are_not_replaced(launched, material, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text('{"mine": {}}')
    done = launched("experiments.release", *material, *places(tmp_path))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"--output_dir={out}: {name} is there, and no release" in done.stderr
    assert [path.name for path in out.glob("[!.]*")] == [name]
    assert (out / name).read_text() == '{"mine": {}}'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("effective.flags", "mine"),
        ("effective.flags", "# python -m experiments.train --flagfile=x"),
        ("generator/notes.txt", "mine"),
    ],
)
def test_a_run_dir_of_another_origin_is_refused(
    launched, material, tmp_path, name, text
):
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    done = launched("experiments.release", *material, *places(tmp_path))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    first = name.partition("/")[0]
    refused = f"--run_dir={tmp_path}/run: holds files that are no results of"
    assert refused in done.stderr and f"as {first};" in done.stderr
    assert path.read_text() == text and not list((tmp_path / "out").glob("*"))


def test_a_command_that_is_refused_writes_nothing(launched, material, tmp_path):
    done = launched("experiments.release", *material, *places(tmp_path), "--only=gfc")
    assert done.returncode == 2 and "parser is missing" in done.stderr
    assert not list((tmp_path / "out").iterdir())
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    assert (tmp_path / "run" / ".lock").read_text() == ""  # it is nobody's again


READ = {
    "data": materials.Material("array:faces.npy", "01"),
    "validation": materials.Material("array:others.npy", "02"),
    "labels": materials.Material("labels.npz", "03"),
}


def test_a_release_is_known_before_a_network_is_written(tmp_path):
    release_files.begin(tmp_path, {"minutes": 1.0}, READ)
    (tmp_path / "gfc.safetensors").write_bytes(b"written before a kill")
    release_files.begin(tmp_path, {"minutes": 2.0}, READ)
    found = release_files.read(tmp_path)
    assert found["options"] == {"minutes": 1.0}
    assert found["materials"]["labels"] == {"given": "labels.npz", "sha256": "03"}


def test_a_release_goes_on_with_the_faces_and_labels_that_it_was_begun_with(tmp_path):
    release_files.begin(tmp_path, {"seed": 1}, READ)
    moved = {flag: each._replace(given="moved") for flag, each in READ.items()}
    release_files.begin(tmp_path, {"seed": 1}, moved)
    for flag, each in READ.items():
        other = {**READ, flag: each._replace(sha256="04")}
        with pytest.raises(InputError, match=f"^--{flag}={each.given}: .* other "):
            release_files.begin(tmp_path, {"seed": 1}, other)
    with pytest.raises(InputError, match="^--seed=2: the release in"):
        release_files.begin(tmp_path, {"seed": 2}, READ)
    (tmp_path / "old").mkdir()
    release_files.begin(tmp_path / "old", {"seed": 1}, {})
    with pytest.raises(InputError, match="^--data=.* by an earlier version; give"):
        release_files.begin(tmp_path / "old", {"seed": 1}, READ)


def other_material(folder, flag):
    """Flags that name other faces or labels of the same names and shapes."""
    if flag == "labels":
        path = folder / "labels.npz"
        rng = np.random.default_rng(1)
        arrays = {"landmark_model_sha256": "none", "size": SIZE, "crop": 128}
        for name, count in (("faces", 24), ("validation", 9)):
            width = len(str(count))
            names = [f"{i:0{width}d}" for i in range(count)]
            points = rng.uniform(2, 14, (count, 68, 2)).astype(np.float32)
            arrays |= {f"{name}_names": np.array(names), name: points}
        np.savez(path, **arrays)
        return (f"--labels={path}",)
    count = {"data": 24, "validation": 9}[flag]
    np.save(folder / "faces.npy", drawn.noise(count, SIZE, SIZE, 3, seed=3))
    return (f"--{flag}=array:{folder}/faces.npy",)


@pytest.mark.parametrize("flag", ["data", "validation", "labels"])
def test_a_finished_release_does_not_pass_for_one_of_others(
    released, launched, material, tmp_path, flag
):
    flags = (RECIPE, *material, *places(released[0]), *other_material(tmp_path, flag))
    before = (released[0] / "out" / "release.json").read_bytes()
    done = launched("experiments.release", *flags)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"error: --{flag}=" in done.stderr and "was begun with" in done.stderr
    assert (released[0] / "out" / "release.json").read_bytes() == before


@pytest.mark.parametrize("name", ["landmarks", "parser"])
def test_a_network_that_learnt_from_other_labels_is_not_exported_again(
    released, launched, material, tmp_path, name
):
    run_dir, _ = places(released[0])
    flags = (RECIPE, *material, *other_material(tmp_path, "labels"), f"--only={name}")
    done = launched(
        "experiments.release", *flags, run_dir, f"--output_dir={tmp_path}/out"
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "--labels=" in done.stderr and "other landmarks than the run" in done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path):
    release_files.check_ours(tmp_path)
    os.symlink("elsewhere", tmp_path / "logs.zip")
    with pytest.raises(InputError, match=r"logs\.zip is there"):
        release_files.begin(tmp_path, {}, {})
    assert not (tmp_path / "release.json").exists()
