"""Photographs are read as they are seen, and results are written like them."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from inpaint_jax.io import colour_profiles, photographs, picture_files
from tests.drawn import noise

RGB = noise(24, 16, 3)
GREY = noise(24, 16)
ALPHA = noise(24, 16, seed=1)


def saved(path, pixels, kind="PNG", **options):
    Image.fromarray(pixels).save(path, kind, **options)
    return photographs.read_photograph(path)


def written(path, pixels, like):
    photographs.write_photograph(path, pixels, like=like)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture)


def wide_profile():
    """A profile of sRGB whose primaries were replaced by those of Display P3."""
    content = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    raw = bytearray(content)
    (count,) = struct.unpack(">I", raw[128:132])
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for i in range(count):
        tag, start, _ = struct.unpack(">4sII", raw[132 + 12 * i : 144 + 12 * i])
        for j, value in enumerate(primaries.get(tag, ())):
            place = start + 8 + 4 * j
            raw[place : place + 4] = struct.pack(">i", round(value * 65536))
    return content, bytes(raw)


SRGB, P3 = wide_profile()


def p3_to_srgb(pixels):
    """Display P3 to sRGB by the matrix of CSS Color 4, clipped."""
    x = pixels / 255.0
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [
            [1.2249402, -0.2249402, 0.0],
            [-0.0420570, 1.0420570, 0.0],
            [-0.0196376, -0.0786361, 1.0982736],
        ]
    )
    linear = np.clip(linear @ matrix.T, 0, 1)
    x = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    return np.round(255 * x)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("channels", ["L", "LA", "RGB", "RGBA"])
def test_what_is_read_is_written_again(tmp_path, kind, channels):
    pixels = GREY[..., None] if channels[0] == "L" else RGB
    if channels.endswith("A"):
        pixels = np.concatenate([pixels, ALPHA[..., None]], axis=-1)
    exact = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    picture = Image.fromarray(pixels.squeeze())
    assert picture.mode == channels
    picture.save(tmp_path / "a", kind, **exact)
    photo = photographs.read_photograph(tmp_path / "a")
    assert photo.format == kind and photo.shape == (24, 16)
    assert photo.grey == (channels[0] == "L") and not photo.turned
    assert (photo.alpha is None) == (not channels.endswith("A"))
    again = written(tmp_path / "b.png", photo.pixels, photo)
    np.testing.assert_array_equal(again, pixels.squeeze())
    read = picture_files.read(tmp_path / "a")
    np.testing.assert_array_equal(photo.on_white(), read)


def test_grey_in_three_channels_is_grey(tmp_path):
    photo = saved(tmp_path / "a.jpg", GREY[..., None].repeat(3, -1), "JPEG")
    assert photo.grey and photo.format == "JPEG"
    pixels = GREY[..., None].repeat(3, -1)
    pixels[5, 5] = 3, 4, 5
    assert not saved(tmp_path / "b.png", pixels).grey


def test_a_hole_is_made_opaque_and_the_rest_stays(tmp_path):
    photo = saved(tmp_path / "a.png", np.concatenate([RGB, ALPHA[..., None]], -1))
    hole = np.zeros((24, 16), bool)
    hole[3:9, 2:8] = True
    filled = photo.opaque_in(hole)
    np.testing.assert_array_equal(filled.alpha, np.where(hole, 255, ALPHA))
    found = written(tmp_path / "b.png", photo.pixels, filled)
    np.testing.assert_array_equal(found[..., 3], filled.alpha)
    plain = saved(tmp_path / "c.png", RGB)
    assert plain.opaque_in(hole) is plain


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_orientation_is_applied_and_told(tmp_path, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    photo = saved(tmp_path / "a.png", RGB, exif=exif)
    assert photo.turned == (turn > 1)
    assert photo.shape == ((24, 16) if turn < 5 else (16, 24))


@pytest.mark.parametrize("alpha", [False, True])
def test_other_profiles_are_converted(tmp_path, alpha):
    pixels = np.concatenate([RGB, ALPHA[..., None]], -1) if alpha else RGB
    photo = saved(tmp_path / "a.png", pixels, icc_profile=P3)
    assert photo.converted and not photo.remark
    assert np.abs(photo.pixels - p3_to_srgb(RGB)).max() <= 2
    assert np.abs(p3_to_srgb(RGB) - RGB).max() > 10  # so there was something to do
    if alpha:
        np.testing.assert_array_equal(photo.alpha, ALPHA)
    read = picture_files.read(tmp_path / "a.png")
    np.testing.assert_array_equal(read, photo.on_white())


def test_srgb_is_left_alone(tmp_path):
    photo = saved(tmp_path / "a.png", RGB, icc_profile=SRGB)
    assert not photo.converted and not photo.remark
    np.testing.assert_array_equal(photo.pixels, RGB)


def test_grey_with_a_profile_stays_grey(tmp_path):
    for profile in (SRGB, P3):
        photo = saved(tmp_path / "a.png", GREY, icc_profile=profile)
        assert photo.grey and not photo.remark
        assert np.abs(photo.pixels - GREY[..., None].astype(int)).max() <= 1


@pytest.mark.parametrize("content", [b"nothing", P3[:200], bytes(500)])
def test_a_broken_profile_is_told_and_ignored(tmp_path, content):
    photo = saved(tmp_path / "a.png", RGB, icc_profile=content)
    assert "ignored" in photo.remark and not photo.converted
    np.testing.assert_array_equal(photo.pixels, RGB)
    np.testing.assert_array_equal(picture_files.read(tmp_path / "a.png"), RGB)


def test_a_profile_of_another_colour_space_is_told_and_ignored(tmp_path):
    cmyk = Image.fromarray(RGB).convert("CMYK")
    cmyk.save(tmp_path / "a.jpg", icc_profile=P3, quality=95)
    photo = photographs.read_photograph(tmp_path / "a.jpg")
    assert "RGB pictures" in photo.remark and photo.shape == (24, 16)


def test_profiles_are_compared_by_what_they_do():
    picture = Image.fromarray(RGB)
    for content, converted in ((SRGB, False), (P3, True)):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", icc_profile=content)
        with Image.open(buffer) as again:
            assert colour_profiles.to_srgb(again)[1] == converted


def test_pixels_of_another_size_are_an_error(tmp_path):
    photo = saved(tmp_path / "a.png", RGB)
    with pytest.raises(ValueError, match="photograph"):
        photographs.write_photograph(tmp_path / "b.png", RGB[1:], like=photo)


def test_an_orientation_that_is_no_number_is_none(tmp_path):
    entry = struct.pack(">HHI4s", 0x0112, 2, 3, b"up")  # of kind 2: a text
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    found = saved(tmp_path / "a.png", RGB, exif=exif)
    assert not found.turned
    np.testing.assert_array_equal(found.pixels, RGB)


def test_a_transparent_colour_of_16_bits_is_transparent(tmp_path):
    colours = np.full((8, 8, 3), [10, 20, 30], np.uint8)
    colours[2:5, 1:7] = 40, 50, 60
    rows = b"".join(
        b"\0" + (257 * row.astype(">u2")).astype(">u2").tobytes() for row in colours
    )
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    key = struct.pack(">HHH", *(257 * level for level in (40, 50, 60)))
    chunks = [(b"IHDR", header), (b"tRNS", key), (b"IDAT", zlib.compress(rows))]
    content = b"".join(
        struct.pack(">I", len(data))
        + name
        + data
        + struct.pack(">I", zlib.crc32(name + data))
        for name, data in [*chunks, (b"IEND", b"")]
    )
    path = tmp_path / "key.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    found = photographs.read_photograph(path)
    np.testing.assert_array_equal(found.alpha == 0, colours[..., 0] == 40)
    np.testing.assert_array_equal(found.pixels, colours)
