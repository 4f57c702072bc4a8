"""Archives of pictures: read like a folder, and safe whatever is in them."""

import bz2
import concurrent.futures
import functools
import io
import lzma
import os
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inpaint_jax.errors import InputError
from inpaint_jax.io import archives, data, sources
from tests.drawn import noise


def png(seed=0):
    buffer = io.BytesIO()
    Image.fromarray(noise(12, 12, 3, seed=seed)).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return str(path)


@functools.cache
def deflated(content):
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def claiming(path, content, *, name=b"a.png", method=8, stored=None, **claims):
    """An archive of one member whose headers say what they like.

    Made from the format's description alone: local header, data, directory, end.
    """
    stored = deflated(content) if stored is None else stored
    claims = {"crc": zlib.crc32(content), "size": len(content), "flags": 0} | claims
    common = struct.pack(
        "<HHHHHIIIHH",
        *(20, claims["flags"], method, 0, 33),
        *(claims["crc"], len(stored), claims["size"], len(name), 0),
    )
    local = b"PK\x03\x04" + common + name + stored
    entry = b"PK\x01\x02" + struct.pack("<H", 20) + common
    entry += struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local), 0)
    path.write_bytes(local + entry + end)
    return str(path)


def read_all(path):
    names, read = archives.open_archive(path)
    return list(names), [read(i) for i in range(len(names))]


def refusal(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    sentence = str(caught.value)
    assert sentence.isprintable() and sentence.endswith(".")
    return sentence


def refused_member(path):
    """The sentence about the only member of an archive."""
    names, read = archives.open_archive(path)
    assert len(names) == 1
    sentence = refusal(read, 0)
    assert sentence.startswith(f"{path}/{names[0]}: ")
    return sentence


# Reading.


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_is_read_like_the_folder_in_it(folder, tmp_path, method):
    # "b.png" sorts behind what is in "b" as a path, and before it as a string.
    (folder / "b.png").write_bytes(png(9))
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for entry in sorted(folder.rglob("*"), reverse=True):
            archive.write(entry, entry.relative_to(folder))
    for part in ("", "[1:-2]"):
        of_folder = data.load(f"folder:{folder}{part}", crop=128, size=12)
        of_zip = data.load(f"zip:{path}{part}", crop=128, size=12)
        assert of_zip.names == of_folder.names
        assert of_zip.digest == of_folder.digest
        assert not of_zip.skipped
    assert sorted(p.name for p in tmp_path.iterdir()) == ["faces", "faces.zip"]


def test_other_members_are_ignored(tmp_path):
    members = [
        *[("notes.txt", b"x"), ("a.json", b"{}"), ("d.png/", b""), ("png", b"x")],
        *[("__MACOSX/._a.png", b"x"), (".png", b"x"), ("a.PNG", png())],
    ]
    names, pictures = read_all(zipped(tmp_path / "faces.zip", members))
    assert names == ["a.PNG"]
    np.testing.assert_array_equal(pictures[0], noise(12, 12, 3))


def test_names_are_no_paths(tmp_path):
    inside = tmp_path / "x" / "y"
    inside.mkdir(parents=True)
    wild = ["../../evil.png", "/etc/evil.png", "C:\\evil.png", "a\x1b[31m\nb.png"]
    path = zipped(inside / "faces.zip", [(name, png()) for name in wild])
    names, pictures = read_all(path)
    assert len(pictures) == 4 and all(name.isprintable() for name in names)
    found = [p.name for p in tmp_path.rglob("*") if p.is_file()]
    assert found == ["faces.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_of_two_members_of_one_name_the_last_counts(tmp_path):
    path = zipped(tmp_path / "faces.zip", [("a.png", png(1)), ("a.png", png(2))])
    names, pictures = read_all(path)
    assert names == ["a.png"]
    np.testing.assert_array_equal(pictures[0], noise(12, 12, 3, seed=2))


def test_threads_read_side_by_side(tmp_path):
    members = [(f"{i:02d}.png", png(i)) for i in range(40)]
    path = zipped(tmp_path / "faces.zip", members, compression=zipfile.ZIP_DEFLATED)
    _, read = archives.open_archive(path)
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(40), 10)).tolist()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for i, picture in zip(order, pool.map(read, order), strict=True):
            np.testing.assert_array_equal(picture, noise(12, 12, 3, seed=i))


# Refusing archives.


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """An archive of three pictures, and a file to damage it in."""
    path = tmp_path_factory.mktemp("three") / "faces.zip"
    zipped(path, [(f"{i}.png", png(i)) for i in range(3)], compression=8)
    return path.read_bytes(), path.with_name("damaged.zip")


def test_what_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "faces.zip"
    assert "faces.zip: no such file" in refusal(read_all, str(path))
    assert "no such file" in refusal(read_all, str(tmp_path))
    for content in (b"", b"PK", b"PK\x03\x04" + bytes(100), png()):
        path.write_bytes(content)
        assert "faces.zip: not a whole zip" in refusal(read_all, str(path))
    for members in ([], [("notes.txt", b"x")]):
        zipped(path, members)
        assert "faces.zip: no picture in this archive" in refusal(read_all, str(path))


