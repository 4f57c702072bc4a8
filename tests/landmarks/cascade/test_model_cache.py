"""What is stored comes back, and what is not sound does not."""

import pathlib

import fuzz_model_file
import numpy as np
import pytest

from inpaint_jax.landmarks.cascade import model_cache, model_file

DIGEST = "0123abcd"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "inpaint_jax"


@pytest.fixture
def model():
    return fuzz_model_file.random_model(np.random.default_rng(0), 5, 2, 3, 4, 30)


def stored_file(folder):
    (path,) = folder.iterdir()
    return path


def test_what_is_stored_comes_back(model, folder):
    assert model_cache.fetch(DIGEST) is None
    model_cache.store(DIGEST, model)
    assert DIGEST in stored_file(folder).name
    found = model_cache.fetch(DIGEST)
    for name, values in model._asdict().items():
        np.testing.assert_array_equal(getattr(found, name), values, strict=True)
        assert type(getattr(found, name)) is np.ndarray
    assert model_cache.fetch("4567") is None


def test_what_is_stored_again_is_replaced(model):
    for value in (1.0, 2.0):
        model.leaves[:] = value
        model_cache.store(DIGEST, model)
        assert (model_cache.fetch(DIGEST).leaves == value).all()


def test_every_flipped_bit_that_matters_is_seen(model, folder):
    model_cache.store(DIGEST, model)
    path = stored_file(folder)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    lost = 0
    for at in rng.integers(0, len(whole), 300).tolist():
        flipped = whole[at] ^ 1 << int(rng.integers(8))
        path.write_bytes(whole[:at] + bytes([flipped]) + whole[at + 1 :])
        found = model_cache.fetch(DIGEST)
        if found is None:
            lost += 1
            continue
        for name, values in model._asdict().items():
            np.testing.assert_array_equal(getattr(found, name), values)
    assert lost > 200


def test_every_cut_is_seen(model, folder):
    model_cache.store(DIGEST, model)
    path = stored_file(folder)
    whole = path.read_bytes()
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        assert model_cache.fetch(DIGEST) is None


def npy(path, model):
    with path.open("wb") as stream:
        np.save(stream, model.leaves)


def one_missing(path, model):
    np.savez(path, **{k: v for k, v in model._asdict().items() if k != "offset"})


@pytest.mark.parametrize("write", [npy, one_missing])
def test_a_file_of_another_kind_gives_nothing(write, model, folder):
    model_cache.store(DIGEST, model)
    write(stored_file(folder), model)
    assert model_cache.fetch(DIGEST) is None


class Mine:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return pathlib.Path.touch, (self.trace,)


def test_nothing_is_unpickled(model, folder, tmp_path):
    leaves = np.array([Mine(tmp_path / "trace")], object)
    model_cache.store(DIGEST, model._replace(leaves=leaves))
    with np.load(stored_file(folder), allow_pickle=True) as stored:
        stored["leaves"]
    assert (tmp_path / "trace").exists()
    (tmp_path / "trace").unlink()
    assert model_cache.fetch(DIGEST) is None
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("first", lambda x: np.full_like(x, 30)),
        ("second", lambda x: np.full_like(x, 30)),
        ("second", lambda x: np.full_like(x, -1)),
        ("anchor", lambda x: np.full_like(x, 5)),
        ("anchor", lambda x: np.full_like(x, -1)),
        ("first", lambda x: x.astype(np.int64)),
        ("leaves", lambda x: x.astype(np.float64)),
        ("leaves", lambda x: x.astype(np.int32)),
        ("leaves", lambda x: x[:, :, :3]),
        ("leaves", lambda x: x[..., :1]),
        ("leaves", lambda x: x * np.float32(np.nan)),
        ("threshold", lambda x: x[:2]),
        ("threshold", lambda x: x * np.float32(np.inf)),
        ("second", lambda x: x[..., None]),
        ("offset", lambda x: x[:, :-1]),
        ("initial", lambda x: x[:4]),
        ("initial", lambda x: x[:0]),
        ("initial", lambda x: x[0, 0]),
        ("anchor", lambda x: x[:0]),
    ],
)
def test_a_model_that_is_not_sound_gives_nothing(name, change, model):
    with np.errstate(all="ignore"):
        model_cache.store(
            DIGEST, model._replace(**{name: change(getattr(model, name))})
        )
    assert model_cache.fetch(DIGEST) is None


def test_load_replaces_what_is_damaged(tmp_path, folder):
    path = tmp_path / "model.dat"
    model = fuzz_model_file.random_model(np.random.default_rng(0), 5, 2, 3, 4, 30)
    path.write_bytes(model_file.serialise(model))
    model_file.load(path)
    intact = stored_file(folder).read_bytes()
    stored_file(folder).write_bytes(intact[:-100])
    np.testing.assert_array_equal(model_file.load(path).leaves, model.leaves)
    assert stored_file(folder).read_bytes() == intact


def test_nothing_is_kept_where_nothing_can_be_written(model, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    model_cache.store(DIGEST, model)
    assert model_cache.fetch(DIGEST) is None
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_nothing_behind(model, folder, monkeypatch):
    def full(stream, **arrays):
        stream.write(b"some")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    model_cache.store(DIGEST, model)
    assert list(folder.iterdir()) == []


def test_without_a_variable_the_folder_is_in_the_users_home(
    model, tmp_path, monkeypatch
):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    model_cache.store(DIGEST, model)
    assert len(list((tmp_path / ".cache" / "inpaint_jax").iterdir())) == 1


@pytest.mark.parametrize("folder_of_the_user", ["relative/path", None])
def test_without_a_folder_nothing_is_kept(
    folder_of_the_user, model, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if folder_of_the_user:
        monkeypatch.setenv("XDG_CACHE_HOME", folder_of_the_user)
    else:
        # A user without a home, as in some containers.
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr(model_cache.os.path, "expanduser", lambda path: path)
    model_cache.store(DIGEST, model)
    assert model_cache.fetch(DIGEST) is None
    assert list(pathlib.Path(tmp_path).iterdir()) == []
