"""Where faces come from, how they are framed and in which order they are seen."""

import hashlib
import itertools
import pathlib
import sys
import tempfile
import threading
import time
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_jax.errors import InputError
from inpaint_jax.images import framing
from inpaint_jax.io import data, picture_files, prefetching
from tests.drawn import noise

# Framing.


def test_half_size_celeba_is_cut_without_resampling():
    picture = noise(109, 89, 3)
    framed = framing.frame(picture, crop=128, size=64)
    np.testing.assert_array_equal(framed, picture[22:86, 12:76])
    assert framed.flags.c_contiguous and framed.flags.owndata


def test_full_size_celeba_is_cut_in_the_same_place():
    picture = noise(218, 178, 3)
    framed = framing.frame(picture, crop=128, size=128)
    np.testing.assert_array_equal(framed, picture[45:173, 25:153])
    framed = framing.frame(picture, crop=108, size=108)
    np.testing.assert_array_equal(framed, picture[55:163, 35:143])


def test_scaling_sees_nothing_outside_the_square():
    picture = noise(218, 178, 3)
    picture[45:173, 25:153] = (10, 120, 230)
    framed = framing.frame(picture, crop=128, size=64)
    assert framed.shape == (64, 64, 3)
    np.testing.assert_array_equal(framed, np.full((64, 64, 3), (10, 120, 230)))


def test_scaling_keeps_means_and_orientation():
    picture = np.zeros((218, 178, 3), np.uint8)
    picture[:, :89, 0] = 200  # red left half
    picture[:109, :, 1] = 100  # green upper half
    framed = framing.frame(picture, crop=128, size=32)
    np.testing.assert_array_equal(framed[4, 4], [200, 100, 0])
    np.testing.assert_array_equal(framed[4, -5], [0, 100, 0])
    np.testing.assert_array_equal(framed[-5, 4], [200, 0, 0])


@pytest.mark.parametrize("crop", [108, 128])
def test_other_proportions_give_the_central_square(crop):
    square = noise(64, 64, 3)
    np.testing.assert_array_equal(framing.frame(square, crop=crop, size=64), square)
    wide = noise(100, 301, 3)
    framed = framing.frame(wide, crop=crop, size=100)
    np.testing.assert_array_equal(framed, wide[:, 100:200])
    tall = noise(300, 100, 3)
    framed = framing.frame(tall, crop=crop, size=100)
    np.testing.assert_array_equal(framed, tall[100:200])


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 50, 3), (3, 2, 3)])
def test_tiny_pictures_are_enlarged(shape):
    assert framing.frame(noise(*shape), crop=128, size=8).shape == (8, 8, 3)


def test_is_aligned():
    for height, width in ((218, 178), (109, 89), (436, 356), (1090, 890)):
        assert framing.is_aligned(height, width)
    for height, width in ((178, 218), (64, 64), (480, 640), (4, 3)):
        assert not framing.is_aligned(height, width)


# Loading.


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


def test_too_small_pictures_are_skipped_with_a_sentence(folder):
    picture_files.write(folder / "b" / "0.png", noise(16, 10, 3))
    picture_files.write(folder / "b" / "1.png", noise(11, 12, 3))
    picture_files.write(folder / "b" / "3.png", noise(16, 7, 3))
    faces = data.load(f"folder:{folder}", crop=128, size=22)
    assert faces.names == ("a.png", "b/1.png", "b/2.png", "c.png", "z.PNG")
    assert faces.skipped == (
        "b/0.png: too small; its crop of 10 x 10 pixels would be enlarged more than "
        "twice to 22 x 22.",
        f"{folder}/b/3.png: 7 x 16 pixels are too few; give a picture of at least 8 x "
        "8.",
    )


def test_the_crop_decides_what_is_too_small(tmp_path):
    np.save(tmp_path / "celeba.npy", noise(2, 109, 89, 3))
    source = f"array:{tmp_path}/celeba.npy"
    assert data.load(source, crop=108, size=64).images.shape == (2, 64, 64, 3)
    assert data.load(source, crop=128, size=128).images.shape == (2, 128, 128, 3)
    with pytest.raises(InputError, match=r"none of its 2 pictures .*0: too small"):
        data.load(source, crop=126, size=128)


