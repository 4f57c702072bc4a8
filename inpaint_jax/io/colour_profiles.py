"""Converts pictures to sRGB by the ICC profiles that they carry."""

import functools
import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms

# Modes of pictures that a profile of each colour space describes.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
# Steps of each channel in the colours by which a profile is compared with sRGB.
_STEPS = 9
_IGNORED = "its colour profile is ignored, as it"


def to_srgb(picture: Image.Image) -> tuple[Image.Image, bool, str]:
    """Converts a picture to sRGB if it carries another profile.

    Args:
      picture: of any mode with 8 bits a channel.

    Returns:
      The picture: as it was if nothing was to be converted, otherwise of mode RGB, or
      RGBA if it has transparency; whether it was converted; and what is to be said of a
      profile that cannot be used, without a full stop ("" if there is none).
    """
    content = picture.info.get("icc_profile")
    if not content:
        return picture, False, ""
    try:
        space, transform = _transform(content)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        del error  # LCMS only says that it cannot open it
        return picture, False, f"{_IGNORED} is damaged"
    alpha = None
    colours = picture
    if picture.has_transparency_data:
        colours = picture.convert("RGBA")
        alpha = colours.getchannel("A")
    if (space == "CMYK") != (picture.mode == "CMYK"):
        return picture, False, f"{_IGNORED} is one for {space or 'other'} pictures"
    if space == "GRAY" and not is_grey(picture):
        return picture, False, f"{_IGNORED} is one for grey pictures"
    if transform is None:
        return picture, False, ""
    converted = transform.apply(colours.convert(_MODES[space]))
    if alpha is not None:
        converted.putalpha(alpha)
    return converted, True, ""


def is_grey(picture: Image.Image) -> bool:
    """Returns whether a picture's mode, or its palette, has grey levels only."""
    if picture.mode in ("P", "PA"):
        palette = np.array(picture.getpalette() or [0, 0, 0], np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return picture.mode in ("1", "L", "LA", "La")


@functools.lru_cache(maxsize=16)
def _transform(content: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """Returns a profile's colour space and its way to sRGB; None if it is sRGB."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
    core: Any = profile.profile  # Pillow declares it as the file that it came from
    space = core.xcolor_space.strip()
    if space not in _MODES:
        raise ValueError(space)
    mode = _MODES[space]
    transform = ImageCms.buildTransform(
        profile, ImageCms.createProfile("sRGB"), mode, "RGB"
    )
    if mode == "CMYK":
        return space, transform
    # A profile's description does not tell: many are edited copies of that of sRGB.
    probe = _colours().convert(mode)
    before = np.asarray(probe.convert("RGB"), np.int16)
    after = np.asarray(transform.apply(probe), np.int16)
    return space, None if np.abs(after - before).max() <= 1 else transform


def _colours() -> Image.Image:
    levels = np.linspace(0, np.iinfo(np.uint8).max, _STEPS).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    return Image.fromarray(np.ascontiguousarray(cube.reshape(_STEPS, -1, 3)))
