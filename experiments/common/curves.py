"""Curves of a training's log, drawn with Pillow alone."""

import json
import math
import os
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from inpaint_jax.errors import InputError

Curve = list[tuple[float, float]]
"""(step, value) in the order of the steps."""

INK, FAINT = (30, 30, 30), (200, 200, 200)
_COLOURS = (
    (31, 99, 176),
    (200, 75, 20),
    (40, 130, 60),
    (140, 60, 150),
    (120, 120, 120),
)
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 22, 20


def read(
    path: str | os.PathLike[str], *, names: Sequence[str]
) -> dict[str, list[tuple[float, float]]]:
    """Reads curves from a `metrics.jsonl`.

    Args:
      path: the log.
      names: which values; those that are nowhere in the log are left out.

    Returns:
      {name: curve}, in the order of `names`.

    Raises:
      InputError: it is no such log.
    """
    curves: dict[str, Curve] = {name: [] for name in names}
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                values = json.loads(line)
                for name in names:
                    if values.get(name) is not None:
                        curves[name].append(
                            (float(values["step"]), float(values[name]))
                        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not the log of a training ({error}).") from error
    return {name: curve for name, curve in curves.items() if curve}


def chart(
    curves: dict[str, Curve],
    *,
    width: int,
    height: int,
    axis: str = "step {}",
    logarithmic: bool = False,
) -> Image.Image:
    """Draws curves over the steps in one frame, with their names above it.

    Args:
      curves: at least one, none of them empty.
      width: of the picture in pixels.
      height: of the picture in pixels.
      axis: how the first number under the frame is written.
      logarithmic: whether equal ratios of steps take equal room.

    Returns:
      An RGB picture, black on white.
    """
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=14)
    points = [point for curve in curves.values() for point in curve]
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    low, high = _rounded(min(y for _, y in points), max(y for _, y in points))
    right, bottom = width - _RIGHT, height - _BOTTOM

    scale = math.log if logarithmic else float

    def place(x: float, y: float) -> tuple[float, float]:
        span = scale(last) - scale(first)
        across = (scale(x) - scale(first)) / max(span, 1e-9)
        up = (y - low) / (high - low)
        return _LEFT + across * (right - _LEFT), bottom - up * (bottom - _TOP)

    for value in (low, (low + high) / 2, high):
        _, y = place(first, value)
        draw.line([(_LEFT, y), (right, y)], fill=FAINT)
        draw.text((_LEFT - 5, y), f"{value:g}", INK, font, anchor="rm")
    draw.text((_LEFT, height - 2), axis.format(f"{first:.3g}"), INK, font, anchor="ls")
    draw.text((right, height - 2), f"{last:g}", INK, font, anchor="rs")
    x = _LEFT
    for colour, (name, curve) in zip(_COLOURS, curves.items(), strict=False):
        draw.line([place(*point) for point in curve], fill=colour, width=1)
        draw.text((x, 2), name, colour, font)
        x += round(draw.textlength(name, font)) + 18
    return image


def _rounded(low: float, high: float) -> tuple[float, float]:
    """The range to draw: two digits of its length are enough."""
    unit = 10.0 ** math.floor(math.log10(max(high - low, 1e-3))) / 2
    return math.floor(low / unit) * unit, math.ceil(high / unit + 1e-9) * unit
