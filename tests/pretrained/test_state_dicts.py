"""State dicts are read as PyTorch wrote them, and no code in them is run."""

import collections
import io
import os
import pickle
import sys
import types
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from inpaint_jax.errors import InputError
from inpaint_jax.pretrained import state_dicts

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)
TREE = {
    "epoch": 3,
    "netG": collections.OrderedDict(w=ROWS, n=np.array(7)),
    "netD": collections.OrderedDict(w=ROWS.astype(np.float16)),
}
STORAGES = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
}


class Tensor:
    """Pickled as PyTorch's tensors are."""

    def __init__(self, array, *, size=None, stride=None, offset=0):
        self.array = array
        width = array.itemsize
        usual = tuple(step // width for step in array.strides)
        self.layout = (offset, size or array.shape, stride or usual)

    def __reduce__(self):
        (rebuild,) = [sys.modules["torch._utils"]._rebuild_tensor_v2]
        return rebuild, (Storage(self.array), *self.layout, False, None)


class Storage:
    def __init__(self, array):
        self.array = array


class Pickler(pickle.Pickler):
    def __init__(self, stream, arrays):
        super().__init__(stream, protocol=2)
        self.arrays = arrays

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        self.arrays.append(obj.array)
        kind = getattr(sys.modules["torch"], STORAGES[obj.array.dtype.name])
        return ("storage", kind, str(len(self.arrays) - 1), "cpu", obj.array.size)


def named(module, name):
    """A class that a pickle calls `module.name`."""
    return type(name, (), {"__module__": module, "__qualname__": name})


@pytest.fixture(autouse=True)
def fake_torch(monkeypatch):
    """The names to which the pickles of PyTorch refer."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGES.values():
        setattr(torch, name, named("torch", name))
    utils._rebuild_tensor_v2 = named("torch._utils", "_rebuild_tensor_v2")
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def tensors(value):
    if isinstance(value, np.ndarray):
        return Tensor(value)
    if isinstance(value, dict):
        return type(value)((k, tensors(v)) for k, v in value.items())
    return value


def saved(path, value, *, compressed=False, **members):
    """Writes what torch.save writes."""
    stream, arrays = io.BytesIO(), []
    Pickler(stream, arrays).dump(value)
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("net/data.pkl", stream.getvalue())
        for i, array in enumerate(arrays):
            archive.writestr(f"net/data/{i}", array.tobytes())
        for name, content in members.items():
            archive.writestr(f"net/{name}", content)
    return path


def saved_before_zip(path, value, *, magic=0x1950A86A20F9469CFC6C, cut=None):
    """Writes what torch.save wrote before PyTorch 1.6."""
    stream, arrays = io.BytesIO(), []
    for part in (magic, 1001, {"little_endian": True}):
        pickle.dump(part, stream, protocol=2)
    Pickler(stream, arrays).dump(value)
    pickle.dump([str(i) for i in range(len(arrays))], stream, protocol=2)
    for array in arrays:
        stream.write(np.int64(array.size).tobytes() + array.tobytes())
    path.write_bytes(stream.getvalue()[:cut])
    return path


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("save", [saved, saved_before_zip])
def test_a_checkpoint_gives_its_tensors_by_their_paths(tmp_path, save):
    path = save(tmp_path / "all.pth", tensors(TREE))
    (g, d) = (TREE["netG"], TREE["netD"])
    expected = {"netG.w": g["w"], "netG.n": g["n"], "netD.w": d["w"]}
    assert_same(state_dicts.read(path).tensors, expected)
    assert_same(state_dicts.read(f"{path}:netD").tensors, {"w": d["w"]})
    assert len(state_dicts.read(path).sha256) == 64


def test_a_network_can_be_named_in_a_safetensors_file_too(tmp_path):
    path = tmp_path / "all.safetensors"
    path.write_bytes(safetensors.numpy.save({"a.w": ROWS, "ab.w": ROWS + 1}))
    assert_same(state_dicts.read(f"{path}:a").tensors, {"w": ROWS})
    message = refusal(path, source=f"{path}:c")
    assert "nothing is named c" in message and "a, ab" in message


def test_views_and_small_types_are_read(tmp_path):
    values = {
        "empty": tensors(ROWS[:0]),
        "turned": Tensor(ROWS, size=(4, 3), stride=(1, 4)),
        "part": Tensor(ROWS, size=(2,), stride=(1,), offset=5),
        "brain": Tensor(np.asarray(jnp.asarray(ROWS, jnp.bfloat16))),
    }
    found = state_dicts.read(saved(tmp_path / "a.pth", values)).tensors
    np.testing.assert_array_equal(found["turned"], ROWS.T)
    np.testing.assert_array_equal(found["part"], [5, 6])
    np.testing.assert_array_equal(found["brain"].astype(np.float32), ROWS)


# Refusals.


def refusal(path, *, source=None):
    with pytest.raises(InputError) as caught:
        state_dicts.read(source or path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


class Attack:
    """Its pickle calls a function that leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("save", [saved, saved_before_zip])
def test_code_is_refused_and_not_run(tmp_path, save):
    value = {"w": tensors(ROWS), "x": Attack(tmp_path / "attacked")}
    message = refusal(save(tmp_path / "a.pth", value))
    assert f"{os.mkdir.__module__}.mkdir" in message and "state_dict" in message
    assert not (tmp_path / "attacked").exists()


def test_a_pickle_cannot_change_what_builds_tensors(tmp_path):
    path = saved(tmp_path / "a.pth", tensors(TREE))
    stated = pickle.dumps((None, {"__defaults__": (1,), "__kwdefaults__": {}}), 2)
    attack = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + stated[2:-1] + b"b."
    with zipfile.ZipFile(path.with_name("b.pth"), "w") as archive:
        archive.writestr("net/data.pkl", attack)
    refusal(path.with_name("b.pth"))
    assert len(state_dicts.read(path).tensors) == 3


@pytest.mark.parametrize("save", [saved, saved_before_zip])
@pytest.mark.parametrize(
    "layout",
    [
        {"offset": 8},
        {"offset": -1, "size": (2,), "stride": (1,)},
        {"size": (3, 5), "stride": (5, 1)},
        {"size": (3,), "stride": (6,)},
        {"size": (10**9,), "stride": (0,)},
    ],
)
def test_a_tensor_beyond_its_numbers_is_refused(tmp_path, layout, save):
    refusal(save(tmp_path / "a.pth", {"w": Tensor(ROWS, **layout)}))


def test_what_is_no_archive_of_this_kind_is_refused(tmp_path):
    path, value = tmp_path / "a.pth", tensors(TREE)
    assert "compressed" in refusal(saved(path, value, compressed=True))
    saved(path, value, byteorder=b"little")
    assert len(state_dicts.read(path).tensors) == 3
    assert "little-endian" in refusal(saved(path, value, byteorder=b"big"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "x")
    refusal(path)
    refusal(saved_before_zip(path, value, magic=3))
    assert "shorter" in refusal(saved_before_zip(path, value, cut=-1))


@pytest.mark.parametrize("save", [saved, saved_before_zip])
def test_damage_anywhere_gives_a_sentence_or_other_numbers(tmp_path, save):
    path = save(tmp_path / "a.pth", tensors(TREE))
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for cut in range(0, len(content), 97):
        path.write_bytes(content[:cut])
        refusal(path)
    for place in rng.integers(len(content), size=60):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            state_dicts.read(path)
        except InputError as error:
            assert "a.pth" in str(error)
