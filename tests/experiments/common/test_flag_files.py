"""Flag files are refused in a sentence before anything is taken from them."""

import dataclasses
import os
import tempfile

import pytest
from hypothesis import given, strategies

from experiments.common import flag_files, options
from inpaint_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Small:
    """A few flags."""

    count: int = options.option(3, "How many.", least=1)
    share: float = options.option(0.5, "How much.")
    whole: bool = options.option(True, "Whether.")


def written(path, text):
    path.write_text(text)
    return str(path)


def test_files_inside_files_are_read(tmp_path):
    inner = written(tmp_path / "inner.flags", "# a comment\n--count=7\n")
    outer = written(tmp_path / "outer.flags", f"--share=2\n--flagfile={inner}\n")
    assert flag_files.expand(["--count=1", "--flagfile", outer]) == [
        *("--count=1", "--share=2", "--count=7")
    ]
    assert options.parse(Small, [f"--flagfile={outer}"]) == Small(7, 2.0)
    assert options.parse(Small, ["--flagfile", outer, "--count=8"]) == Small(8, 2.0)


def test_what_cannot_be_read_is_named_with_the_file_it_stands_in(tmp_path):
    missing = tmp_path / "missing.flags"
    outer = written(tmp_path / "outer.flags", f"--flagfile={missing}\n")
    with pytest.raises(InputError, match=f"^--flagfile={missing} .in {outer}.: cannot"):
        options.parse(Small, [f"--flagfile={outer}"])
    for path in ("", str(tmp_path)):
        with pytest.raises(InputError, match=f"^--flagfile={path}: cannot be read"):
            options.parse(Small, [f"--flagfile={path}"])
    (tmp_path / "bytes.flags").write_bytes(b"--count=\xff")
    with pytest.raises(InputError, match="bytes.flags: cannot be read"):
        options.parse(Small, [f"--flagfile={tmp_path}/bytes.flags"])


def test_a_file_that_includes_itself_is_refused(tmp_path):
    first, second = tmp_path / "first.flags", tmp_path / "second.flags"
    written(first, f"--flagfile={second}\n")
    written(second, f"--count=1\n--flagfile={first}\n")
    with pytest.raises(InputError, match=f"{first} .in {second}.: includes itself"):
        options.parse(Small, [f"--flagfile={first}"])


@pytest.mark.parametrize(
    "name", ["~nobody/a", "zero\0byte", 5000 * "x", "loop", "pipe"]
)
def test_what_cannot_be_a_file_is_refused(tmp_path, name):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    path = name if name.startswith("~") else tmp_path / name
    with pytest.raises(InputError, match="cannot be read"):
        flag_files.expand([f"--flagfile={path}"])


def test_files_in_files_without_end_are_refused(tmp_path):
    for i in range(99):
        written(tmp_path / f"{i}.flags", f"--flagfile={tmp_path}/{i + 1}.flags\n")
    with pytest.raises(InputError, match="20.flags .in .*19.flags"):
        flag_files.expand([f"--flagfile={tmp_path}/0.flags"])


def test_files_that_are_read_again_and_again_are_refused(tmp_path):
    for i in range(15):
        written(tmp_path / f"{i}.flags", f"--flagfile={tmp_path}/{i + 1}.flags\n" * 4)
    written(tmp_path / "15.flags", "--count=1\n")
    with pytest.raises(InputError, match=r"^--flagfile=.*more than the 100 flag files"):
        flag_files.expand([f"--flagfile={tmp_path}/0.flags"])
    once = [f"--flagfile={tmp_path}/15.flags"]
    assert flag_files.expand(100 * once) == 100 * ["--count=1"]


def test_flags_without_end_are_refused(tmp_path):
    path = written(tmp_path / "long.flags", "--count=1\n" * 6000)
    assert len(flag_files.expand([f"--flagfile={path}"])) == 6000
    with pytest.raises(InputError, match=r"long.flags: .*more than 10,000 flags"):
        flag_files.expand(2 * [f"--flagfile={path}"])


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--count=abc", "--count=abc: must be a whole number."),
        ("--share=much", "--share=much: must be a number."),
        ("--whole=maybe", "--whole=maybe: must be true or false."),
        ("--nowhole=false", "--nowhole=false"),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(argument, sentence):
    with pytest.raises(InputError) as refused:
        options.parse(Small, [argument])
    assert str(refused.value).startswith(sentence)
    assert "(" not in str(refused.value)


@given(strategies.text(strategies.characters(codec=None), min_size=1))
def test_any_value_is_read_as_it_was_written(value):
    # A lone surrogate is what Python makes of a file name that is no UTF-8.
    text = flag_files.text("any value", [f"--images={value}", "--count=3"])
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        read = flag_files.expand([f"--flagfile={file.name}"])
    assert read == [f"--images={value}", "--count=3"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_may_come_from_windows(tmp_path, encoding):
    lines = "--count=7 \r\n# note\r\n--share=2\r\n"
    (tmp_path / "a.flags").write_bytes(lines.encode(encoding))
    assert options.parse(Small, [f"--flagfile={tmp_path}/a.flags"]) == Small(7, 2.0)


@pytest.mark.parametrize("line", ['"--count=3', '"a" "b"', '"\\q"'])
def test_a_line_that_is_no_string_is_refused(tmp_path, line):
    path = written(tmp_path / "a.flags", line)
    with pytest.raises(InputError, match=r"a.flags: cannot be read"):
        flag_files.expand([f"--flagfile={path}"])
