"""A DCGAN from PyTorch becomes a release that a search takes, or a sentence."""

import functools
import itertools
import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from inpaint_jax.pretrained import pytorch, weights
from tests.experiments import launcher


def state_dict(channels, *, up):
    """The tensors of PyTorch's DCGAN example."""
    rng = np.random.default_rng(len(channels))
    state = {}
    for i, (before, after) in enumerate(itertools.pairwise(channels)):
        order = (before, after) if up else (after, before)
        state[f"conv{i}.weight"] = 0.1 * rng.normal(size=(*order, 4, 4))
        if after != channels[-1] and (up or i):
            state |= {
                f"norm{i}.{part}": rng.uniform(0.5, 1.5, after)
                for part in ("weight", "bias", "running_mean", "running_var")
            }
    return {name: value.astype(np.float32) for name, value in state.items()}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch")
    for name, state in (
        ("G", state_dict([5, 8, 4, 3], up=True)),
        ("D", state_dict([3, 4, 8, 1], up=False)),
    ):
        data = safetensors.numpy.save(state)
        (folder / f"{name}.safetensors").write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def convert(files, launched):
    def run(*flags, start=launched, discriminator=True):
        usual = [f"--generator={files}/G.safetensors"]
        if discriminator:
            usual.append(f"--discriminator={files}/D.safetensors")
        return start("experiments.convert", *usual, *flags)

    return run


@pytest.fixture(scope="module")
def converted(convert, environment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted") / "release"
    start = functools.partial(launcher.python_m, environment)
    done = convert(f"--output={folder}", "--crop=108", start=start)
    assert (done.returncode, done.stderr) == (0, "")
    return done, folder


def test_the_release_holds_both_networks(converted, files):
    done, folder = converted
    assert f"wrote {folder}: 16 x 16" in done.stdout and "normal" in done.stdout
    model = weights.load(folder)
    assert model.crop == 108
    read = pytorch.read(files / "G.safetensors", files / "D.safetensors", crop=108)
    assert model.architecture == read.architecture
    for name, expected in read.networks.items():
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-6),
            model.networks[name],
            expected,
        )


def test_the_release_says_what_it_was_made_of(converted, files):
    provenance = json.loads((converted[1] / "model.json").read_text())["provenance"]
    assert provenance["converted"]["generator"]["file"] == "G.safetensors"
    assert "--crop=108" in provenance["command"]
    assert "--output" not in provenance["command"]


def test_a_search_takes_the_release_with_the_flags_that_are_told(
    converted, launched, tmp_path
):
    printed, folder = converted
    (told,) = [x for x in printed.stdout.splitlines() if x.startswith("search with ")]
    told = told.removeprefix("search with ").partition(";")[0].split()
    assert told[0] == "--init=random"
    flags = ("--z_prior=normal", "--iterations=1", "--restarts=1", "--blend=paste")
    done = launched(
        "experiments.inpaint",
        f"--checkpoint={folder}",
        f"--output_dir={tmp_path}",
        *told,
        *flags,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["model"]["architecture"]["image_size"] == 16
    assert (tmp_path / "grid.png").is_file()


def test_a_generator_alone_is_searched_without_the_prior_loss(
    convert, launched, tmp_path
):
    done = convert(f"--output={tmp_path}/release", discriminator=False)
    assert done.returncode == 0 and "--lambda_prior=0 " in done.stdout
    flags = (
        f"--checkpoint={tmp_path}/release",
        f"--output_dir={tmp_path}/out",
        *(
            "--landmark_term=none",
            "--lambda_structure=0",
            "--blend=paste",
            "--init=random",
        ),
        *("--iterations=1", "--restarts=1"),
    )
    done = launched("experiments.inpaint", *flags)
    assert done.returncode == 2 and "--lambda_prior=0.003" in done.stderr
    assert "no discriminator; give --lambda_prior=0" in done.stderr
    done = launched("experiments.inpaint", *flags, "--lambda_prior=0")
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads((tmp_path / "out" / "report.json").read_text())["images"]
    assert entry["terms"]["prior"] == 0.0


def test_a_search_says_that_the_release_has_no_encoder(converted, launched):
    flags = (
        f"--checkpoint={converted[1]}",
        "--landmark_term=none",
        "--lambda_structure=0",
    )
    done = launched("experiments.inpaint", *flags)
    assert done.returncode == 2 and launcher.told(done.stdout) == []
    assert "no encoder" in done.stderr and "--init=random" in done.stderr


def test_a_release_with_a_discriminator_is_not_replaced_by_one_without(
    converted, convert
):
    before = sorted(path.name for path in converted[1].iterdir())
    done = convert(f"--output={converted[1]}", discriminator=False)
    assert done.returncode == 2
    assert "holds a release of discriminator, generator, which" in done.stderr
    assert sorted(path.name for path in converted[1].iterdir()) == before


# name -> (further flags, words of the sentence)
REFUSED = {
    "no generator": (["--generator="], ["--generator: missing"]),
    "no output": (["--output="], ["--output: missing"]),
    "no safetensors": (["--generator=README.md"], ["README.md", "save_file"]),
    "output is a file": (["--output=README.md"], ["README.md", "folder"]),
    "output holds no release": (["--output=tests"], ["--output=tests", "no release"]),
    "crop": (["--crop=3"], ["crop"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_flags_give_a_sentence_and_exit_code_2(convert, tmp_path, name):
    flags, words = REFUSED[name]
    done = convert(f"--output={tmp_path}/release", *flags)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert not (tmp_path / "release").exists()


def test_the_two_exchanged_are_refused(convert, files, tmp_path):
    exchanged = f"--generator={files}/D.safetensors"
    done = convert(f"--output={tmp_path}/release", exchanged)
    assert done.returncode == 2 and "batch norms" in done.stderr
    assert "Traceback" not in done.stderr
