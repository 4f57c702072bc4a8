"""Crops the square around the face out of a picture, and locates the face in it.

A picture with the proportions of aligned CelebA pictures (178 x 218, at any scale) is
cropped around the face, with a side given in CelebA pixels; any other picture is
cropped to its central square.
"""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from inpaint_jax.errors import InputError

CELEBA_WIDTH, CELEBA_HEIGHT = 178, 218
_PROPORTION_TOLERANCE = 0.01
_MIN_SIDE = 8
# Median bounding box of dlib's detector on 200 aligned CelebA pictures: corners in
# CelebA pixels from the centre of the picture.
_ALIGNED_BOX = (-46.0, -18.0, 44.0, 72.0)
# Median of dlib's face chips (padding 0.25) in 286 aligned CelebA pictures: edges in
# CelebA pixels from the centre of the picture.
_ALIGNED_CHIP = (-53.0, -29.0, 55.0, 79.0)


def frame(
    picture: UInt8[np.ndarray, "height width 3"], *, crop: int, size: int
) -> UInt8[np.ndarray, "size size 3"]:
    """Cuts the face's square out of a picture and scales it.

    Args:
      picture: RGB bytes of any size.
      crop: side of the square in CelebA pixels (128: whole jaw; 108: as earlier DCGAN
        code); used for pictures with CelebA's proportions only.
      size: side of the result in pixels.

    Returns:
      uint8 `[size, size, 3]`; not resampled if the square already has that size.
    """
    height, width = picture.shape[:2]
    side = crop_side(height, width, crop=crop)
    left, top = (width - side) // 2, (height - side) // 2
    square = picture[top : top + side, left : left + side]
    if side == size:
        return np.ascontiguousarray(square)
    scaled = Image.fromarray(square).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(scaled)


def check_size(height: int, width: int, *, name: object) -> None:
    """Checks that a picture is large enough to show anything.

    Args:
      height: in pixels.
      width: in pixels.
      name: the picture's name in the error message.

    Raises:
      InputError: a side is below 8 pixels.
    """
    if min(height, width) < _MIN_SIDE:
        raise InputError(
            f"{name}: {width} x {height} pixels are too few; give a picture of at "
            f"least {_MIN_SIDE} x {_MIN_SIDE}."
        )


def crop_side(height: int, width: int, *, crop: int) -> int:
    """Returns the side of the square that `frame` cuts out of a picture, in pixels."""
    side = min(height, width)
    if is_aligned(height, width):
        side = min(side, round(crop * width / CELEBA_WIDTH))
    return side


def is_aligned(height: int, width: int) -> bool:
    """Returns whether a picture has the proportions of aligned CelebA pictures."""
    expected = CELEBA_WIDTH / CELEBA_HEIGHT
    return abs(width / height - expected) <= _PROPORTION_TOLERANCE * expected


def aligned_box(*, crop: int, size: int) -> tuple[int, int, int, int]:
    """Returns the face's usual bounding box in a cropped, aligned CelebA picture.

    Args:
      crop: side of the crop in CelebA pixels.
      size: height and width of the image in pixels.

    Returns:
      (left, top, right, bottom), inclusive, in pixels of the image.
    """
    scale = size / crop
    left, top, right, bottom = (
        round(size / 2 + offset * scale) for offset in _ALIGNED_BOX
    )
    return left, top, right, bottom


def aligned_chip(*, crop: int, size: int) -> tuple[float, float, float, float]:
    """Returns where dlib's face chip usually lies in a cropped, aligned CelebA picture.

    Args:
      crop: side of the crop in CelebA pixels.
      size: height and width of the image in pixels.

    Returns:
      (left, top, right, bottom), edges in pixels of the image, which may lie outside.
    """
    left, top, right, bottom = (size / 2 + edge * size / crop for edge in _ALIGNED_CHIP)
    return left, top, right, bottom
