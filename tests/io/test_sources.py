"""Where pictures come from: folders, array files, and what is refused."""

import gc
import os
import re
import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_jax.errors import InputError
from inpaint_jax.io import sources
from tests.drawn import noise

KINDS = ("folder", "zip", "array", "tfds")
KIND = f"({'|'.join(KINDS)}):"


def read_all(source, **options):
    """Names and pictures of a source."""
    names, read = sources.open_source(source, **options)
    return list(names), [read(i) for i in range(len(names))]


@pytest.mark.parametrize(
    "text, path, part",
    [
        ("faces", "faces", slice(None)),
        ("faces[:8]", "faces", slice(None, 8)),
        ("faces[8:]", "faces", slice(8, None)),
        ("faces[2:-1]", "faces", slice(2, -1)),
        ("faces[:]", "faces", slice(None)),
        ("f[a]/x[1:2]", "f[a]/x", slice(1, 2)),
        ("faces[3]", "faces[3]", slice(None)),
        ("faces[a:b]", "faces[a:b]", slice(None)),
    ],
)
def test_split_slice(text, path, part):
    assert sources.split_slice(text) == (path, part)


@pytest.mark.parametrize(
    "text, parts",
    [
        ("folder:a", ["folder:a"]),
        ("folder:a[:8],folder:b", ["folder:a[:8]", "folder:b"]),
        ("zip:a,array:b[1:],tfds:c/test", ["zip:a", "array:b[1:]", "tfds:c/test"]),
        ("folder:a,b", ["folder:a,b"]),
        ("folder:a,b[:2],zip:c,d", ["folder:a,b[:2]", "zip:c,d"]),
        ("folder:a,http:b", ["folder:a,http:b"]),
        ("folder:a,", ["folder:a,"]),
        ("folder:a,,zip:b", ["folder:a,", "zip:b"]),
        ("folder:zip:a", ["folder:zip:a"]),
        ("", [""]),
    ],
)
def test_split_sources(text, parts):
    assert sources.split_sources(text) == parts


WITHOUT_KIND = st.text("ab,:[]1/z").filter(lambda path: not re.search(KIND, path))


@given(st.lists(st.tuples(st.sampled_from(KINDS), WITHOUT_KIND), min_size=1))
def test_sources_that_are_joined_are_split_again(parts):
    texts = [f"{kind}:{path}" for kind, path in parts]
    assert sources.split_sources(",".join(texts)) == texts


def test_path_of():
    assert sources.path_of("folder:a/b[:8]") == "a/b"
    assert sources.path_of("zip:a:b,c.zip") == "a:b,c.zip"


def test_list_pictures_is_sorted_and_recursive(folder):
    found = [
        str(path.relative_to(folder)) for path in sources.list_pictures(str(folder))
    ]
    assert found == ["a.png", "b/1.png", "b/2.png", "c.png", "z.PNG"]


def test_list_pictures_refuses_what_has_none(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=f"{tmp_path.name}: no picture"):
        sources.list_pictures(str(tmp_path))
    with pytest.raises(InputError, match="missing: no such folder"):
        sources.list_pictures(str(tmp_path / "missing"))
    with pytest.raises(InputError, match="notes.txt: no such folder"):
        sources.list_pictures(str(tmp_path / "notes.txt"))


def test_it_reads_a_folder_in_order(folder):
    names, pictures = read_all(f"folder:{folder}")
    assert names == ["a.png", "b/1.png", "b/2.png", "c.png", "z.PNG"]
    expected = [noise(12, 12, 3, seed=i) for i in range(5)]
    np.testing.assert_array_equal(pictures, expected)


def test_it_takes_a_slice(folder):
    names, pictures = read_all(f"folder:{folder}[1:-1]")
    assert names == ["b/1.png", "b/2.png", "c.png"]
    np.testing.assert_array_equal(pictures[0], noise(12, 12, 3, seed=1))


