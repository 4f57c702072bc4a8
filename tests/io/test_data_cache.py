"""The cache of framed pictures: written once and whole, mapped, never mistaken."""

import os
import resource
import shutil

import numpy as np
import pytest

from inpaint_jax.errors import InputError, OutputError, naming
from inpaint_jax.io import data, files, picture_files
from tests.drawn import noise


@pytest.fixture
def source(tmp_path):
    """Forty pictures in an array."""
    np.save(tmp_path / "source.npy", noise(40, 24, 24, 3))
    return f"array:{tmp_path}/source.npy"


def cached(source, cache, *, crop=128, size=16):
    return data.load(source, crop=crop, size=size, cache=cache)


def refusal(*arguments, **options):
    with pytest.raises(InputError) as caught:
        cached(*arguments, **options)
    sentence = str(caught.value)
    assert sentence.startswith("cache=") and "remove it" in sentence
    assert "\n" not in sentence
    return sentence


def test_a_cache_is_mapped_when_the_source_is_gone(tmp_path):
    folder = files.make_directory(tmp_path / "faces")
    for i in range(3):
        picture_files.write(folder / f"{i}.png", noise(12, 12, 3, seed=i))
    (folder / "1.png").write_bytes(b"")
    source, cache = f"folder:{folder}", tmp_path / "faces.npy"
    plain = data.load(source, crop=128, size=8)
    written = cached(source, cache, size=8)
    before = cache.stat()
    shutil.rmtree(folder)
    again = cached(source, str(cache), size=8)
    for faces in (written, again):
        assert isinstance(faces.images, np.memmap) and not faces.images.flags.writeable
        np.testing.assert_array_equal(faces.images, plain.images)
        assert (faces.names, faces.skipped) == (plain.names, plain.skipped)
    assert cache.stat().st_mtime_ns == before.st_mtime_ns
    assert cache.stat().st_ino == before.st_ino
    assert sorted(p.name for p in tmp_path.iterdir()) == ["faces.npy", "faces.npy.json"]


def test_a_cache_of_pictures_that_have_changed_is_refused(tmp_path):
    folder = files.make_directory(tmp_path / "caf\udce9")
    for i in range(3):
        picture_files.write(folder / f"{i}.png", noise(12, 12, 3, seed=i))
    source, cache = f"folder:{folder}", tmp_path / "faces.npy"
    cached(source, cache, size=8)
    cached(source, cache, size=8)
    picture_files.write(folder / "1.png", noise(12, 12, 3, seed=9))
    assert "have changed" in refusal(source, cache, size=8)


def test_a_cache_of_several_sources_knows_what_was_repeated(source, tmp_path):
    cache, several = tmp_path / "faces.npy", f"{source}[:3],{source}[2:5]"
    plain = data.load(several, crop=128, size=16)
    written = cached(several, cache)
    (tmp_path / "source.npy").unlink()
    for faces in (written, cached(several, cache)):
        np.testing.assert_array_equal(faces.images, plain.images)
        assert len(faces.images) == len(faces.names) == 5
        path = tmp_path / "source.npy"
        assert faces.repeated == plain.repeated == (f"{path}/02 is {path}/02",)
    assert f"source {several}, not {source}" in refusal(source, cache)


def test_a_cache_of_something_else_is_refused(source, tmp_path):
    cache = tmp_path / "faces.npy"
    cached(source, cache)
    assert f"source {source}, not {source}[1:]" in refusal(f"{source}[1:]", cache)
    assert "crop 128, not 108" in refusal(source, cache, crop=108)
    assert "size 16, not 8" in refusal(source, cache, size=8)


