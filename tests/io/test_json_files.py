"""JSON of anyone is read with its types, or refused by file and field."""

import os

import pytest

from inpaint_jax.errors import InputError
from inpaint_jax.io import json_files

SAID = {"expected": "a list of scores", "give": "give another"}
KIND = dict[str, list[float]]


def test_values_have_their_types(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"psnr": [1, 2.5]}')
    assert json_files.read(path, KIND, **SAID) == {"psnr": [1.0, 2.5]}
    path.write_text("[1]\n[2]\n")
    assert json_files.read_lines(path, list[int], **SAID) == [[1], [2]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b'{"psnr": [1, "high"]}', r"`str` - at `\$"),
        (b'{"psnr": [NaN]}', "malformed"),
        (b'{"psnr": [1e999]}', "out of range"),
        (b'{"\xff": [1]}', "utf-8"),
        (b"[" * 100_000, "expected `object`"),
        (b'{"psnr": ' + b"[" * 100_000, "at|recursion"),
    ],
)
def test_what_is_of_another_type_is_refused(tmp_path, content, words):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"(?i)a.json: not a list of .*{words}"):
        json_files.read(path, KIND, **SAID)


def test_what_was_stored_may_be_no_number(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[[NaN, -Infinity], "AAE="]')
    (nan, low), stored = json_files.read_stored(path, tuple[list[float], bytes], **SAID)
    assert nan != nan and low == float("-inf") and stored == b"\0\1"
    for content in ("[[1], 2]", "[[1", "[" * 100_000, '[["1"], ""]', "\xff"):
        path.write_text(content, encoding="latin-1")
        with pytest.raises(InputError, match="a.json: not a list of scores"):
            json_files.read_stored(path, tuple[list[float], bytes], **SAID)


def test_what_is_nested_too_deep_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": ' + b"[" * 100_000)
    with pytest.raises(InputError, match="recursion"):
        json_files.read(path, dict, **SAID)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "no such file"),
        ("folder", "but a folder"),
        ("pipe", "not a file"),
        ("link", "a link that leads nowhere"),
        ("zero\0byte", "cannot be read"),
        (5000 * "x", "cannot be read"),
    ],
)
def test_what_is_no_file_is_refused_by_what_it_is(tmp_path, name, words):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=f"not a list of scores .*{words}"):
        json_files.read(tmp_path / name, KIND, **SAID)
