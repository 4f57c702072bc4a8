"""Photographs: pictures with all that a result has to share with them.

A result is written as PNG whatever the photograph's own format, as only so the pixels
that are known come out as they went in; JPEG would change all of them.
"""

import io
import os
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageOps

from inpaint_jax.io import colour_profiles, picture_files

_ORIENTATION = 0x0112  # the tag in EXIF; 1 is upright


class Photograph(NamedTuple):
    """A picture as it is seen, upright and in sRGB, and what its file was like.

    Attributes:
      pixels: uint8 `[H, W, 3]`, RGB. Transparent pixels have the colour that the file
        gives them, which is not seen; `on_white` shows the picture.
      alpha: uint8 `[H, W]`, 0 = transparent; None if the file has no transparency.
      grey: whether the file has one channel, or three equal ones.
      format: "PNG", "JPEG" or "WEBP".
      turned: whether the EXIF orientation was applied; the file's rows are others then.
      converted: whether the colours were converted to sRGB from another profile.
      remark: what is to be said of the file, as that its profile is damaged; often "".
    """

    pixels: UInt8[np.ndarray, "height width 3"]
    alpha: UInt8[np.ndarray, "height width"] | None
    grey: bool
    format: str
    turned: bool
    converted: bool
    remark: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), upright."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def on_white(self) -> UInt8[np.ndarray, "height width 3"]:
        """Returns the pixels as they are seen on white, as `picture_files.read`."""
        if self.alpha is None:
            return self.pixels
        picture = Image.fromarray(self.pixels)
        picture.putalpha(Image.fromarray(self.alpha))
        return np.asarray(picture_files.on_white(picture))

    def opaque_in(self, hole: Bool[np.ndarray, "height width"]) -> "Photograph":
        """Returns the photograph with nothing transparent where `hole` is True."""
        if self.alpha is None:
            return self
        opaque = np.iinfo(np.uint8).max
        return self._replace(alpha=np.where(hole, np.uint8(opaque), self.alpha))


def read_photograph(path: str | os.PathLike[str]) -> Photograph:
    """Reads a PNG, JPEG or WebP picture of at most 50 megapixels.

    Raises:
      InputError: as `picture_files.read`.
    """
    with picture_files.opened(path) as picture:
        return _photograph(picture)


def decode_photograph(content: bytes, *, name: str) -> Photograph:
    """Decodes a photograph from the bytes of its file, as `read_photograph` reads it.

    Args:
      content: the file's bytes.
      name: the picture's name in error messages.

    Raises:
      InputError: as `picture_files.read`.
    """
    with picture_files.decoded(content, name=name) as picture:
        return _photograph(picture)


def _photograph(picture: Image.Image) -> Photograph:
    kind = picture.format or ""
    turned = picture.getexif().get(_ORIENTATION) in range(2, 9)
    # Phones put a second picture into a JPEG, which is no animation.
    animated = kind != "MPO" and getattr(picture, "n_frames", 1) > 1
    picture = ImageOps.exif_transpose(picture)
    grey = colour_profiles.is_grey(picture)
    picture, converted, remark = colour_profiles.to_srgb(picture)
    if animated:
        remark = f"{remark} is animated; its first picture is used".strip()
    alpha = None
    key = picture.info.get("transparency")
    if isinstance(key, tuple) and max(key) > np.iinfo(np.uint8).max:
        # Of 16 bits, as the file's colours, of which Pillow keeps the upper 8.
        picture.info["transparency"] = tuple(level >> 8 for level in key)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        alpha = np.asarray(picture.getchannel("A"))
    if grey:
        picture = picture.convert("RGB").convert("L")
    pixels = np.asarray(picture.convert("RGB"))
    return Photograph(
        pixels=pixels,
        alpha=alpha,
        grey=grey or _is_grey(pixels),
        # Phones store two pictures in one JPEG, which Pillow calls MPO.
        format=kind if kind in ("PNG", "WEBP") else "JPEG",
        turned=turned,
        converted=converted,
        remark=remark,
    )


def write_photograph(
    path: str | os.PathLike[str],
    pixels: UInt8[np.ndarray, "height width 3"],
    *,
    like: Photograph,
) -> None:
    """Writes pixels as PNG like a photograph: its size, grey and transparency.

    Args:
      path: the file, which is written whole or not at all.
      pixels: uint8 `[H, W, 3]`, RGB, of the photograph's size. Of a grey photograph
        the luma is written, which is the level where the channels are equal.
      like: the photograph. Its transparency is kept as it is, also in the hole, unless
        it was made `opaque_in` the hole.

    Raises:
      OutputError: it cannot be written.
    """
    picture_files.save(path, _alike(pixels, like))


def encode_photograph(
    pixels: UInt8[np.ndarray, "height width 3"], *, like: Photograph
) -> bytes:
    """Returns the bytes of the file that `write_photograph` writes.

    Args:
      pixels: as there.
      like: as there.
    """
    stored = io.BytesIO()
    _alike(pixels, like).save(stored, format="PNG")
    return stored.getvalue()


def _alike(
    pixels: UInt8[np.ndarray, "height width 3"], like: Photograph
) -> Image.Image:
    if pixels.shape != like.pixels.shape:
        raise ValueError(f"{pixels.shape} pixels, but a photograph of {like.shape}")
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if like.grey:
        picture = picture.convert("L")
    if like.alpha is not None:
        picture.putalpha(Image.fromarray(like.alpha))
    return picture


def _is_grey(pixels: UInt8[np.ndarray, "height width 3"]) -> bool:
    # Few pixels show most colours at once; comparing all of them takes long.
    for part in (pixels[::16, ::16], pixels):
        red, green, blue = part[..., 0], part[..., 1], part[..., 2]
        if not (np.array_equal(red, green) and np.array_equal(red, blue)):
            return False
    return True
