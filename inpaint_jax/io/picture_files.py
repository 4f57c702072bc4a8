"""Reads and writes pictures; what is no sound picture is refused in a sentence."""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from inpaint_jax.errors import InputError, reason
from inpaint_jax.images import framing
from inpaint_jax.io import colour_profiles, files

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".webp")
"""How names of pictures end, in lower case."""

_FORMATS = ("PNG", "JPEG", "WEBP")
_MAX_PIXELS = 50_000_000  # photographs of 48 megapixels are common


def write(
    path: str | os.PathLike[str], image: UInt8[np.ndarray, "height width 3"]
) -> None:
    """Writes an RGB picture as PNG, see `save`."""
    save(path, Image.fromarray(np.asarray(image)))


def save(path: str | os.PathLike[str], picture: Image.Image) -> None:
    """Writes a picture of Pillow's as PNG, whole or not at all.

    Raises:
      OutputError: it cannot be written.
    """
    with files.replacing(path) as temporary:
        picture.save(temporary, format="PNG")


def read(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "height width 3"]:
    """Reads a PNG, JPEG or WebP picture as RGB bytes, upright.

    The EXIF orientation is applied, colours of another profile are converted to sRGB,
    grey becomes RGB, transparency is laid on white, and an animation yields its first
    frame.

    Args:
      path: the picture.

    Returns:
      uint8 `[H, W, 3]`.

    Raises:
      InputError: the file is missing, empty, no picture, damaged, larger than 50
        megapixels, or grey with 16 bits (16-bit colours are read by their high bytes).
    """
    with opened(path) as picture:
        return _upright_rgb(picture)


def decode(content: bytes, *, name: str) -> UInt8[np.ndarray, "height width 3"]:
    """Decodes a picture from the bytes of its file, as `read` does.

    Args:
      content: the file's bytes.
      name: the picture's name in error messages.

    Returns:
      uint8 `[H, W, 3]`.

    Raises:
      InputError: as `read`.
    """
    with decoded(content, name=name) as picture:
        return _upright_rgb(picture)


def decoded(
    content: bytes, *, name: str, deep: bool = False
) -> contextlib.AbstractContextManager[Image.Image]:
    """Opens a picture from the bytes of its file, as `opened` does.

    Args:
      content: the file's bytes.
      name: the picture's name in error messages.
      deep: whether grey levels of 16 bits are read.

    Raises:
      InputError: as `read`.
    """
    return _decoded(io.BytesIO(content), name, len(content), deep=deep)


def dimensions(content: bytes, *, name: str) -> tuple[int, int]:
    """Returns (height, width) of a picture as its file has them; no pixel is decoded.

    Args:
      content: the file's bytes.
      name: the picture's name in error messages.

    Raises:
      InputError: as `read`, but for what only its pixels tell.
    """
    with _decoded(
        io.BytesIO(content), name, len(content), deep=True, load=False
    ) as picture:
        return picture.height, picture.width


def read_stencil(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "height width 4"]:
    """Reads a picture that marks a hole: its channels, upright, as the file has them.

    Args:
      path: the picture. Grey levels of 16 bits are read too: the lowest one becomes
        black and the highest one white, however near they are.

    Returns:
      uint8 `[H, W, 4]`, RGB and alpha; see `stencils.find_hole`.

    Raises:
      InputError: as `read`.
    """
    with _opened(path, deep=True) as picture:
        return _channels(picture)


def decode_stencil(content: bytes, *, name: str) -> UInt8[np.ndarray, "height width 4"]:
    """Decodes a picture that marks a hole, as `read_stencil` reads it.

    Args:
      content: the file's bytes.
      name: the picture's name in error messages.

    Returns:
      uint8 `[H, W, 4]`, RGB and alpha.

    Raises:
      InputError: as `read`.
    """
    with decoded(content, name=name, deep=True) as picture:
        return _channels(picture)


def on_white(picture: Image.Image) -> Image.Image:
    """Lays a picture on white if it has transparency."""
    if not picture.has_transparency_data:
        return picture
    picture = picture.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def _upright_rgb(picture: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    picture, _, _ = colour_profiles.to_srgb(ImageOps.exif_transpose(picture))
    return np.asarray(on_white(picture).convert("RGB"))


def opened(
    path: str | os.PathLike[str],
) -> contextlib.AbstractContextManager[Image.Image]:
    """Opens a picture and decodes it; errors within the block say it is damaged.

    Raises:
      InputError: as `read`.
    """
    return _opened(path, deep=False)


def _opened(
    path: str | os.PathLike[str], *, deep: bool
) -> contextlib.AbstractContextManager[Image.Image]:
    files.check_file(path, give="give a PNG, JPEG or WebP picture")
    return _decoded(path, path, os.path.getsize(path), deep=deep)


def _channels(picture: Image.Image) -> UInt8[np.ndarray, "height width 4"]:
    return np.asarray(_of_bytes(ImageOps.exif_transpose(picture)).convert("RGBA"))


def _of_bytes(picture: Image.Image) -> Image.Image:
    """Spreads the levels of a picture of 16 bits over those of a byte."""
    if not picture.mode.startswith("I"):
        return picture
    levels = np.asarray(picture).astype(np.int64)
    most, low = np.iinfo(np.uint8).max, int(levels.min())
    span = int(levels.max()) - low
    if not span:
        low, span = 0, np.iinfo(np.uint16).max
    return Image.fromarray(((levels - low) * most // span).astype(np.uint8))


@contextlib.contextmanager
def _decoded(
    source: str | os.PathLike[str] | io.BytesIO,
    path: str | os.PathLike[str],
    size: int,
    *,
    deep: bool = False,
    load: bool = True,
) -> Iterator[Image.Image]:
    if size == 0:
        raise InputError(
            f"{path}: the file is empty; give a PNG, JPEG or WebP picture."
        )
    try:
        with warnings.catch_warnings():
            # The size is checked below, before any pixel is decoded. Pillow also warns
            # of damaged metadata, which it then leaves out.
            warnings.simplefilter("ignore")
            with Image.open(source, formats=_FORMATS) as picture:
                _check_header(picture, path, deep=deep)
                if load:
                    picture.load()
                yield picture
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path}: not a PNG, JPEG or WebP picture; convert it to one of these."
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{path}: too many pixels; scale it below {_MAX_PIXELS // 1_000_000} "
            "megapixels."
        ) from error
    except PermissionError as error:
        raise InputError(f"{path}: may not be read; give yourself leave to.") from error
    except Exception as error:
        # Pillow's parsers of metadata fail with TypeError, struct.error and others.
        raise InputError(
            f"{path}: damaged picture ({reason(error)}); replace it by an intact one."
        ) from error


def _check_header(
    picture: Image.Image, path: str | os.PathLike[str], *, deep: bool
) -> None:
    width, height = picture.size
    framing.check_size(height, width, name=path)
    if width * height > _MAX_PIXELS:
        raise InputError(
            f"{path}: {width} x {height} pixels are too many; scale it below "
            f"{_MAX_PIXELS // 1_000_000} megapixels."
        )
    if picture.mode.startswith("I") and not deep or picture.mode == "F":
        raise InputError(
            f"{path}: {picture.mode} is more than 8 bits per channel; convert it to "
            "8 bits."
        )