def test_nothing_is_read_before_it_is_asked_for(folder):
    (folder / "b" / "1.png").write_bytes(b"")
    names, read = sources.open_source(f"folder:{folder}")
    np.testing.assert_array_equal(read(2), noise(12, 12, 3, seed=2))
    with pytest.raises(InputError, match="1.png: the file is empty"):
        read(names.index("b/1.png"))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_it_reads_an_array(tmp_path, suffix):
    array = noise(11, 16, 16, 3)
    path = tmp_path / f"faces{suffix}"
    if suffix == ".npy":
        np.save(path, array)
    else:
        np.savez_compressed(path, images=array)
    names, pictures = read_all(f"array:{path}[2:]")
    np.testing.assert_array_equal(pictures, array[2:])
    assert names == [f"{i:02d}" for i in range(2, 11)]


BAD_ARRAYS = {
    "float": np.zeros((2, 8, 8, 3), np.float32),
    "channels": np.zeros((2, 8, 8, 4), np.uint8),
    "rank": np.zeros((8, 8, 3), np.uint8),
    "objects": np.array([{}, {}], object),
    "no_entries": np.zeros((0, 8, 8, 3), np.uint8),
    "no_pixels": np.zeros((2, 0, 8, 3), np.uint8),
}


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_it_refuses_arrays_of_another_kind(tmp_path, name, suffix):
    path = tmp_path / f"{name}{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, BAD_ARRAYS[name])
    with pytest.raises(InputError, match=re.escape(path.name)):
        read_all(f"array:{path}")


