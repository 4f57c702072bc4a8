"""Files are written whole or not at all; pictures are read or refused by name."""

import io
import json
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from inpaint_jax.errors import InputError, OutputError
from inpaint_jax.io import files, picture_files
from inpaint_jax.io.picture_files import read_stencil


def large(rows):
    """The pixels, each as a square of eight: smaller pictures are refused."""
    return np.array(rows, np.uint8).repeat(8, axis=0).repeat(8, axis=1)


# Two rows of three squares: no two alike, so every turn and mix-up shows.
RGB = large(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [40, 50, 60], [7, 8, 9]]]
)
GREY = large([[0, 100, 255], [1, 2, 3]])


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(name, data):
    return (
        struct.pack(">I", len(data))
        + name
        + data
        + struct.pack(">I", zlib.crc32(name + data))
    )


def png_claiming(width, height, *, bits=8, colour=2, rows=b""):
    """A PNG whose header says what it likes; the pixels are `rows`."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def refusal(read, path):
    with pytest.raises((InputError, OutputError)) as caught:
        read(path)
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    return message


# Writing.


def test_replacing_writes_and_leaves_nothing_else(tmp_path):
    with files.replacing(tmp_path / "a.txt") as temporary:
        assert not (tmp_path / "a.txt").exists()
        temporary.write_text("new")
    assert os.listdir(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_replacing_keeps_the_old_file_if_the_block_raises(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(error), files.replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise error
    assert os.listdir(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_replacing_reports_a_full_disk_as_an_output_error(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(OutputError, match="a.txt.*No space left"):
        with files.replacing(tmp_path / "a.txt"):
            raise OSError(28, "No space left on device")
    assert os.listdir(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_replacing_follows_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        files.write_text(tmp_path / "a.txt", "x")
    finally:
        after = os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666 & ~umask
    assert after == umask


def test_replacing_needs_a_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    for parent in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(OutputError, match=parent.name):
            files.write_text(parent / "a.txt", "x")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_replacing_needs_a_writable_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match=tmp_path.name):
        files.write_text(tmp_path / "a.txt", "x")


def test_replacing_does_not_replace_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError, match="a: cannot be written"):
        files.write_text(tmp_path / "a", "x")
    assert os.listdir(tmp_path) == ["a"]


def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(OSError, match="no regular file"):
            files.read_bytes(path)


def test_remove_deletes_a_file_or_refuses(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    files.remove(path)
    assert not path.exists()
    files.remove(path)
    path.mkdir()
    refusal(files.remove, path)


def test_make_directory_creates_parents_or_refuses(tmp_path):
    made = files.make_directory(tmp_path / "a" / "b")
    assert made.is_dir() and os.listdir(made) == []
    assert files.make_directory(made) == made
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "b"):
        refusal(files.make_directory, path)


def test_write_json_turns_nan_and_infinities_into_null(tmp_path):
    value = {
        "a": [float("nan"), 1.5, {"b": float("inf")}],
        "c": (np.float32("-inf"), np.float32(0.5), np.int64(3)),
        "d": "NaN",
        "e": True,
    }
    files.write_json(tmp_path / "x.json", value)

    def forbid(name):
        raise AssertionError(f"{name} is not JSON")

    text = (tmp_path / "x.json").read_text()
    assert json.loads(text, parse_constant=forbid) == {
        "a": [None, 1.5, {"b": None}],
        "c": [None, 0.5, 3],
        "d": "NaN",
        "e": True,
    }


def test_write_picture_is_lossless(tmp_path):
    picture_files.write(tmp_path / "a.png", RGB)
    np.testing.assert_array_equal(picture_files.read(tmp_path / "a.png"), RGB)


# Reading.


def test_read_picture_rgb_and_grey(tmp_path):
    (tmp_path / "rgb.png").write_bytes(encoded(Image.fromarray(RGB)))
    (tmp_path / "grey.png").write_bytes(encoded(Image.fromarray(GREY)))
    np.testing.assert_array_equal(picture_files.read(tmp_path / "rgb.png"), RGB)
    grey = picture_files.read(tmp_path / "grey.png")
    assert grey.dtype == np.uint8
    np.testing.assert_array_equal(grey, GREY[..., None].repeat(3, axis=-1))


def test_the_suffix_does_not_matter(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(Image.fromarray(RGB)))
    np.testing.assert_array_equal(picture_files.read(tmp_path / "a.jpg"), RGB)


def test_exif_orientation_is_applied(tmp_path):
    # Orientation 6: row 0 is the right side, column 0 the top; turn clockwise.
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "rgb.png").write_bytes(encoded(Image.fromarray(RGB), exif=exif))
    (tmp_path / "grey.png").write_bytes(encoded(Image.fromarray(GREY), exif=exif))
    upright = picture_files.read(tmp_path / "rgb.png")
    np.testing.assert_array_equal(upright, np.rot90(RGB, -1))
    grey = picture_files.read(tmp_path / "grey.png")
    np.testing.assert_array_equal(grey[..., 0], np.rot90(GREY, -1))
    stencil = read_stencil(tmp_path / "grey.png")
    np.testing.assert_array_equal(stencil[..., 0], np.rot90(GREY, -1))


def test_palette_with_and_without_transparency(tmp_path):
    picture = Image.fromarray(large([[0, 1, 2]]), "L").convert("P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    (tmp_path / "plain.png").write_bytes(encoded(picture))
    np.testing.assert_array_equal(picture_files.read(tmp_path / "plain.png"), RGB[:8])
    # Colour 0 opaque, colour 1 clear, colour 2 opaque.
    (tmp_path / "clear.png").write_bytes(encoded(picture, transparency=b"\xff\x00\xff"))
    expected = RGB[:8].copy()
    expected[:, 8:16] = 255
    np.testing.assert_array_equal(picture_files.read(tmp_path / "clear.png"), expected)


def test_transparency_is_laid_on_white(tmp_path):
    pixels = large([[[200, 0, 0, 255], [200, 0, 0, 0], [200, 0, 0, 51]]])
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(pixels)))
    # 51 / 255 = 0.2: 0.2 * 200 + 0.8 * 255 = 244 and 0.8 * 255 = 204.
    np.testing.assert_array_equal(
        picture_files.read(tmp_path / "a.png"),
        large([[[200, 0, 0], [255, 255, 255], [244, 204, 204]]]),
    )


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_first_frame_of_an_animation(tmp_path, kind):
    first = Image.new("RGB", (8, 8), (255, 0, 0))
    rest = [Image.new("RGB", (8, 8), (0, 0, 255))] * 2
    (tmp_path / "a.png").write_bytes(
        encoded(first, kind, save_all=True, append_images=rest, lossless=True)
    )
    with Image.open(tmp_path / "a.png") as written:
        assert written.n_frames > 1
    picture = picture_files.read(tmp_path / "a.png")
    np.testing.assert_array_equal(picture, np.asarray(first))


def test_jpeg(tmp_path):
    flat = np.full((16, 16, 3), (90, 120, 150), np.uint8)
    for mode in ("RGB", "L", "CMYK"):
        picture = Image.fromarray(flat).convert(mode)
        (tmp_path / "a.jpg").write_bytes(encoded(picture, "JPEG", quality=95))
        read = picture_files.read(tmp_path / "a.jpg")
        assert read.shape == (16, 16, 3) and read.dtype == np.uint8
        wanted = np.asarray(picture.convert("RGB"))
        assert np.abs(read.astype(int) - wanted.astype(int)).max() <= 3


def test_16_bit_colours_keep_their_high_bytes(tmp_path):
    pixels = np.array([[[0x1234, 0xFF00, 0x00FF]]], ">u2")
    path = tmp_path / "a.png"
    rows = 8 * (b"\0" + 8 * pixels.tobytes())
    path.write_bytes(png_claiming(8, 8, bits=16, rows=rows))
    read = picture_files.read(path)
    np.testing.assert_array_equal(read, large([[[0x12, 0xFF, 0x00]]])[:8, :8])


# Refusing.

READERS = pytest.mark.parametrize("read", [picture_files.read, read_stencil])
NOISE = np.random.default_rng(0).integers(0, 256, (24, 16, 3), np.uint8)

DAMAGED = {
    "empty.png": (b"", "empty"),
    "garbage.png": (b"not a picture at all", "not a PNG"),
    "truncated.png": (encoded(Image.fromarray(NOISE))[:-200], "damaged"),
    "truncated.jpg": (encoded(Image.fromarray(NOISE), "JPEG")[:-200], "damaged"),
    "header_only.png": (encoded(Image.fromarray(NOISE))[:33], "not a PNG"),
    "gif.png": (encoded(Image.fromarray(NOISE), "GIF"), "not a PNG"),
    "tiff.png": (encoded(Image.fromarray(NOISE), "TIFF"), "not a PNG"),
    "bomb.png": (png_claiming(100_000, 100_000), "pixels"),
    "warned.png": (png_claiming(10_000, 10_000), "10000 x 10000 pixels"),
    "large.png": (png_claiming(8_000, 6_251), "8000 x 6251 pixels"),
    "no_rows.png": (png_claiming(20, 20), "damaged"),
    "no_width.png": (png_claiming(0, 20), ""),
    "low.png": (encoded(Image.fromarray(NOISE[:7])), "16 x 7 pixels are too few"),
    "narrow.png": (encoded(Image.fromarray(NOISE[:, :7])), "7 x 24 pixels are too"),
}


@READERS
@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused_by_name(tmp_path, read, name):
    data, reason = DAMAGED[name]
    path = tmp_path / name
    path.write_bytes(data)
    # The folder's name has the test's, and so the word, in it.
    assert reason in refusal(read, path).partition(name)[2]


@pytest.mark.parametrize("name", DAMAGED)
def test_bytes_are_refused_as_files_are(tmp_path, name):
    data, reason = DAMAGED[name]
    decode = lambda path: picture_files.decode(data, name=str(path))
    assert reason in refusal(decode, tmp_path / name).partition(name)[2]


def test_grey_of_16_bits_is_refused_in_a_photograph(tmp_path):
    data = encoded(Image.fromarray(GREY.astype(np.uint16)))
    (tmp_path / "sixteen.png").write_bytes(data)
    assert "8 bits" in refusal(picture_files.read, tmp_path / "sixteen.png")
    decode = lambda path: picture_files.decode(data, name=str(path))
    assert "8 bits" in refusal(decode, tmp_path / "sixteen.png")


@READERS
def test_what_is_no_file_is_refused(tmp_path, read):
    assert "no such file" in refusal(read, tmp_path / "missing.png")
    (tmp_path / "folder.png").mkdir()
    assert "no such file, but a folder" in refusal(read, tmp_path / "folder.png")


UNUSABLE = ("loop.png", "nowhere.png", "zero\0byte", 5000 * "x", "a.png/b.png")


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_a_path_is_refused(tmp_path, name):
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "a.png").write_bytes(b"")
    for read in (picture_files.read, files.make_directory):
        if read is picture_files.read or "png" not in name:
            with pytest.raises(
                (InputError, OutputError), match="no such|cannot|nowhere"
            ):
                read(tmp_path / name)


def test_exactly_50_megapixels_are_allowed(tmp_path):
    rows = (b"\0" + bytes(1000)) * 6250  # 8000 x 6250 pixels of one bit
    path = tmp_path / "a.png"
    path.write_bytes(png_claiming(8000, 6250, bits=1, colour=0, rows=rows))
    assert read_stencil(path).shape == (6250, 8000, 4)


# Stencils.


def test_a_stencil_has_the_channels_of_its_file(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(GREY)))
    found = read_stencil(tmp_path / "a.png")
    np.testing.assert_array_equal(found[..., :3], GREY[..., None].repeat(3, axis=-1))
    assert (found[..., 3] == 255).all()
    pixels = np.full((16, 24, 4), 7, np.uint8)
    pixels[..., 3] = GREY
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(pixels)))
    np.testing.assert_array_equal(read_stencil(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize("levels", [(0, 0xFFFF), (0, 1), (0x100, 0x0FFF)])
def test_a_stencil_of_16_bits_goes_by_its_levels(tmp_path, levels):
    marked = GREY > 128
    low, high = np.array(levels, np.uint16)
    picture = Image.fromarray(np.where(marked, high, low))
    picture.save(tmp_path / "a.png")
    found = read_stencil(tmp_path / "a.png")
    expected = np.where(marked, 255, 0)[..., None].repeat(3, axis=-1)
    np.testing.assert_array_equal(found[..., :3], expected)
    for level, byte in ((0, 0), (0xFFFF, 255)):
        Image.fromarray(np.full((16, 24), level, np.uint16)).save(tmp_path / "b.png")
        assert (read_stencil(tmp_path / "b.png")[..., :3] == byte).all()


# Fuzz: whatever the bytes, a picture or a sentence.


def fuzz_seeds():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    exif[0x011A] = 72.0
    picture = Image.fromarray(NOISE)
    return {
        "png": encoded(picture.resize((11, 9)), exif=exif),
        "palette": encoded(picture.quantize(8), transparency=b"\x00\x80"),
        "jpeg": encoded(picture, "JPEG", exif=exif),
        "webp": encoded(picture, "WEBP", exif=exif),
    }


@pytest.mark.parametrize("kind", ["png", "palette", "jpeg", "webp"])
def test_damage_gives_a_picture_or_an_input_error(tmp_path, kind):
    rng = np.random.default_rng(1)
    intact = fuzz_seeds()[kind]
    path = tmp_path / "fuzzed.png"
    refused = 0
    for _ in range(300):
        data = bytearray(intact)
        if rng.random() < 0.3:
            data = data[: rng.integers(len(data))]
        for _ in range(rng.integers(1, 4)):
            if data:
                data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(data))
        try:
            picture = picture_files.read(path)
        except InputError as error:
            assert "fuzzed.png" in str(error)
            refused += 1
        else:
            assert picture.dtype == np.uint8
            assert picture.ndim == 3 and picture.shape[2] == 3
    assert refused > 30


def test_damaged_metadata_gives_a_picture_or_an_input_error(tmp_path):
    # The checksums of PNG chunks hide Pillow's parsers of metadata; JPEG has none.
    rng = np.random.default_rng(2)
    intact = fuzz_seeds()["jpeg"]
    start = intact.index(b"Exif")
    path = tmp_path / "fuzzed.jpg"
    read = 0
    for _ in range(300):
        data = bytearray(intact)
        for _ in range(3):
            data[start + rng.integers(100)] = rng.integers(256)
        path.write_bytes(bytes(data))
        try:
            read += picture_files.read(path).ndim == 3
        except InputError as error:
            assert "fuzzed.jpg" in str(error)
    assert read > 30


def test_a_folder_is_checked_and_not_left_behind(tmp_path):
    files.check_directory(tmp_path / "new" / "er")
    files.check_directory(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        files.check_directory(tmp_path / "file" / "new")
