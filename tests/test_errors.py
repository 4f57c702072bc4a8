"""What an error says: printable, and of the flag that its input came from."""

import os

import pytest

from inpaint_jax.errors import InputError, naming, printable, reason


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain, ü, 顔.png", "plain, ü, 顔.png"),
        ("a\nb\x1b[31mred\t", r"a\nb\x1b[31mred\t"),
        (os.fsdecode(b"\xff.png"), r"\udcff.png"),
        ("left\u202eright", r"left\u202eright"),
    ],
)
def test_a_name_is_shown_without_what_a_terminal_obeys(name, shown):
    assert printable(name) == shown
    assert str(InputError(f"{name}: damaged.")) == f"{shown}: damaged."
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("faces: no such folder.", "--bank=folder:faces: no such folder."),
        ("folder:faces: no such folder.", "--bank=folder:faces: no such folder."),
        ("faces/a.png: damaged.", "--bank=folder:faces: faces/a.png: damaged."),
        ("it is empty.", "--bank=folder:faces: it is empty."),
        ("cache=x.npy: damaged.", "--cache=x.npy: damaged."),
        ("--data_dir=x: gone.", "--data_dir=x: gone."),
    ],
)
def test_the_flag_is_named_that_the_input_came_from(said, told):
    with pytest.raises(InputError) as caught, naming("--bank", "folder:faces"):
        raise InputError(said)
    assert str(caught.value) == told


def test_no_flag_is_named_where_none_was_given():
    with pytest.raises(InputError, match=r"^nothing is installed\."):
        with naming("--landmark_model", None):
            raise InputError("nothing is installed.")


def test_the_kind_of_an_error_is_kept():
    class Finer(InputError):
        pass

    with pytest.raises(Finer, match="^--bank=faces: full"), naming("--bank", "faces"):
        raise Finer("full")


def test_the_reason_is_one_line():
    assert reason(ValueError("one\ntwo")) == "one"
    assert reason(ValueError()) == "ValueError"
    assert reason(OSError(28, "No space left on device", "/x")) == (
        "No space left on device"
    )
