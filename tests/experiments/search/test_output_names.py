"""No further result of a run takes the place of an input or of another result."""

import pathlib

import pytest

from experiments.common import input_paths
from experiments.search import output_names
from inpaint_jax.errors import InputError
from inpaint_jax.search.settings import Settings


def check(folder, *names, mask="centre", **options):
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    inputs = [input_paths.Input(path, path.stem) for path in paths]
    (folder / "out").mkdir(exist_ok=True)
    found = output_names.Names(inputs, **options)
    output_names.check(found, mask=mask, output=folder / "out")


def test_pictures_of_their_own_names_pass(tmp_path):
    check(tmp_path, "a.png", "b_2.png", "contact_sheet.png", answers=5, animate=True)
    check(tmp_path, "a.png", "a_2.png", answers=1)
    check(tmp_path, "a.png", "a_4.png", "a_02.png", answers=3)
    check(tmp_path, "a.png", "a_landmarks.png", "a_face1.png")
    check(tmp_path, "a_face1.png", "b_face01.png", "b.png", several=True)


@pytest.mark.parametrize("names", [("a.png", "a_3.png"), ("a_3.jpg", "a.png")])
def test_an_answer_does_not_take_a_results_name(tmp_path, names):
    with pytest.raises(InputError, match=r"--answers=3: .*a_3\..* answer 3 for a"):
        check(tmp_path, *names, answers=3)


@pytest.mark.parametrize("name", ["grid", "grid_2", "a_landmarks", "a_face2_landmarks"])
def test_a_grid_or_landmarks_do_not_take_a_results_name(tmp_path, name):
    match = f"--images=.*{name}.png: would be written as {name}.png, like "
    with pytest.raises(InputError, match=match):
        check(tmp_path, "a.png", f"{name}.png", landmark_figure=True, several=True)


@pytest.mark.parametrize("names", [("a.png", "a_face1.jpg"), ("a_face12.jpg", "a.png")])
def test_a_face_does_not_take_a_pictures_name(tmp_path, names):
    match = r"--images=.*a_face\d+.jpg: would be called a_face\d+, like a face of a;"
    with pytest.raises(InputError, match=match):
        check(tmp_path, *names, several=True)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a_face3_landmarks.png", {"landmark_figure": True, "several": True}),
        ("a_face1.webp", {"animate": True, "several": True}),
        ("a_2.png", {"answers": 2}),
        ("a.webp", {"animate": True}),
        ("contact_sheet.html", {}),
    ],
)
def test_no_result_replaces_an_input_or_the_mask(tmp_path, name, options):
    inside = tmp_path / "out" / name
    mask = {"mask": str(inside)}
    check(tmp_path, "a.png", **mask)  # as long as there is no such file
    inside.touch()
    with pytest.raises(InputError, match=f"--output_dir=.*{name} would be overwritten"):
        check(tmp_path, "a.png", **mask, **options)
    with pytest.raises(InputError, match="would be overwritten"):
        check(tmp_path, f"out/{name}", **options)
    link = tmp_path / "link.png"
    link.symlink_to(inside)
    with pytest.raises(InputError, match="would be overwritten"):
        check(tmp_path, "a.png", mask=str(link), **options)


def test_a_search_has_as_many_restarts_as_answers():
    output_names.check_count(4, Settings(restarts=4))
    with pytest.raises(InputError, match="--answers=5: .*4 restarts"):
        output_names.check_count(5, Settings(restarts=4))
    with pytest.raises(InputError, match="--answers=3: .*2 restarts"):
        output_names.check_count(3, Settings(restart_schedule=((8, 1), (2, 1))))


def test_names_are_those_that_the_flags_say():
    names = [output_names.answer("a", number) for number in (1, 2, 10)]
    assert names == ["a.png", "a_2.png", "a_10.png"]
    assert pathlib.Path(output_names.animation("a.b")).name == "a.b.webp"
