"""A record comes back as it was written, or is refused by one sentence."""

import json

import numpy as np
import pytest

from experiments.search import finished_records
from experiments.search.finished_records import Face, Record
from experiments.search.picture_results import Finished
from inpaint_jax.errors import InputError
from inpaint_jax.io import files, hashes
from tests import drawn

SIDE = 4


def face(name, seed=0):
    entry = {
        "image": name,
        "photograph": "sub/a.png",
        "hole_fraction": 0.25,
        "iterations": 2,
        "score": 0.5,
        "seconds": 1.5,
        "terms": {"context": 0.1, "prior": float("inf")},
        "nme": float("nan"),
        "answers": [{"file": "sub/a.png", "score": 0.5, "distance": None}],
        "frame": [[1.0, 0.0, 2.5], [0.0, 1.0, 3.5]],
    }
    losses = {"loss": [0.1, float("nan")], "best_loss": [0.1, 0.3]}
    trace = [{"image": name, "step": 1, **losses, "seconds": 0.5}]
    pictures = drawn.noise(3, SIDE, SIDE, 3, seed=seed)
    row = {"input": pictures[0], "completed": pictures[1]}
    points = {"target": drawn.noise(68, 2).astype(np.float32) / 7}
    finished = Finished(entry, row, trace, [pictures[2]], {}, {}, landmarks=points)
    return Face(finished, f"company of {name}")


@pytest.fixture
def output(tmp_path):
    files.make_directory(tmp_path / finished_records.FOLDER)
    files.make_directory(tmp_path / "sub")
    (tmp_path / "sub" / "a.png").write_bytes(b"a picture")
    return tmp_path


def written(output, **changed):
    results = {"sub/a.png": finished_records.hash_of_result(output, "sub/a.png")}
    depends = {"picture": "of bytes", "--seed": 0}
    faces = [face("a_face1"), face("a_face2", seed=1)]
    record = Record("sub/a", depends, 2, results, faces)._replace(**changed)
    finished_records.write(output / finished_records.FOLDER, record)
    return record, path(output)


def path(output):
    return output / finished_records.FOLDER / finished_records.file_name("sub/a")


def test_it_comes_back_bit_by_bit(output):
    assert finished_records.read(output, "sub/a") is None
    record, _ = written(output)
    found = finished_records.read(output, "sub/a")
    assert found[:4] == record[:4]
    for one, other in zip(found.faces, record.faces, strict=True):
        assert one.company == other.company
        for name in ("entry", "trace"):
            texts = [json.dumps(getattr(x.finished, name)) for x in (one, other)]
            assert texts[0] == texts[1]
        for name in ("row", "landmarks"):
            ours, theirs = (getattr(each.finished, name) for each in (one, other))
            assert list(ours) == list(theirs)
            for key, array in theirs.items():
                assert ours[key].dtype == array.dtype
                np.testing.assert_array_equal(ours[key], array)
        np.testing.assert_array_equal(one.finished.faces, other.finished.faces)


def test_numpys_numbers_are_numbers(output):
    first = face("a_face1")
    first.finished.entry["deviation"] = np.float32(0.5)
    written(output, faces=[first])
    (found,) = finished_records.read(output, "sub/a").faces
    assert found.finished.entry["deviation"] == 0.5


def test_a_result_that_is_gone_or_another_is_named(output):
    record, _ = written(output)
    assert finished_records.changed(record, output) == []
    (output / "sub" / "a.png").write_bytes(b"A picture")
    assert finished_records.changed(record, output) == ["sub/a.png"]
    (output / "sub" / "a.png").unlink()
    assert finished_records.changed(record, output) == ["sub/a.png"]


def test_records_that_no_longer_hold_are_removed(output):
    _, path = written(output)
    finished_records.tidy(output, [])
    assert path.exists()
    (output / "sub" / "a.png").unlink()
    finished_records.tidy(output, ["sub/a"])
    assert path.exists()
    finished_records.tidy(output, [])
    assert not path.exists()
    path.write_bytes(b"{")
    finished_records.tidy(output, [])
    assert not path.exists()


def forged(path, change):
    """Changes the content of a record, and gives it the hash of what it is then."""
    stored = json.loads(path.read_text())
    change(stored["content"])
    stored["sha256"] = hashes.of_json(stored["content"])
    path.write_text(json.dumps(stored))


# What anyone may write -> a word of the sentence.
FORGED = {
    "another version": (lambda c: c.update(version=2), "version"),
    "another picture": (lambda c: c.update(name="b"), "another picture"),
    "no face": (lambda c: c.update(faces=[]), "faces"),
    "no number": (lambda c: c.update(together=0), "together"),
    "a large side": (lambda c: c.update(side=5000), "side"),
    "a long side": (lambda c: c.update(side=SIDE + 1), "reshape"),
    "another folder": (lambda c: c["results"].update({"../b": ""}), "outside"),
    "another disk": (lambda c: c["results"].update({"/b": ""}), "outside"),
    "no loss": (lambda c: c["faces"][0]["trace"][0].update(loss="low"), "loss"),
    "no name": (lambda c: c["faces"][0]["entry"].pop("image"), "image"),
    "no result": (lambda c: c["faces"][0]["row"].pop("completed"), "missing"),
    "no answer": (
        lambda c: c["faces"][0]["entry"]["answers"].extend(
            c["faces"][0]["entry"]["answers"]
        ),
        "missing",
    ),
    "points in space": (
        lambda c: c["faces"][0]["landmarks"]["target"][0].append(1.0),
        "landmarks",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_is_no_record_is_refused(output, name):
    _, path = written(output)
    change, word = FORGED[name]
    forged(path, change)
    with pytest.raises(InputError, match=rf"not the record .*{word}.*computed again"):
        finished_records.read(output, "sub/a")


def test_no_damage_goes_unnoticed(output):
    _, path = written(output)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for place in rng.integers(0, len(whole) - 2, 200):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        for content in (bytes(damaged), whole[:place]):
            path.write_bytes(content)
            with pytest.raises(InputError, match="not the record"):
                finished_records.read(output, "sub/a")


def test_a_record_that_is_no_file_is_refused(output):
    path(output).mkdir()
    with pytest.raises(InputError, match="but a folder"):
        finished_records.read(output, "sub/a")
