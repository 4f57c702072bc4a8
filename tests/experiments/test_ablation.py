"""An ablation: what is written, taken up again, and refused."""

import contextlib
import csv
import json
import pathlib
import signal
import subprocess
import sys
from typing import NamedTuple

import jax
import numpy as np
import pytest

from experiments.common import aligned_pictures, mask_specs, stopping
from experiments.evaluation import (
    ablation_methods,
    ablation_pairs,
    ablation_report,
    ablation_run,
    ablation_units,
    completion_methods,
    scoring,
)
from experiments.search import budgets, search_methods
from inpaint_jax.errors import InputError
from inpaint_jax.io import files, picture_files
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import weights
from tests import drawn

FLAGS = pathlib.Path(__file__).parents[2] / "experiments/flags/ablation.flags"
TINY = dcgan.Architecture(image_size=16, features=2, z_dim=8, kernel_size=4)
NONE, OTHER = "none: --landmark_term=none", "other: --landmark_term=none --window=3"
QUICK = ("--restarts=2", "--iterations=2", "--chunk=2", "--patience=0")
QUICK += ("--init=random", "--blend=paste", "--lambda_structure=0")
PLANS = {
    name: {"restarts": 2, "iterations": steps, "step_seconds": 0.1}
    | {"planned_seconds": 0.1 * steps}
    for name, steps in {"none": 2, "other": 1}.items()
}


class Truth(NamedTuple):
    images: np.ndarray
    embeddings: np.ndarray

    def take(self, rows):
        return Truth(self.images[rows], self.embeddings[rows])


def embed(images):
    """Stands for dlib's network: 128 of the picture's numbers."""
    return images.reshape(len(images), -1)[:, :128].astype(np.float32) / 255


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    variables = drawn.variables(weights.templates(TINY, encoder=True))
    model = weights.Model(TINY, 128, **variables, source={}, encodes="damaged faces")
    for i in range(3):
        picture_files.write(folder / f"{i}.png", drawn.noise(16, 16, 3, seed=i))
    return folder, model


@pytest.fixture(scope="module")
def call(bench):
    """Runs an ablation with scores and budgets that need no dlib and no time."""
    faces, model = bench

    def score(completed, truth, mask):
        assert completed.shape == truth.images.shape and len(mask) == len(completed)
        apart = np.abs(completed.astype(float) - truth.images).mean(axis=(1, 2, 3))
        columns = {name: apart + i for i, name in enumerate(scoring.COLUMNS)}
        return scoring.Scored(columns, embed(completed))

    paths, holes = (
        sorted(faces.iterdir()),
        [mask_specs.read_mask("centre", hole_is_white=True)],
    )

    def run(folder, *given, methods=(NONE, OTHER), beside=(), seeds=2, limit=3):
        originals = aligned_pictures.AlignedPictures(
            paths[:limit], model.crop, TINY.image_size
        )
        with jax.numpy_dtype_promotion("standard"):
            usual = search_methods.parse("usual", [*QUICK, *given])
            wanted = ablation_methods.parse(methods)
            prepared = ablation_methods.prepare(wanted, model, usual, at_once=3)
            prepared |= ablation_methods.beside(
                beside, prepared, model, completion_methods.Learned(), at_once=3
            )
            units = ablation_units.Units(folder, holes, seeds)
            common = (originals, units)
            plans = ablation_run.agree(
                folder,
                prepared,
                *common,
                source={},
                at_once=3,
                equal="time",
            )
            ablation_run.run(prepared, plans, *common)
            ablation_report.write(
                folder, prepared, plans, units, originals.names, equal="time"
            )

    with pytest.MonkeyPatch.context() as patch:
        truth = lambda images, crop: Truth(images, embed(images))
        patch.setattr(scoring, "truth", truth)
        patch.setattr(scoring, "score", score)
        patch.setattr(budgets, "measure", lambda *a, **k: PLANS)
        yield run


@contextlib.contextmanager
def counted(*, killed_at=None):
    """Yields the units that are searched for; the given one is never finished."""
    units = []

    def complete(method, inputs, *, at_once):
        if len(units) == killed_at:
            raise KeyboardInterrupt
        steps = method.settings.iterations
        units.append((method.name, steps))
        loss = [float(jax.random.key_data(c.key).sum()) + at_once for c in inputs]
        images = np.stack([case.picture // 2 for case in inputs])
        count = len(inputs)
        return search_methods.Completed(
            images, np.ones(count), np.full(count, steps), np.array(loss), None
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_methods, "complete", complete)
        patch.setattr(search_methods, "warm_up", lambda *a, at_once: None)
        yield units


def rows(folder):
    """Rows of the table, but for the seconds, which no run repeats."""
    with (folder / "ablation.csv").open() as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k != "seconds"} for row in found]


@pytest.fixture(scope="module")
def finished(call, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    call(folder)
    return folder


def test_a_killed_run_goes_on_to_the_same_rows(tmp_path, call):
    folder, whole = (files.make_directory(tmp_path / n) for n in ("killed", "whole"))
    with counted(killed_at=1) as first, pytest.raises(KeyboardInterrupt):
        call(folder)
    # What a process that is killed outright may leave.
    with (folder / "ablation.csv").open("a") as file:
        file.write("none,cen")
    with counted() as second:
        call(folder)
    assert first == [("none", 2)]
    assert second == [("none", 2), ("other", 1), ("other", 1)]
    with counted() as third:
        call(folder)
        call(whole)
    assert third == [("none", 2), ("none", 2), ("other", 1), ("other", 1)]
    assert rows(folder) == rows(whole)


def test_faces_can_be_added(tmp_path, call, bench):
    with counted() as first:
        call(tmp_path, limit=2)
        call(tmp_path)
    assert len(first) == 8  # each unit twice, the second time for the new face
    assert {row["image"] for row in rows(tmp_path)} == set("012")
    assert len(rows(tmp_path)) == 2 * 2 * 3


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_what_is_gone_or_damaged_is_made_again(tmp_path, call, suffix):
    with counted() as units:
        call(tmp_path)
        before, folder = rows(tmp_path), tmp_path / "completions/centre/other/1"
        whole = (folder / f"2{suffix}").read_bytes()
        for damage in (b"", whole[:40]):
            units.clear()
            (folder / f"2{suffix}").write_bytes(damage)
            call(tmp_path)
            assert units == [("other", 1)] and rows(tmp_path) == before
            assert (folder / f"2{suffix}").read_bytes() == whole


def test_another_face_of_the_same_name_is_refused(tmp_path, call, bench):
    faces, _ = bench
    with counted():
        call(tmp_path)
        before = (faces / "1.png").read_bytes()
        picture_files.write(faces / "1.png", drawn.noise(16, 16, 3, seed=9))
        with pytest.raises(InputError, match=r"another protocol: pictures\.1 was"):
            call(tmp_path)
    (faces / "1.png").write_bytes(before)


def test_after_a_signal_a_search_takes_no_further_chunk(tmp_path, call, monkeypatch):
    monkeypatch.setattr(stopping, "asked", [signal.SIGTERM])
    with pytest.raises(stopping.Stopped):
        call(tmp_path)
    assert not (tmp_path / "ablation.csv").exists()


def test_a_row_for_each_method_mask_seed_and_face(finished):
    found = rows(finished)
    names = ("method", "mask", "seed", "image")
    assert [tuple(row[n] for n in names) for row in found] == [
        (method, "centre", seed, image)
        for method in ("none", "other")
        for seed in "01"
        for image in "012"
    ]
    by_method = {row["method"]: row["iterations"] for row in found}
    assert by_method == {"none": "2", "other": "1"}
    # Other seeds start elsewhere.
    assert found[0]["loss"] != found[3]["loss"]


def test_completions_and_originals_are_kept_with_their_embeddings(finished, bench):
    faces, _ = bench
    for folder in ("originals", "completions/centre/other/0"):
        names = sorted(path.name for path in (finished / folder).iterdir())
        assert names == [f"{i}.{kind}" for i in range(3) for kind in ("npy", "png")]
        picture = picture_files.read(finished / folder / "1.png")
        found = np.load(finished / folder / "1.npy")
        np.testing.assert_array_equal(found, embed(picture[None])[0])
    original = picture_files.read(finished / "originals/1.png")
    np.testing.assert_array_equal(original, picture_files.read(faces / "1.png"))


def test_tables_and_plot_are_written(finished):
    text = (finished / "ablation.md").read_text()
    assert "| other | 2 | 1 |" in text and "`--landmark_term=none --window=3`" in text
    assert "## frechet_face" in text and "## same_gender" in text
    assert picture_files.read(finished / "forest.png").shape[1] > 600
    # Three faces by two methods and the original, twice as large.
    rows, columns, _ = picture_files.read(finished / "faces_centre.png").shape
    assert rows > 3 * 2 * 16 and columns > 3 * 2 * 16
    protocol = json.loads((finished / "protocol.json").read_text())
    assert protocol["measured"] == PLANS
    assert protocol["methods"]["other"]["settings"]["window"] == 3


@pytest.mark.parametrize(
    ("given", "changes", "words"),
    [
        ([], {"methods": (NONE, "new: --landmark_term=none")}, "methods.other"),
        (["--lambda_prior=0.5"], {}, "methods.none.settings.lambda_prior"),
        (["--precision=bfloat16"], {}, "methods.none.precision was"),
    ],
)
def test_another_protocol_is_refused(finished, call, given, changes, words):
    before = (finished / "ablation.csv").read_bytes()
    with pytest.raises(InputError) as refused:
        call(finished, *given, **changes)
    assert words in str(refused.value) and str(finished) in str(refused.value)
    assert (finished / "ablation.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ((NONE, "other: --windows=3"), "method other.*windows"),
        ((NONE, OTHER, OTHER), "other is there twice"),
        ((OTHER,), "called none"),
        ((NONE,), "others to compare"),
        ((NONE, "--landmark_term=none"), "a name and flags"),
        ((f"{NONE} --patience=1", OTHER), "--patience=0"),
        ((NONE, f"{OTHER} --restarts=4"), "method other.*--restarts"),
        ((NONE, f"{OTHER} --iterations=3"), "method other.*or fewer"),
    ],
)
def test_wrong_methods_are_refused(tmp_path, call, methods, words):
    with pytest.raises(InputError, match=words):
        call(tmp_path, methods=methods)
    assert not (tmp_path / "protocol.json").exists()


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        (("si",), "--beside=si: is a search; give it as a --method"),
        (("mean", "mean"), "--beside=mean: mean is there twice"),
        (("nose",), "--beside=nose: no such method"),
    ],
)
def test_wrong_methods_beside_the_searches_are_refused(tmp_path, call, beside, words):
    with pytest.raises(InputError, match=words):
        call(tmp_path, beside=beside)
    assert not (tmp_path / "protocol.json").exists()


