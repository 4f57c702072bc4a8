"""Files of a folder are replaced together: killed anywhere, all are old or all new."""

import os
import pathlib

import pytest

from inpaint_jax.errors import InputError, OutputError
from inpaint_jax.io import folders

OLD = {"a": b"old a", "b": b"old b", "stale": b"old"}
NEW = {"a": b"new a", "b": b"new b", "c": b"new c", "stale": b""}


@pytest.fixture
def folder(tmp_path):
    for name, content in {**OLD, "notes.txt": b"mine"}.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def write(folder, contents=NEW):
    with folders.replacing(folder) as written:
        for name, content in contents.items():
            (written / name).write_bytes(content)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_new_files_replace_old_ones_and_others_stay(folder):
    write(folder)
    expected = {k: v for k, v in NEW.items() if v}
    assert content(folder) == {**expected, "notes.txt": b"mine"}


def test_a_block_that_raises_changes_nothing(folder):
    before = content(folder)
    with pytest.raises(KeyboardInterrupt), folders.replacing(folder) as written:
        (written / "a").write_bytes(b"new")
        raise KeyboardInterrupt
    assert content(folder) == before


def read(folder):
    found = {}
    for name in ("a", "b", "c"):
        try:
            found[name] = folders.read(folder, name)
        except FileNotFoundError:
            pass
    return found


class Killed(BaseException):
    """Stands for the end of the process: nothing tidies up after it."""


def test_killed_anywhere_a_reader_finds_all_old_or_all_new_files(folder, monkeypatch):
    """Each change of the folder's entries in turn is the last one that is made."""
    old = {name: OLD[name] for name in ("a", "b")}
    new = {name: NEW[name] for name in ("a", "b", "c")}
    seen, left = [], 0
    while True:
        for name in ("a", "b", "c", "stale"):
            (folder / name).unlink(missing_ok=True)
        write(folder, OLD)
        with monkeypatch.context() as patch:
            counted = iter(range(left))
            for name in ("rename", "replace", "unlink", "rmdir", "mkdir"):
                act = getattr(pathlib.Path, name)

                def killed(*arguments, act=act, counted=counted, **options):
                    if next(counted, None) is None:
                        raise Killed
                    return act(*arguments, **options)

                patch.setattr(pathlib.Path, name, killed)
            # A killed process removes nothing.
            patch.setattr(folders.shutil, "rmtree", lambda *a, **k: None)
            try:
                write(folder)
                finished = True
            except Killed:
                finished = False
        seen.append(read(folder))
        if finished:
            break
        left += 1
        write(folder, {"b": b"newest"})  # and the next writer is not in its way
        assert folders.read(folder, "b") == b"newest"
        assert not [p for p in folder.iterdir() if p.is_dir()]
    assert all(found in (old, new) for found in seen)
    turn = seen.index(new)
    assert turn >= 2 and seen[turn:] == [new] * len(seen[turn:]) and len(seen) > 6


def test_what_is_in_the_way_is_named_and_nothing_is_changed(folder):
    (folder / "c").mkdir()
    with pytest.raises(InputError, match=f"{folder}/c: a folder"):
        write(folder)
    assert folders.read(folder, "a") == OLD["a"]
    with pytest.raises(OutputError, match="notes.txt"):
        write(folder / "notes.txt")


def test_a_full_disk_is_told_in_a_sentence(folder):
    before = content(folder)
    with pytest.raises(OutputError, match="No space left") as caught:
        with folders.replacing(folder):
            raise OSError(28, os.strerror(28))
    assert str(folder) in str(caught.value) and content(folder) == before
