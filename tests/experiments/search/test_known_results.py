"""What takes the place of a file is a result, and so is what it takes the place of."""

import json
import os
import pathlib

import pytest

from experiments.common import application, input_paths
from experiments.search import finished_records, known_results, output_names
from inpaint_jax.errors import InputError

# What a run over these may write, where a user may have put a file of that name.
INPUTS = ("a", "sub/b")
OPTIONS = {"answers": 3, "animate": True, "landmark_figure": True, "several": True}
WRITTEN = [
    *("a.png", "sub/b.png", "a_2.png", "sub/b_3.png", "sub/b_landmarks.png", "a.webp"),
    *("a_face2_landmarks.png", "sub/b_face1.webp", "grid.png", "grid_2.png"),
    *("contact_sheet.html", "contact_sheet_3.html", "report.json", "trace.jsonl"),
]
OTHERS = ["b.png", "sub/a.png", "a_4.png", "a_02.png", "a_face0.webp", "sub/grid.png"]
OTHERS += ["a.jpg", "a_landmarks.webp", "a_face2.png", "notes.txt", "thesis/a.png"]


def check(folder, **options):
    inputs = [input_paths.Input(pathlib.Path(f"{name}.jpg"), name) for name in INPUTS]
    known_results.check(output_names.Names(inputs, **options), folder)


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")


@pytest.mark.parametrize("name", [*WRITTEN, "effective.flags"])
def test_what_is_no_result_keeps_its_place(tmp_path, name):
    check(tmp_path, **OPTIONS)
    put(tmp_path / name)
    match = f"--output_dir=.*/{name} is no result of an earlier run, and a result would"
    with pytest.raises(InputError, match=match):
        check(tmp_path, **OPTIONS)


def test_other_files_are_in_nobodys_way(tmp_path):
    for name in OTHERS:
        put(tmp_path / name)
    check(tmp_path, **OPTIONS)
    for name in ("a_2.png", "a.webp", "a_landmarks.png"):
        put(tmp_path / name)
    check(tmp_path)


def test_results_of_earlier_runs_are_replaced(tmp_path):
    results = known_results.Results(tmp_path)
    for name in WRITTEN:
        put(results.path(name))
    application.write_effective_flags(tmp_path)
    check(tmp_path, **OPTIONS)
    # A later run leaves some out, which stay results.
    later = known_results.Results(tmp_path)
    later.path("c.png")
    assert json.loads((tmp_path / ".results").read_text()) == sorted(
        [*WRITTEN, "c.png"]
    )
    check(tmp_path, **OPTIONS)
    assert later.other_pictures(["a.png", "grid.png", "grid_2.png"]) == sorted(
        {name for name in WRITTEN if name.endswith(("png", "webp"))}
        - {"a.png", "grid.png", "grid_2.png"}
    )


def test_results_are_known_before_they_are_written(tmp_path):
    path = known_results.Results(tmp_path).path(
        "sub/b.png"
    )  # and the process is killed
    assert not path.exists() and path.parent.is_dir()
    put(path)
    check(tmp_path)


def test_a_result_that_is_removed_makes_room_for_another_file(tmp_path):
    results = known_results.Results(tmp_path)
    put(results.path("grid_2.png"))
    put(tmp_path / "grid_3.png")
    assert results.remove("grid_2.png") and not results.remove("grid_2.png")
    assert not results.remove("grid_3.png") and (tmp_path / "grid_3.png").exists()
    put(tmp_path / "grid_2.png")
    with pytest.raises(InputError, match="grid_2.png is no result"):
        check(tmp_path)


@pytest.mark.parametrize("listed", [None, "[]", '["a_2.png"]'])
def test_nothing_but_the_list_makes_a_file_a_result(tmp_path, listed):
    if listed is not None:
        (tmp_path / ".results").write_text(listed)
    application.write_effective_flags(tmp_path)
    answers = [{"file": "a.png", "score": 1.0}]
    entries = [{"image": "a", "photograph": "a.png", "answers": answers}]
    (tmp_path / "report.json").write_text(json.dumps({"images": entries}))
    with pytest.raises(InputError, match=r"report\.json is no result"):
        check(tmp_path, **OPTIONS)
    (tmp_path / "report.json").unlink()
    put(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png is no result"):
        check(tmp_path, **OPTIONS)
    assert not known_results.Results(tmp_path).remove("a.png")
    assert known_results.Results(tmp_path).other_pictures([]) == []


@pytest.mark.parametrize("name", WRITTEN)
def test_a_folder_or_a_link_in_a_results_place_is_refused(tmp_path, name):
    known_results.Results(tmp_path).path(name)
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(InputError, match=f"/{name} is a folder, and a result would"):
        check(tmp_path, **OPTIONS)
    (tmp_path / name).rmdir()
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=f"/{name} is a link, and a result would"):
        check(tmp_path, **OPTIONS)


@pytest.mark.parametrize("name", ["sub", finished_records.FOLDER])
def test_a_subfolder_that_leads_elsewhere_or_is_none_is_refused(tmp_path, name):
    (tmp_path / "photographs").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(tmp_path / "photographs")
    with pytest.raises(InputError, match=f"/{name} leads to another folder"):
        check(tmp_path / "out")
    (tmp_path / "out" / name).unlink()
    put(tmp_path / "out" / name)
    with pytest.raises(InputError, match=f"/{name} cannot hold results .Not a dir"):
        check(tmp_path / "out")


def test_the_folder_itself_may_be_reached_by_a_link(tmp_path, monkeypatch):
    (tmp_path / "disk" / "sub").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    check(tmp_path / "out", **OPTIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.chdir(tmp_path)
    check(pathlib.Path("out/../out"), **OPTIONS)


def test_a_damaged_list_is_named(tmp_path):
    (tmp_path / ".results").write_text('{"a": 1}')
    with pytest.raises(InputError, match=r"\.results: not the list of a folder's"):
        check(tmp_path)


@pytest.mark.parametrize(
    ("make", "words"), [(os.mkdir, "but a folder"), (os.mkfifo, "not a file")]
)
def test_what_is_no_list_is_refused_by_what_it_is(tmp_path, make, words):
    make(tmp_path / ".results")
    with pytest.raises(InputError, match=rf"\.results: not the list .*{words}.*remove"):
        check(tmp_path)
