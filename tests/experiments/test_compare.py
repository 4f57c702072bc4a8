"""Runs over the same images are compared in pairs."""

import json

import numpy as np
import pytest
from absl import flags

from experiments import compare
from inpaint_jax.errors import InputError

NAMES = [f"{i:02d}" for i in range(30)]


def write(folder, scores, *, backwards=False):
    """A run's report with an entry for each image, in any order."""
    folder.mkdir()
    entries = [
        {"image": name} | {score: float(row[i]) for score, row in scores.items()}
        for i, name in enumerate(NAMES)
    ]
    images = entries[::-1] if backwards else entries
    (folder / "report.json").write_text(json.dumps({"images": images}))
    return folder


@pytest.fixture
def run(tmp_path):
    """Calls the application with flags; returns what it wrote."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])

    def call(**values):
        with_output = {"output": str(tmp_path / "out.json"), **values}
        holders = {"baseline": compare._BASELINE, "others": compare._OTHERS}
        holders["output"] = compare._OUTPUT
        saved = {name: holder.value for name, holder in holders.items()}
        try:
            for name, value in with_output.items():
                setattr(flags.FLAGS, name, value)
            assert compare.main() == 0
        finally:
            for name, value in saved.items():
                setattr(flags.FLAGS, name, value)
        return json.loads((tmp_path / "out.json").read_text())

    return call


def test_images_are_paired_by_name_and_the_interval_holds_the_difference(
    tmp_path, run, capsys
):
    rng = np.random.default_rng(0)
    hard = rng.normal(0.06, 0.03, len(NAMES))
    gain = rng.normal(-0.01, 0.002, len(NAMES))
    first = write(tmp_path / "a", {"nme": hard, "psnr": 20 + hard})
    second = write(tmp_path / "b", {"nme": hard + gain}, backwards=True)
    found = run(baseline=str(first), others=[str(second)])
    difference = found[str(second)]["difference"]
    assert difference.keys() == {"nme"}
    nme = difference["nme"]
    assert nme["mean"] == pytest.approx(gain.mean())
    # 1.96 standard errors of the paired differences, not of the faces.
    width = 1.96 * gain.std() / np.sqrt(len(NAMES))
    assert nme["low"] == pytest.approx(gain.mean() - width, abs=0.2 * width)
    assert nme["high"] == pytest.approx(gain.mean() + width, abs=0.2 * width)
    assert found["baseline"]["psnr"] == pytest.approx(20 + hard.mean())
    assert found["images"] == len(NAMES)
    assert str(second) in capsys.readouterr().out


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        found = compare.interval(rng.normal(0.3, 1.0, 40), rng)
        hits += found["low"] <= 0.3 <= found["high"]
    assert 86 <= hits <= 99


def test_runs_of_other_images_are_refused(tmp_path, run):
    scores = {"nme": np.ones(len(NAMES))}
    first = write(tmp_path / "a", scores)
    other = tmp_path / "b"
    other.mkdir()
    (other / "report.json").write_text('{"images": [{"image": "99", "nme": 1}]}')
    with pytest.raises(InputError, match="has other images"):
        run(baseline=str(first), others=[str(other)])


@pytest.mark.parametrize("text", [None, "{", "[]", '{"images": [1]}'])
def test_what_is_no_report_is_refused(tmp_path, run, text):
    folder = tmp_path / "a"
    folder.mkdir()
    if text is not None:
        (folder / "report.json").write_text(text)
    with pytest.raises(InputError, match="not a report of experiments.inpaint"):
        run(baseline=str(folder))
