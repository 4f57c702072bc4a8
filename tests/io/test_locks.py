"""Locks keep others out, end with their holder, and touch no other file."""

import os
import re
import threading

import pytest

from inpaint_jax.errors import InputError, OutputError
from inpaint_jax.io import files, locks

BUSY = "another process works there"
PARTIAL = re.compile(r"\w+\.partial")


def test_a_held_lock_keeps_others_out_and_is_free_afterwards(tmp_path):
    for _ in range(2):
        with locks.held(tmp_path, busy=BUSY):
            with pytest.raises(InputError, match=BUSY), locks.held(tmp_path, busy=BUSY):
                pass
    with pytest.raises(RuntimeError), locks.held(tmp_path, busy=BUSY):
        raise RuntimeError
    with locks.held(tmp_path, busy=BUSY):
        assert os.listdir(tmp_path) == [".lock"]


def test_who_waits_gets_the_lock_as_soon_as_it_is_free(tmp_path):
    with locks.held(tmp_path, busy=BUSY):
        with pytest.raises(InputError, match=BUSY):
            with locks.held(tmp_path, busy=BUSY, seconds=0.1):
                pass
        order = []

        def wait():
            with locks.held(tmp_path, busy=BUSY, seconds=60.0):
                order.append("second")

        waiting = threading.Thread(target=wait)
        waiting.start()
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def odd_files(folder):
    """A link to a file, one to nothing, a named pipe and a folder."""
    (folder / "victim").write_text("precious")
    (folder / "link").symlink_to(folder / "victim")
    (folder / "dangling").symlink_to(folder / "nothing")
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    return [folder / name for name in ("link", "dangling", "pipe", "folder")]


def test_only_a_regular_file_is_locked_or_added_to(tmp_path):
    output = files.make_directory(tmp_path / "output")
    for path in odd_files(tmp_path):
        with pytest.raises(InputError, match=f"{path.name}: is no regular file"):
            files.append_text(path, "more")
        path.rename(output / ".lock")
        with pytest.raises(InputError, match="lock: is no regular file"):
            with locks.held(output, busy=BUSY):
                pass
        (output / ".lock").rename(path)
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "nothing").exists()


def test_what_is_added_follows_what_is_there(tmp_path):
    for text in ("one\n", "zwölf\n"):
        files.append_text(tmp_path / "log", text)
    assert (tmp_path / "log").read_text(encoding="utf-8") == "one\nzwölf\n"
    with pytest.raises(OutputError, match="cannot be written"):
        files.append_text(tmp_path / "missing" / "log", "")


def test_only_abandoned_files_of_the_name_are_removed(tmp_path):
    for name in ("dead.partial", "living.partial", "other.txt"):
        (tmp_path / name).write_text("half")
    (tmp_path / "linked.partial").symlink_to(tmp_path / "other.txt")
    (tmp_path / "folder.partial").mkdir()
    descriptor = locks.open_regular(tmp_path / "living.partial", os.O_RDWR)
    assert locks.take(descriptor)
    locks.remove_abandoned(tmp_path, PARTIAL)
    kept = {"living.partial", "other.txt", "linked.partial", "folder.partial"}
    assert set(os.listdir(tmp_path)) == kept
    os.close(descriptor)
    locks.remove_abandoned(tmp_path, PARTIAL)
    assert set(os.listdir(tmp_path)) == kept - {"living.partial"}


def test_a_folder_that_is_used_again_loses_what_was_left_half_written(tmp_path):
    (tmp_path / ".abcd12_9.partial").write_text("of a dead process")
    (tmp_path / ".own.partial").write_text("of somebody else")
    with files.replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        files.make_directory(tmp_path)
    assert set(os.listdir(tmp_path)) == {".own.partial", "a.txt"}
    assert (tmp_path / "a.txt").read_text() == "new"
