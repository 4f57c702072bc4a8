"""Reports and grids hold what is done, at any moment, and replace those before."""

import json
import shutil

import numpy as np
import pytest

from experiments.common import skipping
from experiments.search import photo_results, picture_report
from inpaint_jax.errors import OutputError
from inpaint_jax.io import files, photographs, picture_files

SIDE = 4


def finished(name, psnr=20.0):
    picture = np.full((SIDE, SIDE, 3), 7, np.uint8)
    row = {"input": picture, "completed": picture}
    trace = [{"image": name, "step": step} for step in (1, 2)]
    photo = photographs.Photograph(
        picture, None, grey=False, format="PNG", turned=False, converted=False
    )
    completed = {f"{name}.png": photo_results.Completed(picture, photo)}
    entry = {"image": name, "psnr": psnr}
    return picture_report.Finished(entry, row, trace, [picture], completed, {})


def report(folder, *reasons):
    skipped = skipping.Skipped(alone=False, reasons=list(reasons))
    return picture_report.Report(folder, {"mask": "left"}, skipped)


def read(folder):
    return json.loads((folder / "report.json").read_text())


def test_it_is_whole_after_each_picture(tmp_path):
    found = report(tmp_path, "c.png: damaged")
    for count, name in enumerate("ab", start=1):
        found.add(finished(name, psnr=20.0 + count))
        now = read(tmp_path)
        assert [entry["image"] for entry in now["images"]] == list("ab"[:count])
        assert now["mask"] == "left" and now["skipped"] == ["c.png: damaged"]
        lines = (tmp_path / "trace.jsonl").read_text().splitlines()
        assert len(lines) == 2 * count
    assert now["mean"] == {"psnr": 21.5}


@pytest.mark.parametrize("scores", [(None, 21.0, 23.0), (21.0, None, 23.0)])
def test_means_are_over_the_faces_that_have_the_score(tmp_path, scores):
    found = report(tmp_path)
    for name, psnr in zip("abc", scores, strict=True):
        one = finished(name, psnr=psnr)
        if psnr is None:  # as of a picture whose original is not known
            del one.entry["psnr"]
        found.add(one)
    found.close()
    assert read(tmp_path)["mean"] == {"psnr": 22.0}
    assert read(tmp_path)["scored"] == {"psnr": 2}
    sheet = (tmp_path / "contact_sheet.html").read_text()
    assert "mean PSNR, dB (2 of 3)" in sheet


def test_a_face_without_landmarks_is_in_no_mean_of_their_error(tmp_path):
    found = report(tmp_path)
    for name, error in zip("ab", (float("nan"), 0.5), strict=True):
        one = finished(name)
        one.entry["nme"] = error
        found.add(one)
    assert read(tmp_path)["mean"] == {"psnr": 20.0, "nme": 0.5}
    assert read(tmp_path)["scored"] == {"nme": 1}


def test_nothing_of_an_earlier_run_goes_before_a_picture_is_done(tmp_path):
    first = report(tmp_path)
    first.add(finished("old"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    second = report(tmp_path)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    second.begin()
    second.add(finished("new"))
    assert [entry["image"] for entry in read(tmp_path)["images"]] == ["new"]
    assert "old" not in (tmp_path / "trace.jsonl").read_text()


def test_a_grid_has_pages_and_none_of_an_earlier_run(tmp_path):
    long, short = report(tmp_path), report(tmp_path)
    for i in range(70):
        long.add(finished(str(i)))
    long.close()
    sheets = {f"contact_sheet{end}.html" for end in ("", "_2", "_3")}
    assert {path.name for path in tmp_path.glob("contact*")} == sheets
    pages = ["grid.png", "grid_2.png", "grid_3.png"]
    assert sorted(path.name for path in tmp_path.glob("grid*")) == pages
    first, second, last = (picture_files.read(tmp_path / name) for name in pages)
    assert first.shape == second.shape and last.shape[0] < first.shape[0] / 2
    short.add(finished("a"))
    (tmp_path / "b.png").write_bytes(b"of no run")
    stay = short.close()
    assert stay == sorted(f"{i}.png" for i in range(70))
    assert [path.name for path in tmp_path.glob("grid*")] == ["grid.png"]
    (sheet,) = tmp_path.glob("contact*")
    assert "<h2>a</h2>" in sheet.read_text() and "<h2>0</h2>" not in sheet.read_text()


@pytest.mark.parametrize("count", [1, 31, 32, 33, 40, 64, 65, 69, 70])
def test_what_is_passed_over_is_reported_as_if_it_was_completed(tmp_path, count):
    names = [str(i) for i in range(70)]
    once, first, then = (report(files.make_directory(tmp_path / x)) for x in "abb")
    for name in names:
        once.add(finished(name, psnr=float(name)))
    for name in names[:count]:
        first.add(finished(name, psnr=float(name)))
    before = contents(tmp_path / "b")
    for name in names[:count]:
        stored = finished(name, psnr=float(name))._replace(
            photographs={}, stored=[f"{name}.png"]
        )
        then.pass_over(stored)
        # All that an earlier run has left is there until more is completed.
        assert contents(tmp_path / "b").keys() == before.keys()
        assert read(tmp_path / "b")["images"] == first.entries
    for name in names[count:]:
        then.add(finished(name, psnr=float(name)))
    assert once.close() == then.close() == []
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_result_that_cannot_be_written_is_nobodys_bad_picture(tmp_path):
    folder = files.make_directory(tmp_path / "gone")
    found = report(folder)
    shutil.rmtree(folder)
    with pytest.raises(OutputError, match="cannot write here"):
        found.add(finished("a"))
