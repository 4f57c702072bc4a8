"""Pictures of any mode that a program writes are read, or refused in a sentence."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from inpaint_jax.errors import InputError
from inpaint_jax.io import photographs

_ROWS, _COLUMNS = np.mgrid[:48, :40]
SMOOTH = np.stack([5 * _ROWS, 6 * _COLUMNS, 200 - 4 * _ROWS], -1).astype(np.uint8)
PICTURE = Image.fromarray(SMOOTH)
GREY = np.asarray(PICTURE.convert("L"))
SECOND = PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
MORE = {"save_all": True, "append_images": [SECOND]}


def rgb16(path):
    """A PNG of 16 bits a channel, which Pillow reads and does not write."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    rows = b"".join(b"\0" + row.tobytes() for row in SMOOTH.astype(">u2") * 257)
    header = struct.pack(">IIBBBBB", 40, 48, 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b""))


# name -> (how it is written, mean difference in levels that its kind may bring)
MODES = {
    "cmyk.jpg": (lambda p: PICTURE.convert("CMYK").save(p, quality=95), 3.0),
    "palette.png": (lambda p: PICTURE.quantize(256).save(p), 6.0),
    "alpha.png": (lambda p: PICTURE.convert("RGBA").save(p), 0.0),
    "two_in_one.jpg": (lambda p: PICTURE.save(p, "MPO", quality=95, **MORE), 3.0),
    "animated.webp": (lambda p: PICTURE.save(p, lossless=True, **MORE), 0.0),
    "progressive.jpg": (lambda p: PICTURE.save(p, progressive=True, quality=95), 3.0),
    "rgb16.png": (rgb16, 0.0),
}
GREYS = {
    "grey.png": PICTURE.convert("L"),
    "grey_and_alpha.png": PICTURE.convert("LA"),
    "grey_palette.png": PICTURE.convert("L").convert("P"),
}


@pytest.mark.parametrize("name", MODES)
def test_colours_of_any_mode_are_read(tmp_path, name):
    write, most = MODES[name]
    write(tmp_path / name)
    photo = photographs.read_photograph(tmp_path / name)
    assert photo.shape == (48, 40) and not photo.grey
    assert ("animated" in photo.remark) == (name == "animated.webp")
    assert np.abs(photo.on_white().astype(float) - SMOOTH).mean() <= most


@pytest.mark.parametrize("name", GREYS)
def test_grey_of_any_mode_is_read_as_grey(tmp_path, name):
    GREYS[name].save(tmp_path / name)
    photo = photographs.read_photograph(tmp_path / name)
    assert photo.grey
    np.testing.assert_array_equal(photo.pixels, GREY[..., None].repeat(3, -1))


@pytest.mark.parametrize("name", ["grey16.png", "cut.jpg"])
def test_what_is_not_read_is_refused_with_a_reason(tmp_path, name):
    path = tmp_path / name
    if name == "grey16.png":
        Image.fromarray(GREY.astype(np.uint16) * 257).save(path)
        why = "more than 8 bits per channel"
    else:
        PICTURE.save(path, progressive=True)
        path.write_bytes(path.read_bytes()[:-200])
        why = "damaged picture"
    with pytest.raises(InputError, match=why) as caught:
        photographs.read_photograph(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
