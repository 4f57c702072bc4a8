"""An evaluation as a user runs it: one protocol, resumed pieces, plain refusals."""

import csv
import json
import shutil

import numpy as np
import pytest

from experiments.common import identity
from inpaint_jax.io import files, picture_files
from inpaint_jax.models import context_encoder, dcgan
from inpaint_jax.pretrained import networks, weights
from tests import drawn

pytest.importorskip("dlib")

TINY = dcgan.Architecture(image_size=64, features=2, z_dim=8, kernel_size=4)
CE = context_encoder.Architecture(image_size=64, features=2)
METHODS = ("mean", "nn", "ce", "si")
MASKS = ("centre", "random80")
IMAGES = ("noise", "portrait")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Tiny networks, a face, and a picture that is none."""
    folder = tmp_path_factory.mktemp("evaluation")
    model = weights.Model(
        TINY, 128, **drawn.variables(weights.templates(TINY)), source={}
    )
    weights.export(folder / "tiny", model, provenance={})
    network = networks.Pretrained(CE, 128, drawn.variables(networks.template(CE)), {})
    networks.export(folder / "ce", network, provenance={})
    (folder / "faces").mkdir()
    portrait = (files.ASSETS / "portrait.png").read_bytes()
    (folder / "faces" / "portrait.png").write_bytes(portrait)
    picture_files.write(folder / "faces" / "noise.png", drawn.noise(64, 64, 3))
    shutil.copytree(folder / "faces", folder / "bank")
    (folder / "faces" / "later.png").write_bytes(b"not yet a picture")
    for name, window in {"x": 3, "y": 5}.items():
        flag_file = files.make_directory(folder / name) / "mine.flags"
        flag_file.write_text(
            f"--landmark_term=none\n--lambda_structure=0\n--window={window}\n"
        )
    return folder


@pytest.fixture(scope="module")
def evaluate(bench, launched):
    def run(*flags, output="found"):
        return launched(
            "experiments.evaluate",
            f"--checkpoint={bench}/tiny",
            f"--ce={bench}/ce",
            f"--gfc={bench}/gfc",
            f"--images={bench}/faces",
            f"--bank=folder:{bench}/bank",
            f"--methods={','.join(METHODS)}",
            "--masks=centre,random",
            *("--restarts=2", "--iterations=2", "--images_at_once=2"),
            f"--output_dir={bench}/{output}",
            *flags,
        )

    return run


def scores(folder):
    with open(folder / "scores.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {(row["method"], row["mask"], row["image"]): row for row in rows}


@pytest.fixture(scope="module")
def found(evaluate, bench):
    done = evaluate()
    assert done.returncode == 1, done.stderr
    assert "skipped" in done.stdout and "later.png" in done.stdout
    return bench / "found", scores(bench / "found")


@pytest.fixture(scope="module")
def resumed(evaluate, found, bench):
    """The same after a kill in a line, with one more method and picture."""
    folder, rows = found
    later = bench / "faces" / "later.png"
    picture_files.write(later, drawn.noise(64, 64, 3, seed=1))
    text = (folder / "scores.csv").read_text()
    lines = text.splitlines(keepends=True)
    (folder / "scores.csv").write_text("".join(lines[:6]) + lines[6][:9])
    done = evaluate("--methods=mean,nn,ce,si,tv")
    assert done.returncode == 0, done.stderr
    return scores(folder)


def test_every_image_is_scored_by_every_method_under_every_mask(found):
    _, rows = found
    assert set(rows) == {(m, k, i) for m in METHODS for k in MASKS for i in IMAGES}
    for row in rows.values():
        assert float(row["psnr_hole"]) > 0 and float(row["seconds"]) >= 0


def test_a_picture_without_a_face_keeps_its_other_scores(found):
    folder, rows = found
    for (_, _, image), row in rows.items():
        assert (row["nme"] == "nan") == (image == "noise")
    assert (
        "finds no face in 1 of the originals (noise)"
        in (folder / "table.md").read_text()
    )


def test_the_nearest_face_is_the_one_that_is_in_the_bank(found):
    _, rows = found
    for mask in MASKS:
        assert rows["nn", mask, "portrait"]["psnr_hole"] == "inf"


def test_known_pixels_stay_and_holes_are_the_same_for_all(found):
    folder, _ = found
    for mask in MASKS:
        for image in IMAGES:
            damaged = picture_files.read(folder / "damaged" / mask / f"{image}.png")
            original = picture_files.read(folder / "originals" / f"{image}.png")
            hole = (damaged != original).any(axis=-1)
            assert 0.2 < hole.mean() < 0.85
            for method in METHODS:
                file = folder / "completions" / mask / method / f"{image}.png"
                found = picture_files.read(file)
                np.testing.assert_array_equal(found[~hole], original[~hole])


def test_summary_and_figures_are_there(found):
    folder, _ = found
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary) == set(METHODS) and set(summary["si"]) == set(MASKS)
    assert set(summary["ce"]["centre"]["psnr"]) == {"mean", "ci_low", "ci_high", "n"}
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {
        "systems.png",
        "local.png",
        "learned.png",
        "samples.png",
        "points.png",
    } <= names
    assert {"steps_si.png", "failures_si.png"} <= names


def test_the_protocol_says_what_decides_the_results(found):
    folder, _ = found
    protocol = json.loads((folder / "protocol.json").read_text())
    environment = json.loads((folder / "environment.json").read_text())
    frame = {"seed": 0, "crop": 128, "size": 64, "version": identity.of_code()}
    frame |= {"packages": environment["versions"], "images_at_once": 2}
    assert protocol["frame"] == {**frame, "device": environment["device"]}
    assert {x["file"] for x in protocol["pictures"].values()} == {
        *("'noise.png'", "'portrait.png'")
    }
    assert protocol["methods"]["si"]["settings"]["iterations"] == 2
    assert protocol["methods"]["si"]["precision"] == "float32"
    assert len(protocol["methods"]["ce"]["model"]["ce"]) == 64


def test_a_killed_run_goes_on_and_methods_and_mended_pictures_are_added(found, resumed):
    _, rows = found
    methods, images = (*METHODS, "tv"), (*IMAGES, "later")
    assert set(resumed) == {(m, k, i) for m in methods for k in MASKS for i in images}
    for name, row in rows.items():
        again = {**resumed[name], "seconds": row["seconds"]}
        assert again == row


def test_faces_may_come_from_an_array(evaluate, bench):
    np.save(bench / "faces.npy", drawn.noise(3, 64, 64, 3))
    images = f"--images=array:{bench}/faces.npy"
    flags = [images, "--limit=2", "--methods=mean", "--masks=left"]
    done = evaluate(*flags, output="array")
    assert done.returncode == 0, done.stderr
    found = scores(bench / "array")
    assert set(found) == {("mean", "left", i) for i in "01"}
    np.save(bench / "faces.npy", drawn.noise(3, 64, 64, 3, seed=1))
    done = evaluate(*flags, output="array")
    assert done.returncode == 2 and "0 is another picture than" in done.stderr
    assert scores(bench / "array") == found


def test_results_of_another_protocol_are_refused(evaluate, resumed):
    done = evaluate("--seed=1")
    assert done.returncode == 2
    assert "another protocol" in done.stderr and "give --seed=0 again" in done.stderr
    done = evaluate("--iterations=3")
    assert done.returncode == 2
    assert "iterations" in done.stderr and "restarts" not in done.stderr
    done = evaluate("--precision=bfloat16")
    assert done.returncode == 2
    assert 'si.precision was "float32" and is "bfloat16"' in done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--methods=si,photoshop"], ["photoshop", "landmark", "pm", "nn"]),
        (["--masks=centre,middle"], ["middle", "centre"]),
        (["--methods=nn", "--bank="], ["--bank"]),
        (["--methods=gfc"], ["gfc", "experiments.train --model=gfc"]),
        (["--images=/nowhere"], ["/nowhere"]),
        (
            ["--methods={bench}/x/mine.flags,{bench}/y/mine.flags"],
            ["two are called mine", "rename"],
        ),
        (["--output_dir={bench}/faces"], ["faces", "no results"]),
    ],
)
def test_wrong_input_gives_a_sentence_and_exit_code_2(evaluate, bench, flags, words):
    flags = [flag.format(bench=bench) for flag in flags]
    done = evaluate(*flags, output="refused")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr
