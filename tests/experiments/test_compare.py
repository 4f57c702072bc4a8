"""Runs over the same images are compared in pairs."""

import functools
import json

import numpy as np
import pytest

from tests.experiments import launcher

NAMES = [f"{i:02d}" for i in range(30)]


def write(folder, scores, *, backwards=False, **digests):
    """A run's report with an entry for each image, in any order."""
    folder.mkdir()
    entries = [
        {"image": name, **digests}
        | {score: float(row[i]) for score, row in scores.items()}
        for i, name in enumerate(NAMES)
    ]
    images = entries[::-1] if backwards else entries
    (folder / "report.json").write_text(json.dumps({"images": images}))
    return folder


@pytest.fixture
def run(tmp_path, launched):
    """Calls the application with flags; returns what it printed and what it wrote."""

    def call(*given, start=launched):
        output = tmp_path / "out.json"
        done = start("experiments.compare", f"--output={output}", *given)
        return done, json.loads(output.read_text()) if output.exists() else None

    return call


def test_images_are_paired_by_name_and_the_interval_holds_the_difference(
    tmp_path, run, environment
):
    rng = np.random.default_rng(0)
    hard = rng.normal(0.06, 0.03, len(NAMES))
    gain = rng.normal(-0.01, 0.002, len(NAMES))
    first = write(tmp_path / "a", {"nme": hard, "psnr": 20 + hard})
    second = write(tmp_path / "b", {"nme": hard + gain}, backwards=True)
    start = functools.partial(launcher.python_m, environment)
    done, found = run(f"--baseline={first}", f"--others={second}", start=start)
    assert done.returncode == 0, done.stderr
    difference = found["others"][str(second)]["difference"]
    assert difference.keys() == {"nme"}
    nme = difference["nme"]
    assert nme["mean"] == pytest.approx(gain.mean())
    # 1.96 standard errors of the paired differences, not of the faces.
    width = 1.96 * gain.std() / np.sqrt(len(NAMES))
    assert nme["low"] == pytest.approx(gain.mean() - width, abs=0.2 * width)
    assert nme["high"] == pytest.approx(gain.mean() + width, abs=0.2 * width)
    assert found["baseline"] == str(first)
    assert found["mean"]["psnr"] == pytest.approx(20 + hard.mean())
    assert found["images"] == len(NAMES)
    assert str(second) in done.stdout


@pytest.mark.parametrize("what", ["picture", "mask"])
def test_runs_of_another_picture_or_mask_are_refused(tmp_path, run, what):
    scores = {"nme": np.ones(len(NAMES))}
    first, other = (
        write(tmp_path / name, scores, **{f"{what}_sha256": name}) for name in "ab"
    )
    done, found = run(f"--baseline={first}", f"--others={other}")
    assert done.returncode == 2 and found is None
    assert f"00 has another {what} than in" in done.stderr


def test_runs_of_other_images_are_refused(tmp_path, run):
    scores = {"nme": np.ones(len(NAMES))}
    first = write(tmp_path / "a", scores)
    other = tmp_path / "b"
    other.mkdir()
    (other / "report.json").write_text('{"images": [{"image": "99", "nme": 1}]}')
    done, found = run(f"--baseline={first}", f"--others={other}")
    assert done.returncode == 2 and found is None
    assert "has other images" in done.stderr


@pytest.mark.parametrize("text", [None, "{", "[]", '{"images": [1]}'])
def test_what_is_no_report_is_refused(tmp_path, run, text):
    folder = tmp_path / "a"
    folder.mkdir()
    if text is not None:
        (folder / "report.json").write_text(text)
    done, found = run(f"--baseline={folder}")
    assert done.returncode == 2 and found is None
    assert "not a report of experiments.inpaint" in done.stderr


@pytest.mark.parametrize(
    "images",
    [
        [],
        [{"image": 3, "nme": 1.0}],
        [{"image": "a", "nme": "low"}],
        [{"image": "a", "nme": 1.0}, {"image": "a", "nme": 2.0}],
    ],
)
def test_a_damaged_report_is_refused_in_one_sentence(tmp_path, run, images):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps({"images": images}))
    done, found = run(f"--baseline={folder}", f"--others={folder}")
    assert done.returncode == 2 and found is None
    assert "not a report" in done.stderr and done.stderr.count("\n") == 1


def test_a_report_of_a_run_is_not_replaced(tmp_path, run):
    folder = write(tmp_path / "a", {"nme": np.ones(len(NAMES))})
    before = (folder / "report.json").read_bytes()
    flags = f"--baseline={folder}", f"--others={folder}"
    done, _ = run(*flags, f"--output={folder}/report.json")
    assert done.returncode == 2
    assert f"--output={folder}/report.json: is there" in done.stderr
    assert (folder / "report.json").read_bytes() == before


@pytest.mark.parametrize(
    ("scores", "others", "words"),
    [
        ("nme", [], ["--others: missing"]),
        ("psnr", ["b"], ["--others=", "no score in common", "(psnr, and nme there)"]),
        (None, ["b"], ["--others=", "no score in common", "(none, and nme there)"]),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, run, scores, others, words):
    ones = np.ones(len(NAMES))
    first = write(tmp_path / "a", {"nme": ones})
    write(tmp_path / "b", {scores: ones} if scores else {})
    given = ",".join(f"{tmp_path}/{name}" for name in others)
    done, found = run(f"--baseline={first}", f"--others={given}")
    assert done.returncode == 2 and found is None
    assert done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr


def test_one_image_has_a_difference_without_an_interval(tmp_path, run):
    for name, value in {"a": 0.5, "b": 0.25}.items():
        (tmp_path / name).mkdir()
        report = {"images": [{"image": "1", "nme": value}]}
        (tmp_path / name / "report.json").write_text(json.dumps(report))
    done, found = run(f"--baseline={tmp_path}/a", f"--others={tmp_path}/b")
    assert done.returncode == 0, done.stderr
    assert "b: nme 0.2500 (-0.2500)\n" in done.stdout and "nan" not in done.stdout
    assert "one image" in done.stdout
    difference = found["others"][f"{tmp_path}/b"]["difference"]["nme"]
    assert difference == {"mean": -0.25, "low": None, "high": None}
