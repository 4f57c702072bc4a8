"""Where faces come from, how they are framed and in which order they are seen."""

import gc
import itertools
import re
import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_jax import data, files
from inpaint_jax.errors import InputError


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Six small pictures with a subfolder, and things that are no pictures."""
    root = tmp_path / "faces"
    (root / "b").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b/1.png", "b/2.png", "c.png", "z.PNG")):
        files.write_picture(root / name, noise(12, 12, 3, seed=i))
    (root / "notes.txt").write_text("no picture")
    (root / "d.png").mkdir()
    return root


# Framing.


def test_half_size_celeba_is_cut_without_resampling():
    picture = noise(109, 89, 3)
    framed = data.frame(picture, crop=128, size=64)
    np.testing.assert_array_equal(framed, picture[22:86, 12:76])
    assert framed.flags.c_contiguous and framed.flags.owndata


def test_full_size_celeba_is_cut_in_the_same_place():
    picture = noise(218, 178, 3)
    framed = data.frame(picture, crop=128, size=128)
    np.testing.assert_array_equal(framed, picture[45:173, 25:153])
    framed = data.frame(picture, crop=108, size=108)
    np.testing.assert_array_equal(framed, picture[55:163, 35:143])


def test_scaling_sees_nothing_outside_the_square():
    picture = noise(218, 178, 3)
    picture[45:173, 25:153] = (10, 120, 230)
    framed = data.frame(picture, crop=128, size=64)
    assert framed.shape == (64, 64, 3)
    np.testing.assert_array_equal(framed, np.full((64, 64, 3), (10, 120, 230)))


def test_scaling_keeps_means_and_orientation():
    picture = np.zeros((218, 178, 3), np.uint8)
    picture[:, :89, 0] = 200  # red left half
    picture[:109, :, 1] = 100  # green upper half
    framed = data.frame(picture, crop=128, size=32)
    np.testing.assert_array_equal(framed[4, 4], [200, 100, 0])
    np.testing.assert_array_equal(framed[4, -5], [0, 100, 0])
    np.testing.assert_array_equal(framed[-5, 4], [200, 0, 0])


@pytest.mark.parametrize("crop", [108, 128])
def test_other_proportions_give_the_central_square(crop):
    square = noise(64, 64, 3)
    np.testing.assert_array_equal(data.frame(square, crop=crop, size=64), square)
    wide = noise(100, 301, 3)
    framed = data.frame(wide, crop=crop, size=100)
    np.testing.assert_array_equal(framed, wide[:, 100:200])
    tall = noise(300, 100, 3)
    framed = data.frame(tall, crop=crop, size=100)
    np.testing.assert_array_equal(framed, tall[100:200])


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 50, 3), (3, 2, 3)])
def test_tiny_pictures_are_enlarged(shape):
    assert data.frame(noise(*shape), crop=128, size=8).shape == (8, 8, 3)


def test_is_aligned():
    for height, width in ((218, 178), (109, 89), (436, 356), (1090, 890)):
        assert data.is_aligned(height, width)
    for height, width in ((178, 218), (64, 64), (480, 640), (4, 3)):
        assert not data.is_aligned(height, width)


# Sources.


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
    assert data.split_slice(text) == (path, part)


def test_list_pictures_is_sorted_and_recursive(folder):
    found = [str(path.relative_to(folder)) for path in data.list_pictures(str(folder))]
    assert found == ["a.png", "b/1.png", "b/2.png", "c.png", "z.PNG"]


def test_list_pictures_refuses_what_has_none(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=f"{tmp_path.name}: no picture"):
        data.list_pictures(str(tmp_path))
    with pytest.raises(InputError, match="missing: no such folder"):
        data.list_pictures(str(tmp_path / "missing"))
    with pytest.raises(InputError, match="notes.txt: no such folder"):
        data.list_pictures(str(tmp_path / "notes.txt"))


def test_load_reads_a_folder_in_order(folder):
    faces = data.load(f"folder:{folder}", crop=128, size=12)
    assert faces.names == ("a.png", "b/1.png", "b/2.png", "c.png", "z.PNG")
    assert faces.skipped == ()
    for i in range(5):
        np.testing.assert_array_equal(faces.images[i], noise(12, 12, 3, seed=i))


def test_load_takes_a_slice(folder):
    faces = data.load(f"folder:{folder}[1:-1]", crop=128, size=12)
    assert faces.names == ("b/1.png", "b/2.png", "c.png")
    np.testing.assert_array_equal(faces.images[0], noise(12, 12, 3, seed=1))


def test_load_skips_bad_files_with_a_sentence_each(folder):
    intact = data.load(f"folder:{folder}", crop=128, size=12)
    (folder / "b" / "1.png").write_bytes(b"")
    (folder / "c.png").write_bytes((folder / "c.png").read_bytes()[:-40])
    faces = data.load(f"folder:{folder}", crop=128, size=12)
    assert faces.names == ("a.png", "b/2.png", "z.PNG")
    np.testing.assert_array_equal(faces.images, intact.images[[0, 2, 4]])
    assert len(faces.skipped) == 2
    assert "1.png" in faces.skipped[0] and "empty" in faces.skipped[0]
    assert "c.png" in faces.skipped[1] and "damaged" in faces.skipped[1]


def test_load_refuses_a_folder_of_bad_files_only(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match="none of its 1 pictures"):
        data.load(f"folder:{tmp_path}", crop=128, size=12)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_load_reads_an_array(tmp_path, suffix):
    array = noise(11, 16, 16, 3)
    path = tmp_path / f"faces{suffix}"
    if suffix == ".npy":
        np.save(path, array)
    else:
        np.savez_compressed(path, images=array)
    faces = data.load(f"array:{path}[2:]", crop=128, size=16)
    np.testing.assert_array_equal(faces.images, array[2:])
    assert faces.names[0] == "02" and faces.names[-1] == "10"
    assert list(faces.names) == sorted(faces.names)


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
def test_load_refuses_arrays_of_another_kind(tmp_path, name, suffix):
    path = tmp_path / f"{name}{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, BAD_ARRAYS[name])
    with pytest.raises(InputError, match=re.escape(path.name)):
        data.load(f"array:{path}", crop=128, size=8)


# numpy leaves a damaged .npz open until its error is collected.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_load_refuses_damaged_array_files(tmp_path, suffix):
    path = tmp_path / f"faces{suffix}"
    (np.save if suffix == ".npy" else np.savez_compressed)(path, noise(4, 8, 8, 3))
    intact = path.read_bytes()
    flipped = bytearray(intact)
    flipped[len(intact) // 2] ^= 0xFF
    damaged = [intact[: len(intact) * share // 10] for share in range(10)]
    if suffix == ".npz":  # a .npy has no checksum
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(InputError, match=re.escape(path.name)):
            data.load(f"array:{path}", crop=128, size=8)
    gc.collect()


def test_load_refuses_an_empty_npz(tmp_path):
    np.savez(tmp_path / "empty.npz")
    with pytest.raises(InputError, match="empty.npz"):
        data.load(f"array:{tmp_path}/empty.npz", crop=128, size=8)


@pytest.mark.parametrize(
    "kind, name, sentence",
    [
        ("array:", "missing.npy", "missing.npy: no such file"),
        ("folder:", "missing", "missing: no such folder"),
        ("", "missing", "missing: unknown kind"),
        ("http:", "missing", "missing: unknown kind"),
    ],
)
def test_load_refuses_sources_that_are_not_there(tmp_path, kind, name, sentence):
    with pytest.raises(InputError, match=sentence):
        data.load(f"{kind}{tmp_path / name}", crop=128, size=8)


@pytest.mark.parametrize("part", ["[5:]", "[3:3]", "[4:2]"])
def test_load_refuses_an_empty_slice(folder, part):
    with pytest.raises(InputError, match="slice of 5 pictures is empty"):
        data.load(f"folder:{folder}{part}", crop=128, size=8)


# Sources from tensorflow-datasets: the package itself is not needed here.


def test_tfds_tells_what_to_install(monkeypatch):
    # None makes the import fail even where the package is installed.
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(InputError, match=r"pip install 'inpaint-jax\[data\]'"):
        data.load("tfds:celeb_a", crop=128, size=8)


class NotFound(Exception):
    pass


def fake_tfds(monkeypatch, data_source):
    module = types.ModuleType("tensorflow_datasets")
    module.core = types.SimpleNamespace(DatasetNotFoundError=NotFound)
    module.data_source = data_source
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)


def test_tfds_reads_the_split_without_downloading(monkeypatch):
    asked = []

    def data_source(name, *, split, download):
        asked.append((name, split, download))
        return [{"image": noise(8, 8, 3, seed=i), "other": 0} for i in range(12)]

    fake_tfds(monkeypatch, data_source)
    faces = data.load("tfds:celeb_a/test[10:]", crop=128, size=8)
    assert asked == [("celeb_a", "test", False)]
    assert faces.names == ("11", "12")
    np.testing.assert_array_equal(faces.images[1], noise(8, 8, 3, seed=11))
    data.load("tfds:celeb_a", crop=128, size=8)
    assert asked[1] == ("celeb_a", "train", False)


@pytest.mark.parametrize(
    "error, sentence",
    [
        (NotFound("no celeb"), "no such set"),
        (FileNotFoundError("no folder"), "prepare.*array_record"),
        (AssertionError("no files\nat all"), "prepare.*array_record"),
        (AssertionError(), "prepare.*array_record"),
        (NotImplementedError("tfrecord"), "cannot be read at random.*array_record"),
    ],
)
def test_tfds_says_what_to_do(monkeypatch, error, sentence):
    def data_source(name, *, split, download):
        raise error

    fake_tfds(monkeypatch, data_source)
    with pytest.raises(InputError, match=f"--data=tfds:celeb_a: .*{sentence}"):
        data.load("tfds:celeb_a", crop=128, size=8)


# Batches.


def first_batches(count, number, **options):
    return list(itertools.islice(data.batches(count, **options), number))


SIZES = st.integers(1, 40).flatmap(
    lambda count: st.tuples(st.just(count), st.integers(1, count))
)


@settings(deadline=None, max_examples=60)
@given(SIZES, st.integers(0, 2**32), st.integers(0, 30))
def test_resumed_batches_continue_an_undisturbed_run(sizes, seed, first):
    count, batch_size = sizes
    options = {"batch_size": batch_size, "seed": seed}
    whole = first_batches(count, first + 5, first_step=0, **options)
    resumed = first_batches(count, 5, first_step=first, **options)
    np.testing.assert_array_equal(np.stack(resumed), np.stack(whole[first:]))


@settings(deadline=None, max_examples=60)
@given(SIZES, st.integers(0, 2**32), st.integers(0, 3))
def test_an_epoch_shows_no_picture_twice(sizes, seed, epoch):
    count, batch_size = sizes
    per_epoch = count // batch_size
    seen = np.concatenate(
        first_batches(
            count,
            per_epoch,
            batch_size=batch_size,
            seed=seed,
            first_step=epoch * per_epoch,
        )
    )
    assert seen.shape == (per_epoch * batch_size,)
    numbers = seen.tolist()
    assert len(set(numbers)) == len(numbers)
    if count % batch_size == 0:
        assert sorted(numbers) == list(range(count))


def test_order_depends_on_seed_and_epoch():
    options = {"batch_size": 8, "first_step": 0}
    one, two = first_batches(8 * 20, 2, seed=0, **options)
    again, other = (
        first_batches(8 * 20, 1, seed=seed, **options)[0] for seed in (0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, two)
    options["first_step"] = 20
    next_epoch = first_batches(8 * 20, 1, seed=0, **options)[0]
    assert not np.array_equal(one, next_epoch)


@pytest.mark.parametrize("count", [1, 3])
def test_batches_refuse_too_few_pictures(count):
    with pytest.raises(InputError, match=f"--batch_size=4: only {count} pictures"):
        next(data.batches(count, batch_size=4, seed=0, first_step=0))
