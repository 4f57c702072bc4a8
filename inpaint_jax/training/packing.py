"""A set of faces as one small file: a zip archive of lossy WebP pictures.

`zip:FILE` as a source gives the faces back in their order. The same faces make the same
bytes, with the same version of the WebP encoder.
"""

import bisect
import io
import json
import os
import zipfile
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from inpaint_jax import runtime
from inpaint_jax.errors import InputError
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import pixels
from inpaint_jax.io import files, picture_files

MAX_QUALITY = 95
_AT_ONCE = 500
_ABOUT = {"faces", "size", "format", "quality"}
_SLOWEST = 6  # of WebP's methods, which makes the smallest files

_Images = UInt8[np.ndarray, "count size size 3"]


class Packed(NamedTuple):
    """What an archive of faces holds.

    Attributes:
      faces: how many.
      bytes_per_face: size of the archive divided by the number of faces.
      quality: of WebP, 0 to 95.
      psnr: of each packed face against the original, in dB; infinite where they agree.
    """

    faces: int
    bytes_per_face: float
    quality: int
    psnr: Float[np.ndarray, " faces"]

    def __str__(self) -> str:
        """Describes the archive in one line."""
        return (
            f"{self.faces} faces, {self.bytes_per_face:.0f} bytes each, WebP quality "
            f"{self.quality}, PSNR {np.median(self.psnr):.1f} dB (median), "
            f"{np.min(self.psnr):.1f} dB (worst)"
        )


def pack(
    path: str | os.PathLike[str],
    images: _Images,
    *,
    bytes_per_face: int = 1500,
    sample: int = 400,
) -> Packed:
    """Writes faces to an archive, with the best quality that its size allows.

    No file is left if this fails. Members are named by their number, so that sorting
    keeps the order. The archive's comment is a JSON object with count, size, format and
    quality.

    Args:
      path: the .zip to write; its folder must exist.
      images: framed faces, in memory or mapped from a file.
      bytes_per_face: what the archive may take for each of them, on average. The
        quality is the highest up to 95 that keeps to it, by a sample of them and then
        by all.
      sample: at most how many faces are in that sample.

    Returns:
      What was written.

    Raises:
      InputError: even the lowest quality is larger.
      OutputError: the file cannot be written.
    """
    quality = _highest_quality(images[:: -(-len(images) // sample)], bytes_per_face)
    while True:
        pictures = _encode(images, quality)
        archive = _archive(pictures, images.shape[1], quality)
        size = len(archive) / len(images)
        if size <= bytes_per_face:
            break
        if quality == 0:
            raise InputError(
                f"{path}: the faces take {size:.0f} bytes each at the lowest quality, "
                f"above {bytes_per_face}; give smaller ones."
            )
        quality -= 1
    with files.replacing(path) as temporary:
        temporary.write_bytes(archive)
    return Packed(len(images), size, quality, _psnr(pictures, images))


def is_packed(path: str | os.PathLike[str]) -> bool:
    """Returns whether a file is an archive that `pack` wrote, by its comment."""
    try:
        with files.reading(path) as file, zipfile.ZipFile(file) as archive:
            about = json.loads(archive.comment)
    except Exception:  # damage shows as BadZipFile, struct.error and others
        return False
    return isinstance(about, dict) and about.keys() >= _ABOUT


def _highest_quality(sample: _Images, bytes_per_face: int) -> int:
    def size(quality: int) -> float:
        archive = _archive(_encode(sample, quality), sample.shape[1], quality)
        return len(archive) / len(sample)

    larger = bisect.bisect_right(range(MAX_QUALITY + 1), bytes_per_face, key=size)
    return max(larger - 1, 0)


def _encode(images: _Images, quality: int) -> list[bytes]:
    def encoded(image: UInt8[np.ndarray, "size size 3"]) -> bytes:
        buffer = io.BytesIO()
        picture = Image.fromarray(np.asarray(image))
        picture.save(buffer, format="WEBP", quality=quality, method=_SLOWEST)
        return buffer.getvalue()

    return runtime.in_threads(encoded, list(images))


def _archive(pictures: list[bytes], size: int, quality: int) -> bytes:
    about = {
        "faces": len(pictures),
        "size": size,
        "format": "WebP",
        "quality": quality,
    }
    width = len(str(len(pictures)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = json.dumps(about).encode()
        for i, picture in enumerate(pictures):
            # The date of a ZipInfo is 1980 unless it is given; the rest depends on
            # the system that it is made on.
            member = zipfile.ZipInfo(f"{i:0{width}d}.webp")
            member.create_system = 3
            member.external_attr = 0o644 << 16
            archive.writestr(member, picture)
    return buffer.getvalue()


def _psnr(pictures: list[bytes], images: _Images) -> Float[np.ndarray, " count"]:
    found = []
    for start in range(0, len(images), _AT_ONCE):
        chunk = pictures[start : start + _AT_ONCE]
        packed = np.stack([picture_files.decode(p, name="packed") for p in chunk])
        original = np.asarray(images[start : start + _AT_ONCE])
        score = metrics.psnr(pixels.from_bytes(packed), pixels.from_bytes(original))
        found.append(np.asarray(score))
    return np.concatenate(found)
