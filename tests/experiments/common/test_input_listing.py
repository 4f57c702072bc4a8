"""What --images names: the pictures, their names, and what is passed over."""

import pathlib

import pytest

from experiments.common import input_listing, skipping
from inpaint_jax.errors import InputError
from inpaint_jax.io import picture_files
from tests.drawn import noise

MARK = "# python -m experiments.inpaint --flagfile=effective.flags"


def draw(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture_files.write(path, noise(8, 8, 3))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with pictures in several folders."""
    for name in ("a/1.png", "b/1.png", "b/c/2.PNG", "one, two.png", "x [1].png"):
        draw(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listing(images, *, mask="centre", output="out"):
    folder = pathlib.Path(output)
    return input_listing.list_inputs(images, mask=mask, output=folder)


def names(images, **options):
    return [each.name for each in listing(images, **options).inputs]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ("a/1.png", ["1"]),
        ("a", ["1"]),
        ("b", ["1", "c/2"]),
        ("b[1:]", ["c/2"]),
        ("a,b/c", ["1", "2"]),
        (["a", "b/c/2.PNG"], ["1", "2"]),
        ("a,b", ["a/1", "b/1", "b/c/2"]),
        ("a,a/1.png,./a", ["1"]),
        ("a/1.png,b/1.png", ["a/1", "b/1"]),
        ("one, two.png", ["one, two"]),
        ("one, two.png,a", ["one, two", "1"]),
        ("x [1].png", ["x [1]"]),
        ('"x [1].png"', ["x [1]"]),
        ("'a'", ["1"]),
        ("x [1]*", ["x [1]"]),
        ("?/1.png", ["a/1", "b/1"]),
        ("**/*.PNG", ["b/c/2"]),
        ("**/1.*[:1]", ["a/1"]),
        ("?", ["a/1", "b/1", "b/c/2"]),
        ("b, a", ["b/1", "b/c/2", "a/1"]),
    ],
)
def test_pictures_are_found_and_named(place, images, expected):
    assert names(images) == expected


def test_the_home_folder_and_lists(place, monkeypatch):
    monkeypatch.setenv("HOME", str(place / "b"))
    assert names("~/c") == ["2"]
    text = '\ufeffa/1.png\r\n\r\n"x [1].png"\r\n~/c\r\n'
    (place / "list.txt").write_text(text, encoding="utf-8")
    assert names("@list.txt") == ["1", "x [1]", "2"]
    (place / "wide.txt").write_text(text[1:], encoding="utf-16")
    assert names("@wide.txt") == ["1", "x [1]", "2"]
    (place / "b" / "beside.txt").write_text("c/2.PNG\n")
    assert names("@b/beside.txt") == ["2"]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ("missing", "missing: no such file or folder"),
        ("a,missing", "--images=missing: no such"),
        ("a/1.png[0:1]", "no such file or folder"),
        ("a[5:]", "this slice of 1 pictures is empty"),
        ("nothing*", "no picture to complete"),
        ("@missing.txt", "no such file"),
        ("@nested.txt", "is a list again"),
        ("@empty.txt", "names no picture"),
        ("@latin.txt", "cannot be read"),
        ("texts", "only notes.txt"),
    ],
)
def test_what_names_no_picture_is_refused(place, images, words):
    (place / "nested.txt").write_text("@list.txt")
    (place / "empty.txt").write_text("\n")
    (place / "latin.txt").write_bytes("ä".encode("latin-1"))
    (place / "texts").mkdir()
    (place / "texts" / "notes.txt").write_text("")
    with pytest.raises(InputError, match=words) as error:
        listing(images)
    assert ("slice" in str(error.value)) == ("slice" in words)


def test_hidden_files_and_results_are_no_inputs(place):
    picture = (place / "a" / "1.png").read_bytes()
    for name in (".hidden.png", "._1.png"):
        (place / "a" / name).write_bytes(picture)
    for folder in ("earlier", "out", ".thumbnails"):
        (place / "a" / folder / "sub").mkdir(parents=True)
        (place / "a" / folder / "sub" / "3.png").write_bytes(picture)
    (place / "a" / "earlier" / "effective.flags").write_text(MARK)
    found = listing("a", output="a/out")
    assert [each.name for each in found.inputs] == ["1"] and not found.passed_over
    (place / "a" / "1.png").unlink()
    with pytest.raises(InputError, match="no picture to complete there that is no"):
        listing("a", output="a/out")


def test_pictures_that_are_named_as_results_are_results_beside_a_runs_marks_only(place):
    for name in ("grid", "grid_2", "1_landmarks", "contact_sheet"):
        draw(place / "a" / f"{name}.png")
    found = listing("a")
    assert [each.name for each in found.inputs] == [
        *("1", "1_landmarks", "contact_sheet", "grid", "grid_2")
    ]
    assert not found.passed_over
    (place / "a" / "effective.flags").write_text(MARK)
    with pytest.raises(InputError, match="no picture to complete there that is no"):
        listing("a")


def test_links_to_one_file_are_one_input_and_the_others_are_named(place):
    (place / "a" / "0.png").symlink_to("1.png")
    (place / "a" / "2.png").symlink_to("1.png")
    found = listing("a,a/1.png,./a")
    assert [each.name for each in found.inputs] == ["0"]
    told = {str(each.path): each.why for each in found.passed_over}
    why = "is the same file as a/0.png, by a link."
    assert told == {"a/1.png": why, "a/2.png": why}


def test_masks_beside_the_pictures_are_no_inputs(place):
    for name in ("b/1_mask.png", "b/masks/1.png", "b/hole.png"):
        draw(place / name)
    everything = ["1", "1_mask", "c/2", "hole", "masks/1"]
    assert names("b") == everything
    assert names("b", mask="b/hole.png") == [n for n in everything if n != "hole"]
    assert names("b", mask="b/masks") == everything[:-1]
    assert names("b", mask="b") == [n for n in everything if n != "1_mask"]


def test_what_is_passed_over_is_named_once(place, capsys):
    for name in ("photo.HEIC", "old.bmp", "notes.txt", "plain"):
        (place / "a" / name).write_bytes(b"")
    found = listing("a,a/*")
    assert [each.name for each in found.inputs] == ["1"]
    passed = {each.path.name: each for each in found.passed_over}
    assert len(passed) == len(found.passed_over) == 4
    assert "is a picture in HEIC; convert it" in passed["photo.HEIC"].why
    assert passed["old.bmp"].is_picture and not passed["notes.txt"].is_picture
    skipped = skipping.Skipped(alone=True)
    skipped.pass_over([passed["notes.txt"], passed["plain"]])
    assert skipped.exit_code == 0 and len(skipped.reasons) == 2
    skipped.pass_over([passed["old.bmp"]])
    assert skipped.exit_code == 1 and len(skipped.reasons) == 3
    assert "skipped a/old.bmp: is a picture in BMP" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".jfif", ".JPE", ".WEBP"])
def test_suffixes_of_pictures(place, suffix):
    (place / "a" / "1.png").rename(place / "a" / f"2{suffix}")
    assert names("a") == ["2"]


def test_names_that_clash_are_refused(place):
    draw(place / "a" / "1.webp")
    with pytest.raises(InputError, match="1.webp: would be written as 1.png"):
        listing("a")
    inputs = listing("b,x*,a/1.png").inputs
    with pytest.raises(InputError, match="a/1.png: would be written as 1.png, like b"):
        input_listing.paths_by_stem(inputs)


def test_nothing_is_overwritten(place):
    with pytest.raises(InputError, match="folder of --images"):
        listing("a", output="a")
    with pytest.raises(InputError, match="a/1.png would be overwritten"):
        listing("a/1.png", output="a")
    with pytest.raises(InputError, match="b/1.png would be overwritten"):
        listing("a/1.png", mask="b/1.png", output="b")