# Several sources, pictures that are there twice, and the digest.


def arrays(tmp_path, *contents):
    """Saves each as an array file and returns the sources."""
    for i, content in enumerate(contents):
        np.save(tmp_path / f"{i}.npy", content)
    return [f"array:{tmp_path}/{i}.npy" for i in range(len(contents))]


def test_sources_of_all_kinds_and_sizes_are_joined_in_order(folder, tmp_path):
    large, square = noise(7, 109, 89, 3, seed=7), noise(3, 64, 64, 3, seed=8)
    one, two = arrays(tmp_path, large, square)
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(folder / "a.png", "x/a.png")
    text = f"{one}[2:4],folder:{folder}[-2:],{two},zip:{tmp_path}/more.zip"
    faces = data.load(text, crop=128, size=24)
    small = [noise(12, 12, 3, seed=i) for i in (3, 4)]
    pictures = [*large[2:4], *small, *square, noise(12, 12, 3)]
    expected = [framing.frame(picture, crop=128, size=24) for picture in pictures]
    np.testing.assert_array_equal(faces.images, expected)
    assert faces.names == (
        *(f"{tmp_path}/0.npy/{i}" for i in (2, 3)),
        *(f"{folder}/{name}" for name in ("c.png", "z.PNG")),
        *(f"{tmp_path}/1.npy/{i}" for i in range(3)),
        f"{tmp_path}/more.zip/x/a.png",
    )
    assert not faces.skipped and not faces.repeated


def test_a_comma_in_a_path_is_part_of_it(folder, tmp_path):
    folder.rename(tmp_path / "faces,old")
    faces = data.load(f"folder:{tmp_path}/faces,old[:2]", crop=128, size=12)
    assert faces.names == ("a.png", "b/1.png")