def test_a_seed_can_be_added_to_a_finished_run(tmp_path, call):
    call(tmp_path, seeds=1)
    before = (tmp_path / "ablation.csv").read_text()
    call(tmp_path, seeds=2)
    after = (tmp_path / "ablation.csv").read_text()
    assert after.startswith(before)
    added = rows(tmp_path)[len(before.splitlines()) - 1 :]
    assert len(added) == 6 and {row["seed"] for row in added} == {"1"}


def test_methods_of_one_pass_are_judged_beside_the_searches(tmp_path, call, bench):
    faces, model = bench
    call(tmp_path, beside=("mean", "encoder"), seeds=1)
    found = rows(tmp_path)
    assert [row["method"] for row in found[::3]] == ["none", "other", "mean", "encoder"]
    assert {row["iterations"] for row in found[6:]} == {"0"}
    for name in ("mean", "encoder"):
        picture = picture_files.read(tmp_path / f"completions/centre/{name}/0/1.png")
        known = mask_specs.read_mask("centre", hole_is_white=True)
        original = picture_files.read(faces / "1.png")
        mask = np.asarray(known.make(jax.random.key(0), (16, 16)))[..., 0] > 0
        np.testing.assert_array_equal(picture[mask], original[mask])
    text = (tmp_path / "ablation.md").read_text()
    assert "| encoder | 0 | 0 |" in text and "in one pass" in text


def test_the_flag_file_holds_the_methods_in_question():
    lines = FLAGS.read_text().splitlines()
    given = [line.removeprefix("--method=") for line in lines if "--method=" in line]
    found = ablation_methods.parse(given)
    assert len(found) == 11 and next(iter(found)) == ablation_pairs.BASELINE
    assert [n for n, flags in found.items() if "--allow_oracle" in flags] == ["oracle"]
    for name, arguments in found.items():
        assert ("--landmark_term=none" in arguments) == (name == "none")


def test_the_application_reads_its_flag_file(tmp_path, environment):
    command = [sys.executable, "-m", "experiments.ablation", f"--flagfile={FLAGS}"]
    command += ["--masks=left,left", f"--output_dir={tmp_path}", "--images=missing"]
    done = subprocess.run(
        command, cwd=FLAGS.parents[2], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --masks=left,left: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("given", "patience"), [((), 0), (("--patience=1",), 1)])
def test_methods_take_all_their_steps_unless_patience_is_asked_for(
    given, patience, environment, tmp_path
):
    # In a process of its own, as two applications define the same flags.
    code = """
import sys
from absl import flags
from experiments import ablation
flags.FLAGS(sys.argv)
asked = ablation.options.read(ablation.search_methods.Asked)
print(asked.search.settings.patience)
from experiments.common import application
application.write_effective_flags(OUT, *ablation.search_methods.OPTIONS)
"""
    code = code.replace("OUT", repr(str(tmp_path)))
    command = [sys.executable, "-c", code, *given]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [str(patience)], done.stderr
    kept = (tmp_path / "effective.flags").read_text().splitlines()
    assert f"--patience={patience}" in kept


def test_the_help_says_that_methods_take_all_their_steps(launched):
    text = launched("experiments.ablation", "--help").stdout
    about = text.partition("  --patience\n")[2].partition("\n  --")[0]
    assert "default: 0)" in " ".join(about.split())


def test_some_of_the_methods_can_be_chosen():
    texts = [NONE, OTHER, "third: --landmark_term=soft"]
    found = ablation_methods.parse(texts, only=["none", "third"])
    assert list(found) == ["none", "third"]
    with pytest.raises(InputError, match="--only=fourth: .* none, other, third"):
        ablation_methods.parse(texts, only=["fourth"])
    with pytest.raises(InputError, match="needs one called none"):
        ablation_methods.parse(texts, only=["other", "third"])
