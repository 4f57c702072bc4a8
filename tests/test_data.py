"""Where faces come from, how they are framed and in which order they are seen."""

import itertools
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_jax import data, files
from inpaint_jax.errors import InputError
from tests.drawn import noise

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
    files.write_picture(folder / "b" / "0.png", noise(16, 5, 3))
    files.write_picture(folder / "b" / "1.png", noise(6, 7, 3))
    faces = data.load(f"folder:{folder}", crop=128, size=12)
    assert faces.names == ("a.png", "b/1.png", "b/2.png", "c.png", "z.PNG")
    assert faces.skipped == (
        "b/0.png: too small; its crop of 5 x 5 pixels would be enlarged more than "
        "twice to 12 x 12.",
    )


def test_the_crop_decides_what_is_too_small(tmp_path):
    np.save(tmp_path / "celeba.npy", noise(2, 109, 89, 3))
    source = f"array:{tmp_path}/celeba.npy"
    assert data.load(source, crop=108, size=64).images.shape == (2, 64, 64, 3)
    assert data.load(source, crop=128, size=128).images.shape == (2, 128, 128, 3)
    with pytest.raises(InputError, match=r"none of its 2 pictures .*0: too small"):
        data.load(source, crop=126, size=128)


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


# Reading ahead.


def until(condition):
    """Waits until something is so."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_prefetch_changes_neither_items_nor_order():
    items = [(i, None, np.full(2, i)) for i in range(50)] + [None]
    assert list(data.prefetch(iter(items))) == items
    assert list(data.prefetch(iter(()))) == []


def test_prefetch_raises_an_error_in_its_place():
    def failing():
        yield from range(5)
        raise InputError("the sixth")

    found = data.prefetch(failing(), depth=3)
    assert [next(found) for _ in range(5)] == list(range(5))
    with pytest.raises(InputError, match="the sixth"):
        next(found)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_prefetch_reads_ahead_but_not_far(depth):
    drawn = []
    found = data.prefetch(
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
    found = data.prefetch(
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