# numpy leaves a damaged .npz open until its error is collected.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_it_refuses_damaged_array_files(tmp_path, suffix):
    path = tmp_path / f"faces{suffix}"
    (np.save if suffix == ".npy" else np.savez_compressed)(path, noise(4, 8, 8, 3))
    intact = path.read_bytes()
    flipped = bytearray(intact)
    flipped[len(intact) // 2] ^= 0xFF
    endless = intact[:8] + b"\xff\xff" + intact[10:] + bytes(1 << 16)
    damaged = [intact[: len(intact) * share // 10] for share in range(10)]
    # A .npy has no checksum, but its header has a length.
    damaged.append(endless if suffix == ".npy" else bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(InputError, match=re.escape(path.name)) as caught:
            read_all(f"array:{path}")
        assert "\n" not in str(caught.value)
    gc.collect()


def test_it_refuses_an_empty_npz(tmp_path):
    np.savez(tmp_path / "empty.npz")
    with pytest.raises(InputError, match="empty.npz"):
        read_all(f"array:{tmp_path}/empty.npz")


@pytest.mark.parametrize(
    "kind, name, sentence",
    [
        ("array:", "missing.npy", "missing.npy: no such file"),
        ("folder:", "missing", "missing: no such folder"),
        ("zip:", "missing.zip", "missing.zip: no such file"),
        ("", "missing", "missing: unknown kind"),
        ("http:", "missing", "missing: unknown kind"),
    ],
)
def test_it_refuses_sources_that_are_not_there(tmp_path, kind, name, sentence):
    with pytest.raises(InputError, match=sentence):
        read_all(f"{kind}{tmp_path / name}")


@pytest.mark.parametrize("part", ["[5:]", "[3:3]", "[4:2]"])
def test_it_refuses_an_empty_slice(folder, part):
    with pytest.raises(InputError, match="slice of 5 pictures is empty"):
        read_all(f"folder:{folder}{part}")


def test_what_may_hide_pictures_is_named_and_not_used(folder, tmp_path):
    (folder / "b" / "gone.png").symlink_to(tmp_path / "nowhere")
    (folder / "b" / "self.png").symlink_to(folder / "b" / "self.png")
    (tmp_path / "more").mkdir()
    (folder / "elsewhere").symlink_to(tmp_path / "more")
    names, read = sources.open_source(f"folder:{folder}")
    odd = {"b/gone.png": "leads nowhere", "b/self.png": "cannot be read"}
    odd |= {"elsewhere": "no such file, but a folder"}
    assert {*odd} < {*names} and list(names) == sorted(names) and len(names) == 8
    for name, words in odd.items():
        with pytest.raises(InputError, match=f"{name}: .*{words}"):
            read(names.index(name))


def test_a_folder_that_cannot_be_listed_is_one_of_its_entries(folder, monkeypatch):
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    names = [path.name for path in sources.list_pictures(str(folder))]
    assert names == ["a.png", "b", "c.png", "z.PNG"]
    with pytest.raises(InputError, match=r"/b: cannot be listed \(Permission denied"):
        sources.list_pictures(f"{folder}/b")


def test_names_that_are_no_text_are_shown_escaped(folder):
    os.rename(folder / "c.png", os.fsencode(folder) + b"/\xff\n.png")
    names, read = sources.open_source(f"folder:{folder}")
    assert r"\udcff\n.png" in names
    assert read(names.index(r"\udcff\n.png")).shape == (12, 12, 3)


@pytest.mark.parametrize("part", ["[-:5]", "[:-]", "[--1:]", "[" + 31 * "9" + ":]"])
def test_what_is_no_slice_is_part_of_the_path(part):
    assert sources.split_slice(f"faces{part}") == (f"faces{part}", slice(None))


def test_tfds_tells_what_to_install(monkeypatch):
    # None makes the import fail even where the package is installed.
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[data\]'"):
        read_all("tfds:celeb_a")


class NotFound(Exception):
    pass


def fake_tfds(monkeypatch, data_source):
    module = types.ModuleType("tensorflow_datasets")
    module.core = types.SimpleNamespace(DatasetNotFoundError=NotFound)
    module.data_source = data_source
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)


def test_tfds_reads_the_split_without_downloading(monkeypatch):
    asked = []

    def data_source(name, **options):
        asked.append((name, options))
        return [{"image": noise(8, 8, 3, seed=i), "other": 0} for i in range(12)]

    fake_tfds(monkeypatch, data_source)
    names, pictures = read_all("tfds:celeb_a/test[10:]")
    assert names == ["11", "12"]
    np.testing.assert_array_equal(pictures[1], noise(8, 8, 3, seed=11))
    read_all("tfds:celeb_a", data_dir="sets")
    assert asked == [
        ("celeb_a", {"split": "test", "download": False}),
        ("celeb_a", {"split": "train", "download": False, "data_dir": "sets"}),
    ]


@pytest.mark.parametrize(
    "error, sentence",
    [
        (NotFound("no celeb"), "no such set"),
        (FileNotFoundError("no folder"), "no folder.*prepare.*array_record"),
        (AssertionError("no files\nat all"), "no files.*prepare.*array_record"),
        (AssertionError(), "AssertionError.*prepare.*array_record"),
        (NotImplementedError("tfrecord"), "tfrecord.*prepare.*array_record"),
        (ValueError("Unknown split 'x'."), "Unknown split 'x'.*prepare"),
    ],
)
@pytest.mark.parametrize("data_dir", [None, "my/sets"])
def test_tfds_says_what_to_do(monkeypatch, error, sentence, data_dir):
    def data_source(name, **_):
        raise error

    fake_tfds(monkeypatch, data_source)
    with pytest.raises(InputError, match=f"^tfds:celeb_a: .*{sentence}") as caught:
        read_all("tfds:celeb_a", data_dir=data_dir)
    assert "\n" not in str(caught.value)
    assert ("in data_dir=my/sets" in str(caught.value)) == (data_dir is not None)


class Damaged:
    """A row that cannot be decoded."""

    def get(self, name):
        raise OSError("Truncated File Read\nsomewhere")


@pytest.mark.parametrize(
    "row, sentence",
    [
        (Damaged(), r"2: damaged \(Truncated File Read\)"),
        ({"label": 3}, "2: a row without an RGB 'image'"),
        ({"image": noise(8, 8, 1)}, "2: a row without an RGB 'image'"),
        ({"image": np.zeros((8, 8, 3), np.float32)}, "2: a row without an RGB 'image'"),
    ],
)
def test_tfds_refuses_single_rows(monkeypatch, row, sentence):
    rows = [{"image": noise(8, 8, 3)}, row]
    fake_tfds(monkeypatch, lambda name, **_: rows)
    _, read = sources.open_source("tfds:mine")
    np.testing.assert_array_equal(read(0), noise(8, 8, 3))
    with pytest.raises(InputError, match=sentence + r"\.$"):
        read(1)
