"""Files that are no results of an application stay as they are."""

import json
import os

import pytest

from experiments.common import application, output_folders
from inpaint_jax.errors import InputError, OutputError


def test_a_folder_is_created_and_taken_again(tmp_path):
    with output_folders.claim(str(tmp_path / "new" / "folder")) as folder:
        application.write_effective_flags(folder)
        (folder / "portrait.png").write_bytes(b"a result")
    with output_folders.claim(str(folder)) as again:
        assert again == folder


@pytest.mark.parametrize("mark", [None, "# python -m experiments.other --flagfile=x"])
def test_a_folder_of_other_files_is_refused(tmp_path, mark):
    (tmp_path / "thesis.pdf").write_bytes(b"mine")
    if mark is not None:
        (tmp_path / application.FLAG_FILE).write_text(mark)
    with pytest.raises(InputError, match="no results of .*; give a new or an empty"):
        with output_folders.claim(str(tmp_path)):
            pass


def test_results_of_a_run_that_was_killed_before_its_flag_file_are_taken(tmp_path):
    for _ in range(2):
        with output_folders.claim(str(tmp_path)) as folder:
            (folder / "portrait.png").write_bytes(b"a result")
    (tmp_path / ".lock").write_text("# python -m experiments.other ")
    with pytest.raises(InputError, match="no results of"):
        with output_folders.claim(str(tmp_path)):
            pass


def test_a_folder_is_not_taken_by_a_run_that_leaves_nothing(tmp_path):
    (tmp_path / "photographs").mkdir()
    for name, taken in ((".partial", False), ("a.png", True)):
        with pytest.raises(InputError, match="wrong"):
            with output_folders.claim(str(tmp_path)) as folder:
                (folder / name).touch()
                if not taken:
                    (folder / name).unlink()
                raise InputError("wrong")
        assert output_folders.holds_results(tmp_path) == taken
    with pytest.raises(InputError, match="wrong"):
        with output_folders.claim(str(tmp_path)):
            raise InputError("wrong")
    assert output_folders.holds_results(tmp_path)


def test_hidden_files_and_folders_are_in_nobodys_way(tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"")
    (tmp_path / "left").mkdir()
    with output_folders.claim(str(tmp_path)) as folder:
        assert folder == tmp_path


def test_folders_that_would_be_written_to_are_not_taken(tmp_path):
    (tmp_path / "figures").symlink_to(tmp_path)
    with pytest.raises(InputError, match="no results of .*, as figures"):
        with output_folders.claim(str(tmp_path), folders=("figures",)):
            pass


def test_a_shared_folder_is_claimed_by_several_at_once(tmp_path):
    with output_folders.claim(str(tmp_path), shared=True) as first:
        (first / "generator").mkdir()
        kinds = {"folders": ("generator",), "shared": True}
        with output_folders.claim(str(tmp_path), **kinds) as second:
            assert first == second
    (tmp_path / ".lock").unlink()
    with pytest.raises(InputError, match="no results of .*, as generator"):
        with output_folders.claim(str(tmp_path), **kinds):
            pass


def test_a_shared_folder_is_not_taken_by_a_run_that_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="wrong"):
        with output_folders.claim(str(tmp_path), shared=True):
            assert output_folders.holds_results(tmp_path)
            raise InputError("wrong")
    assert not output_folders.holds_results(tmp_path)


def test_no_folder_is_refused():
    with pytest.raises(OutputError, match="empty"):
        with output_folders.claim(""):
            pass


@pytest.mark.parametrize("text", ["", "[1]", '{"images": []}', "[" * 100_000])
def test_a_file_of_another_kind_is_not_replaced(tmp_path, text):
    path = tmp_path / "found.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"--output=.*found\.json: is there"):
        output_folders.check_replaceable(str(path), keys=("images", "others"))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "found.json")
    with pytest.raises(InputError, match=r"found\.json: is there"):
        output_folders.check_replaceable(str(tmp_path / "found.json"), keys=())


def test_a_result_of_the_same_kind_is_replaced(tmp_path):
    path = tmp_path / "found.json"
    output_folders.check_replaceable(str(path), keys=("others",))
    path.write_text(json.dumps({"others": {}, "images": 3}))
    output_folders.check_replaceable(str(path), keys=("images", "others"))
    output_folders.check_replaceable(None, keys=("images",))