def test_a_damaged_cache_is_refused(source, tmp_path):
    cache = tmp_path / "faces.npy"
    intact = cached(source, cache).images.copy()
    whole = cache.read_bytes()
    damaged = [whole[:end] for end in (0, 5, 9, 60, 127, 128, 200, len(whole) - 1)]
    damaged += [
        b"PK\x03\x04" + whole,
        whole[:8] + b"\xff\xff" + whole[10:] + bytes(1 << 16),
    ]
    for content in damaged:
        cache.write_bytes(content)
        refusal(source, cache)
    for array in (intact[1:], intact.astype(np.int16), intact[:, :, :, :2]):
        np.save(cache, array)
        refusal(source, cache)
    np.save(cache, intact)
    np.testing.assert_array_equal(cached(source, cache).images, intact)


def test_a_damaged_description_of_a_cache_is_refused(source, tmp_path):
    cache, beside = tmp_path / "faces.npy", tmp_path / "faces.npy.json"
    cached(source, cache)
    whole = beside.read_bytes()
    for content in (b"", b"[]", b"{}", b"\xff\xfe", whole[: len(whole) // 2]):
        beside.write_bytes(content)
        refusal(source, cache)
    beside.unlink()
    refusal(source, cache)


def test_another_pixel_or_name_in_a_cache_is_refused(source, tmp_path):
    cache, beside = tmp_path / "faces.npy", tmp_path / "faces.npy.json"
    cached(source, cache)
    pixels, text = cache.read_bytes(), beside.read_text()
    cache.write_bytes(pixels[:-100] + bytes([pixels[-100] ^ 1]) + pixels[-99:])
    assert "damaged" in refusal(source, cache)
    cache.write_bytes(pixels)
    beside.write_text(text.replace('"07"', '"70"'))
    assert "damaged" in refusal(source, cache)
    beside.write_text(text.replace('"version": 1', '"version": 0'))
    assert "version 0, not 1" in refusal(source, cache)
    beside.write_text(text)
    assert len(cached(source, cache).images) == 40


def test_another_users_cache_is_refused(source, tmp_path, monkeypatch):
    cached(source, tmp_path / "faces.npy")
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(InputError, match="faces.npy: belongs to user"):
        cached(source, tmp_path / "faces.npy")


@pytest.mark.parametrize("name", ["faces.npy", "faces.npy.json"])
def test_a_pipe_in_the_place_of_a_cache_is_refused(source, tmp_path, name):
    cached(source, tmp_path / "faces.npy")
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    assert f"{name} is no regular file" in refusal(source, tmp_path / "faces.npy")


def left_behind(tmp_path):
    return {path.name for path in tmp_path.iterdir()} - {"source.npy", "faces.npy.json"}


def test_a_full_disk_leaves_no_half_of_a_cache(source, tmp_path):
    cache = tmp_path / "faces.npy"
    # A file that may not grow fails as one on a full disk does, in the middle.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, limits[1]))
    try:
        # Not of the source, which whoever calls may name in every sentence.
        blamed = f"^--cache={cache}: cannot be written"
        with pytest.raises(OutputError, match=blamed), naming("--data", source):
            cached(source, cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not left_behind(tmp_path)
    assert len(cached(source, cache).images) == 40


@pytest.mark.parametrize("content", ["", "mine", "[]", '{"names": ["mine"]}'])
def test_a_file_of_the_description_s_name_is_not_replaced(source, tmp_path, content):
    beside = tmp_path / "faces.npy.json"
    beside.write_text(content)
    assert f"{beside} is there" in refusal(source, tmp_path / "faces.npy")
    assert beside.read_text() == content and not (tmp_path / "faces.npy").exists()
    shutil.move(beside, tmp_path / "mine")
    cached(source, tmp_path / "faces.npy")
    (tmp_path / "faces.npy").unlink()  # as it is when a process is killed before it
    assert len(cached(source, tmp_path / "faces.npy").images) == 40


def test_an_interrupt_leaves_no_half_of_a_cache(source, tmp_path, monkeypatch):
    cache = tmp_path / "faces.npy"

    def interrupted(file, array):
        file.write(array.tobytes()[:100])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cached(source, cache)
    assert not left_behind(tmp_path)
    assert len(cached(source, cache).images) == 40