@pytest.mark.parametrize(
    "part, sentence",
    [
        ("folder:MISSING", "/missing: no such folder"),
        ("zip:MISSING", "/missing: no such file"),
        ("array:MISSING", "/missing: no such file"),
        ("FOLDER[9:]", "slice of 5 pictures is empty"),
        ("array:TINY", "/tiny.npy: 7 x 9 pixels are too few"),
        ("tfds:celeb_a", "^tensorflow_datasets is not installed"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_the_source_at_fault_is_named(
    folder, tmp_path, monkeypatch, part, sentence, first
):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    np.save(tmp_path / "tiny.npy", noise(2, 9, 7, 3))
    good = f"folder:{folder}"
    for name, value in {
        "MISSING": f"{tmp_path}/missing",
        "FOLDER": good,
        "TINY": f"{tmp_path}/tiny.npy",
    }.items():
        part = part.replace(name, value)
    text = f"{part},{good}" if first else f"{good},{part}"
    with pytest.raises(InputError, match=sentence) as caught:
        data.load(text, crop=128, size=12)
    assert text not in str(caught.value)


def test_skipped_pictures_are_named_with_their_source(folder, tmp_path):
    (folder / "c.png").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.write(folder / "a.png", "kept.png")
        archive.writestr("text.png", "text")
    text = f"zip:{tmp_path}/faces.zip,folder:{folder}"
    faces = data.load(text, crop=128, size=12)
    first, second = faces.skipped
    assert first.startswith(f"{tmp_path}/faces.zip/text.png: not a PNG")
    assert second.startswith(f"{folder}/c.png: the file is empty")


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.lists(st.integers(0, 6), min_size=1, max_size=8), min_size=1, max_size=3
    )
)
def test_a_picture_that_comes_again_is_named_and_left_out(parts):
    known = noise(7, 12, 12, 3)
    with tempfile.TemporaryDirectory() as folder:
        texts = arrays(pathlib.Path(folder), *(known[part] for part in parts))
        faces = data.load(",".join(texts), crop=128, size=12)
    seen, kept, repeated = {}, [], []
    for i, part in enumerate(parts):
        for j, number in enumerate(part):
            name = f"{folder}/{i}.npy/{j}" if len(parts) > 1 else str(j)
            if number in seen:
                repeated.append(f"{name} is {seen[number]}")
            else:
                seen[number] = name
                kept.append(number)
    np.testing.assert_array_equal(faces.images, known[kept])
    assert faces.names == tuple(seen.values())
    assert faces.repeated == tuple(repeated) and not faces.skipped


def test_what_differs_outside_the_frame_only_is_one_picture(tmp_path):
    pictures = noise(2, 12, 20, 3)
    pictures[1, :, 4:16] = pictures[0, :, 4:16]
    faces = data.load(*arrays(tmp_path, pictures), crop=128, size=12)
    assert faces.repeated == ("1 is 0",) and len(faces.images) == 1


def digest(images):
    return data.Faces(images, tuple(map(str, range(len(images)))), ()).digest


def test_the_digest_is_that_of_shape_and_bytes():
    # More than are hashed at once, and views of no simple layout.
    images = noise(600, 4, 4, 3)
    for part in (images, images[:1], images[::-2], images[:, ::-1, :, ::-1]):
        expected = hashlib.sha256(repr(part.shape).encode() + part.tobytes())
        assert digest(part) == expected.hexdigest()
    flipped = images.copy()
    flipped[599, 3, 3, 2] ^= 1
    reshaped = images.reshape(2400, 2, 2, 3)
    others = (images, images[:-1], images[::-1], flipped, reshaped)
    assert len({digest(other) for other in others}) == 5


def test_the_digest_knows_a_moved_folder_and_its_cache(folder, tmp_path):
    cache = tmp_path / "faces.npy"
    one = data.load(f"folder:{folder}", crop=128, size=12, cache=cache)
    folder.rename(tmp_path / "moved")
    two = data.load(f"folder:{tmp_path}/moved", crop=128, size=12)
    assert isinstance(one.images, np.memmap) and one.digest == two.digest


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
    with pytest.raises(InputError, match=f"^batch_size=4: only {count} pictures"):
        next(data.batches(count, batch_size=4, seed=0, first_step=0))


# Reading ahead.


def until(condition):
    """Waits until something is so."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_prefetch_changes_neither_items_nor_order():
    items = [(i, None, np.full(2, i)) for i in range(50)] + [None]
    assert list(prefetching.prefetch(iter(items))) == items
    assert list(prefetching.prefetch(iter(()))) == []


def test_prefetch_raises_an_error_in_its_place():
    def failing():
        yield from range(5)
        raise InputError("the sixth")

    found = prefetching.prefetch(failing(), depth=3)
    assert [next(found) for _ in range(5)] == list(range(5))
    with pytest.raises(InputError, match="the sixth"):
        next(found)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_prefetch_reads_ahead_but_not_far(depth):
    drawn = []
    found = prefetching.prefetch(
        (drawn.append(i) or i for i in itertools.count()), depth=depth
    )
    for taken in range(1, 4):
        next(found)
        # What is ready, and the one that waits for its place.
        until(lambda: len(drawn) == taken + depth + 1)  # noqa: B023 - called at once
        time.sleep(0.02)
        assert len(drawn) == taken + depth + 1
    found.close()


@pytest.mark.parametrize("end", ["closed", "exhausted", "failed", "dropped"])
def test_prefetch_leaves_no_thread_behind(end):
    before = set(threading.enumerate())
    found = prefetching.prefetch(
        iter([1]) if end == "exhausted" else (1 // (3 - i) for i in itertools.count())
    )
    if end == "failed":
        with pytest.raises(ZeroDivisionError):
            list(found)
    else:
        assert next(found) is not None
        assert set(threading.enumerate()) > before or end == "exhausted"
        if end == "closed":
            found.close()
        elif end == "exhausted":
            assert not list(found)
    del found
    assert set(threading.enumerate()) == before
