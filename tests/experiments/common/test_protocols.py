"""A folder holds the run of one protocol, and what was measured for it."""

import json

import pytest
from absl import flags

from experiments.common import protocols
from inpaint_jax.errors import InputError

PROTOCOL = {"seeds": 3, "variants": {"a": {"rate": 0.1, "sizes": (1, 2)}}}


def agree(path, protocol=PROTOCOL, *, measured=7, commit="x"):
    return protocols.agree(
        path,
        protocol,
        environment={"commit": commit},
        measure=lambda: {"steps": measured},
        results=path.parent / "scores.csv",
    )


def extend(path, protocol):
    protocols.extend(path, protocol, results=path.parent / "scores.csv")


def test_a_later_start_takes_what_the_first_one_measured(tmp_path):
    path = tmp_path / "protocol.json"
    assert agree(path) == {"steps": 7}
    before = path.read_bytes()
    assert agree(path, measured=8, commit="y") == {"steps": 7}
    assert path.read_bytes() == before
    written = json.loads(before)
    assert written["seeds"] == 3 and written["environment"] == {"commit": "x"}


def test_another_protocol_is_refused_by_its_differences(tmp_path):
    path = tmp_path / "protocol.json"
    agree(path)
    other = {"variants": {"a": {"rate": 0.2, "sizes": (1, 2)}}, "masks": ["left"]}
    with pytest.raises(InputError) as refused:
        agree(path, other)
    message = str(refused.value)
    for words in ("seeds was 3 and is null", "variants.a.rate was 0.1 and is 0.2"):
        assert words in message
    assert "masks was null" in message and "sizes" not in message
    assert str(tmp_path) in message


def test_the_refusal_says_which_flag_gives_the_old_value_again(tmp_path, monkeypatch):
    path = tmp_path / "protocol.json"
    agree(path)
    with pytest.raises(InputError, match="; give the same again, or another folder"):
        agree(path, PROTOCOL | {"seeds": 4})
    known = flags.FlagValues()
    flags.DEFINE_integer("seeds", 1, "How many.", flag_values=known)
    monkeypatch.setattr(flags, "FLAGS", known)
    with pytest.raises(InputError, match="; give --seeds=3 again, or another folder"):
        agree(path, PROTOCOL | {"seeds": 4})
    with pytest.raises(InputError, match="; give the same again, or another folder"):
        agree(path, {"seeds": 4})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"measured": 1}'])
def test_what_is_no_protocol_is_refused(tmp_path, text):
    path = tmp_path / "protocol.json"
    path.write_text(text)
    with pytest.raises(InputError, match="not a protocol"):
        agree(path)


def test_nothing_is_written_where_measuring_fails(tmp_path):
    path = tmp_path / "protocol.json"
    with pytest.raises(KeyboardInterrupt):
        protocols.agree(
            path,
            PROTOCOL,
            environment={},
            measure=_interrupted,
            results=tmp_path / "scores.csv",
        )
    assert not path.exists()


def _interrupted():
    raise KeyboardInterrupt


def test_entries_can_be_added_but_not_changed(tmp_path):
    path = tmp_path / "protocol.json"
    extend(path, {"frame": {"seed": 0}, "methods": {"si": {"steps": 1}}})
    extend(path, {"frame": {"seed": 0}, "methods": {"tv": {}}})
    both = {"frame": {"seed": 0}, "methods": {"si": {"steps": 1}, "tv": {}}}
    assert json.loads(path.read_text()) == both
    with pytest.raises(InputError, match=r"methods\.si\.steps was 1 and is 2"):
        extend(path, {"frame": {"seed": 0}, "methods": {"si": {"steps": 2}}})
    assert json.loads(path.read_text()) == both


def test_what_is_no_protocol_is_not_extended(tmp_path):
    path = tmp_path / "protocol.json"
    path.write_text("{}")
    with pytest.raises(InputError, match="not a protocol"):
        extend(path, {"frame": {"seed": 0}})
    assert path.read_text() == "{}"


@pytest.mark.parametrize("take", [agree, extend])
def test_results_without_their_protocol_are_refused(tmp_path, take):
    (tmp_path / "scores.csv").write_text("method,image\n")
    with pytest.raises(InputError, match=r"scores\.csv: .*without their protocol"):
        take(tmp_path / "protocol.json", {"frame": {"seed": 0}})
    assert not (tmp_path / "protocol.json").exists()