@pytest.mark.parametrize("place", np.linspace(0, 1, 40, endpoint=False))
def test_an_archive_that_was_cut_short_is_refused(three, place):
    intact, path = three
    path.write_bytes(intact[: int(place * len(intact))])
    sentence = refusal(sources.open_source, f"zip:{path}")
    assert "damaged.zip: not a whole zip" in sentence and "cut short" in sentence
    path.write_bytes(intact[:-1])
    assert "cut short" in refusal(sources.open_source, f"zip:{path}")


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_damage_gives_intact_pictures_or_an_input_error(three, data):
    intact, path = three
    content = bytearray(intact)
    for _ in range(data.draw(st.integers(1, 3))):
        # Half of it in the headers, which are the last part.
        first = data.draw(st.sampled_from([0, len(intact) - 200]))
        place = data.draw(st.integers(first, len(intact) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        names, read = archives.open_archive(str(path))
    except InputError as error:
        assert "damaged.zip" in str(error) and str(error).isprintable()
        return
    known = [noise(12, 12, 3, seed=i) for i in range(3)]
    for i in range(len(names)):
        try:
            picture = read(i)
        except InputError as error:
            assert "damaged.zip" in str(error) and str(error).isprintable()
        else:
            assert any(np.array_equal(picture, one) for one in known)


# Refusing members.


def test_bad_members_are_skipped_with_a_sentence_each(tmp_path):
    path = tmp_path / "faces.zip"
    broken = png(3)[:-40]
    members = [("a.png", png(0)), ("b.png", b""), ("c.png", b"text"), ("d.png", broken)]
    zipped(path, [*members, ("e.png", png(4))])
    # One byte of a member that is stored as it is.
    content = path.read_bytes().replace(png(4), b"\x88" + png(4)[1:])
    path.write_bytes(content)
    faces = data.load(f"zip:{path}", crop=128, size=12)
    assert faces.names == ("a.png",)
    for sentence, words in zip(
        faces.skipped,
        (
            "b.png: the file is empty",
            "c.png: not a PNG, JPEG or WebP picture",
            "d.png: damaged picture",
            "e.png: damaged (Bad CRC-32",
        ),
        strict=True,
    ):
        assert sentence.startswith(f"{path}/{words}")


def test_encrypted_members_are_refused(tmp_path):
    path = claiming(tmp_path / "faces.zip", png(), flags=1)
    assert "encrypted; pack it without a password" in refused_member(path)


def test_the_builder_of_bombs_builds_sound_archives(tmp_path):
    _, pictures = read_all(claiming(tmp_path / "faces.zip", png()))
    np.testing.assert_array_equal(pictures[0], noise(12, 12, 3))


@pytest.mark.parametrize("method, pack", [(12, bz2.compress), (14, lzma.compress)])
def test_methods_without_a_bound_are_refused(tmp_path, method, pack):
    stored = pack(png())
    path = claiming(tmp_path / "faces.zip", png(), method=method, stored=stored)
    assert f"compressed by method {method}; pack it by" in refused_member(path)


BOMB = png() + bytes(100 * 2**20)


def refused_without_unpacking(path):
    tracemalloc.start()
    try:
        sentence = refused_member(path)
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()
    return sentence


def test_a_large_member_is_refused_unread(tmp_path):
    path = claiming(tmp_path / "faces.zip", BOMB)
    assert os.path.getsize(path) < 2**20
    sentence = refused_without_unpacking(path)
    assert f"{len(BOMB)} bytes are too many" in sentence and str(64 * 2**20) in sentence


def test_a_member_may_have_64_mebibytes(tmp_path):
    content = png() + bytes(archives.MAX_BYTES - len(png()))
    _, pictures = read_all(claiming(tmp_path / "faces.zip", content))
    np.testing.assert_array_equal(pictures[0], noise(12, 12, 3))
    path = claiming(tmp_path / "faces.zip", content + b"\0")
    assert "too many" in refused_member(path)


@pytest.mark.parametrize("declared", [0, 100, len(png()), 100_000])
def test_more_than_is_declared_is_refused(tmp_path, declared):
    # The checksum is that of what is declared, which alone would show nothing.
    crc = zlib.crc32(BOMB[:declared])
    path = claiming(tmp_path / "faces.zip", BOMB, size=declared, crc=crc)
    sentence = refused_without_unpacking(path)
    assert f"more than the {declared} bytes it declares" in sentence


@pytest.mark.parametrize("change, compared", [(-1, "more"), (1, "fewer")])
@pytest.mark.parametrize("method", [0, 8])
def test_a_member_has_the_size_it_declares(tmp_path, change, compared, method):
    content = png()
    path = claiming(
        *(tmp_path / "faces.zip", content),
        method=method,
        stored=content if method == 0 else None,
        size=len(content) + change,
    )
    assert f"{compared} than the {len(content) + change} bytes" in refused_member(path)
