"""Reads and writes files; each is written whole or not at all."""

import contextlib
import importlib.resources
import io
import json
import os
import pathlib
import stat
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from inpaint_jax.errors import InputError, reason
from inpaint_jax.images import framing

ASSETS = pathlib.Path(str(importlib.resources.files("inpaint_jax") / "assets"))
"""The folder of the files that come with the package: networks and a portrait."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_FORMATS = ("PNG", "JPEG", "WEBP")
_MAX_PIXELS = 40_000_000


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields a temporary file beside `path` and renames it to `path` on success.

    Args:
      path: the file to write; its folder must exist.

    Yields:
      The temporary path to write to. If the block raises, that file is deleted and
      `path` is untouched.

    Raises:
      InputError: the folder cannot be written to.
    """
    path = pathlib.Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
        os.close(handle)
    except OSError as error:
        raise InputError(
            f"{path.parent}: cannot write here ({error.strerror}); give a folder that "
            "exists and is writable."
        ) from error
    temporary = pathlib.Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); free some space "
            "or give another folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def make_directory(path: str | os.PathLike[str]) -> pathlib.Path:
    """Creates a folder if need be and checks that it is writable.

    Raises:
      InputError: the path is a file, or the folder cannot be created or written to.
    """
    if not str(path):
        raise InputError("the name of an output folder is empty; give a folder.")
    path = pathlib.Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot write to this output folder ({reason(error)}); give a "
            "folder that you may create or write to."
        ) from error
    return path


def remove(path: str | os.PathLike[str]) -> None:
    """Deletes a file if it exists.

    Raises:
      InputError: the file cannot be deleted.
    """
    try:
        pathlib.Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be deleted ({error.strerror}); delete it or give another "
            "folder."
        ) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file whole or not at all."""
    with replacing(path) as temporary:
        # Names of files may hold bytes that are no UTF-8.
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes readable JSON; NaN and infinities become null, as JSON has neither."""
    write_text(path, json.dumps(finite(value), indent=2, allow_nan=False) + "\n")


def check_file(path: str | os.PathLike[str], *, give: str) -> None:
    """Checks that there is a file, whatever the path: a loop of links, or no path.

    Args:
      path: the file.
      give: what the user can do, the last part of the error's sentence.

    Raises:
      InputError: there is no such file, or it is no regular one.
    """
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        link = os.path.islink(path)
        why = "a link that leads nowhere" if link else "no such file"
    except (OSError, ValueError) as error:
        why = f"cannot be read ({reason(error)})"
    else:
        if regular:
            return
        why = "no such file, but a folder" if os.path.isdir(path) else "not a file"
    raise InputError(f"{path}: {why}; {give}.")


def finite(value: Any) -> Any:
    """Replaces NaN and infinities by None, through dicts and lists."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_picture(
    path: str | os.PathLike[str], image: UInt8[np.ndarray, "height width 3"]
) -> None:
    """Writes an RGB picture as PNG, whole or not at all."""
    with replacing(path) as temporary:
        Image.fromarray(np.asarray(image)).save(temporary, format="PNG")


def read_picture(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "height width 3"]:
    """Reads a PNG, JPEG or WebP picture as RGB bytes, upright.

    The EXIF orientation is applied, grey becomes RGB, transparency is laid on white,
    and an animation yields its first frame.

    Args:
      path: the picture.

    Returns:
      uint8 `[H, W, 3]`.

    Raises:
      InputError: the file is missing, empty, no picture, damaged, larger than 40
        megapixels, or grey with 16 bits (16-bit colours are read by their high bytes).
    """
    with _opened(path) as picture:
        return _upright_rgb(picture)


def decode_picture(content: bytes, *, name: str) -> UInt8[np.ndarray, "height width 3"]:
    """Decodes a picture from the bytes of its file, as `read_picture` does.

    Args:
      content: the file's bytes.
      name: the picture's name in error messages.

    Returns:
      uint8 `[H, W, 3]`.

    Raises:
      InputError: as `read_picture`.
    """
    with _decoded(io.BytesIO(content), name, len(content)) as picture:
        return _upright_rgb(picture)


def read_stencil(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "height width"]:
    """Reads a mask picture as grey levels 0..255.

    Painting tools store a mask either as grey levels or, with a constant colour, in the
    alpha channel; whichever of the two varies is used.

    Raises:
      InputError: as `read_picture`.
    """
    with _opened(path) as picture:
        picture = ImageOps.exif_transpose(picture)
        if picture.has_transparency_data:
            *colour, alpha = picture.convert("RGBA").split()
            constant = all(len(set(band.getextrema())) == 1 for band in colour)
            if constant and len(set(alpha.getextrema())) > 1:
                return np.asarray(alpha)
        return np.asarray(picture.convert("L"))


def _upright_rgb(picture: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return np.asarray(picture.convert("RGB"))


def _opened(
    path: str | os.PathLike[str],
) -> contextlib.AbstractContextManager[Image.Image]:
    check_file(path, give="give a PNG, JPEG or WebP picture")
    return _decoded(path, path, os.path.getsize(path))


@contextlib.contextmanager
def _decoded(
    source: str | os.PathLike[str] | io.BytesIO,
    path: str | os.PathLike[str],
    size: int,
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
                _check_header(picture, path)
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


def _check_header(picture: Image.Image, path: str | os.PathLike[str]) -> None:
    width, height = picture.size
    framing.check_size(height, width, name=path)
    if width * height > _MAX_PIXELS:
        raise InputError(
            f"{path}: {width} x {height} pixels are too many; scale it below "
            f"{_MAX_PIXELS // 1_000_000} megapixels."
        )
    if picture.mode.startswith("I") or picture.mode == "F":
        raise InputError(
            f"{path}: {picture.mode} is more than 8 bits per channel; convert it to "
            "8 bits."
        )
