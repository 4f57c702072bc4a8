"""CE, GFC and its parser, trained as a user trains them."""

import json
import shutil

import jax
import numpy as np
import pytest

from inpaint_jax.io import picture_files
from inpaint_jax.pretrained import networks
from tests import drawn

pytest.importorskip("dlib")

STEPS = 2


@pytest.fixture(scope="module")
def train(launched, tmp_path_factory):
    folder = tmp_path_factory.mktemp("completers")
    np.save(folder / "noise.npy", drawn.noise(9, 16, 16, 3))

    def run(name, *flags):
        done = launched(
            "experiments.train",
            *("--image_size=16", "--features=4", "--batch_size=4"),
            *(f"--data=array:{folder}/noise.npy", f"--steps={STEPS}", "--log_every=1"),
            f"--run_dir={folder / name}",
            *flags,
        )
        return done, folder / name

    return run


@pytest.fixture(scope="module")
def parser(train):
    done, folder = train("parser", "--model=parser")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def gfc(train, parser):
    done, folder = train(
        "gfc",
        *("--model=gfc", "--bottleneck=5", "--overlap=0", "--critic_features=2"),
        *("--lambda_local=0.01", "--lambda_parsing=0.01", f"--parser={parser}"),
        f"--export={parser.parent}/release",
    )
    assert done.returncode == 0, done.stderr
    return folder


def logged(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_the_parser_learns_from_landmarks(parser):
    assert [line["step"] for line in logged(parser)] == [1, 2]
    assert all(0 < line["error_rate"] < 1 for line in logged(parser))
    with np.load(parser / "labels.npz") as labels:
        assert labels["landmarks"].shape == (9, 68, 2)
    assert networks.load(parser, model="parser").model == "parser"


def test_gfc_is_judged_by_critics_and_parser(gfc):
    for line in logged(gfc):
        assert (
            line["parsing"] > 0
            and line["critic_loss"] > 1
            and line["adversarial_loss"] > 0
        )
    assert picture_files.read(gfc / "samples" / "step_0000002.png").size > 0


def test_a_release_says_how_it_was_made(gfc):
    release = gfc.parent / "release"
    network = networks.load(release, model="gfc")
    assert network.architecture.bottleneck == 5
    made = json.loads((release / "model.json").read_text())["provenance"]
    assert made["steps"] == STEPS and made["images"] == 9
    for flag in ("--model=gfc", "--lambda_local=0.01", "--parser="):
        assert flag in made["command"]


def test_a_context_encoder_goes_on_from_another(train):
    flags = ("--model=ce", "--train_masks=centre", "--lambda_global=0")
    done, folder = train("ce", *flags)
    assert done.returncode == 0, done.stderr
    assert all(line["critic_loss"] == 0 for line in logged(folder))
    done, further = train("ce_further", *flags, f"--pretrained={folder}")
    assert done.returncode == 0, done.stderr
    settings = (further / "effective.flags").read_text()
    assert "--train_masks=centre" in settings and "--pretrained=" in settings


def test_a_parser_goes_on_from_another(train, parser):
    flags = ("--model=parser", f"--pretrained={parser}", "--generator_rate=1e-9")
    done, folder = train("parser_further", *flags)
    assert done.returncode == 0, done.stderr
    before, after = (networks.load(x, model="parser") for x in (parser, folder))
    for a, b in zip(
        jax.tree.leaves(before.variables["params"]),
        jax.tree.leaves(after.variables["params"]),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "given", "flags"),
    [
        (
            "gfc",
            "parser",
            ("--bottleneck=5", "--overlap=0", "--critic_features=2")
            + ("--lambda_local=0.01", "--lambda_parsing=0.01"),
        ),
        ("parser_further", "pretrained", ("--generator_rate=1e-9",)),
    ],
)
def test_a_run_does_not_go_on_with_another_network(
    train, parser, gfc, tmp_path, name, given, flags
):
    done, _ = train(tmp_path / "other", "--model=parser", "--seed=1")
    assert done.returncode == 0, done.stderr
    model = name.partition("_")[0]
    asked = (f"--model={model}", *flags, f"--{given}={parser}")
    shutil.copytree(parser.parent / name, tmp_path / name)
    shutil.move(parser, tmp_path / "first")
    try:
        shutil.copytree(tmp_path / "other", parser)
        done, _ = train(tmp_path / name, *asked)
        moved, _ = train(
            tmp_path / name, *asked[:-1], f"--{given}={tmp_path / 'first'}"
        )
    finally:
        shutil.rmtree(parser)
        shutil.move(tmp_path / "first", parser)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"error: --{given}={parser}: is another network than" in done.stderr
    assert moved.returncode == 0, moved.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model=ce", "--train_masks=middle"], ["--train_masks=middle", "centre"]),
        (["--model=gfc", "--lambda_parsing=1"], ["--parser", "--model=parser"]),
        (
            ["--model=gfc", "--lambda_parsing=1", "--parser=/nowhere"],
            ["/nowhere", "experiments.train --model=parser"],
        ),
        (["--model=ce", "--image_size=50"], ["--image_size", "50"]),
        (["--model=gfc", "--z_dim=5"], ["--z_dim=5", "--bottleneck=5 for --model=gfc"]),
        (["--model=ce", "--z_dim=5"], ["--z_dim=5", "give it without --model=ce"]),
    ],
)
def test_wrong_input_gives_a_sentence_and_exit_code_2(train, flags, words):
    done, folder = train("refused", *flags)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr
