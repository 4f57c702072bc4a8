"""A forest plot: differences with their intervals, drawn with Pillow alone."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from experiments.common import curves

COLOURS = ((31, 99, 176), (200, 75, 20), (40, 130, 60), (140, 60, 150))
_PANEL, _GAP = 230, 16
_TOP, _BOTTOM, _LINE, _SPACE = 62, 26, 16, 10
_DOT = 3


Colour = tuple[int, int, int]
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
Place = Callable[[float], float]
"""Where a value lies across the picture."""


class Mark(NamedTuple):
    """One difference.

    Attributes:
      value: where the dot is.
      low: where its line begins.
      high: where it ends.
      real: whether the dot is full.
    """

    value: float
    low: float
    high: float
    real: bool


def draw(
    panels: dict[str, dict[str, dict[str, Mark]]], *, notes: dict[str, str]
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws one panel beside the other, each with its own scale around 0.

    Args:
      panels: {title: {row: {group: mark}}}, all with the same rows and groups. Groups
        are told apart by colour; what is NaN is left out.
      notes: {title: a line under it}.

    Returns:
      An RGB picture, black on white.
    """
    first = next(iter(panels.values()))
    rows, groups = list(first), list(next(iter(first.values())))
    height = _LINE * len(groups) + _SPACE
    bottom = _TOP + height * len(rows)
    font = ImageFont.load_default(size=14)
    names = 2 * _GAP + math.ceil(max(map(font.getlength, rows)))
    size = (names + (_PANEL + _GAP) * len(panels), bottom + _BOTTOM)
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    _legend(pen, groups, names, font)
    for i, row in enumerate(rows):
        middle = _TOP + height * (i + 0.5)
        pen.text((names - _GAP, middle), row, curves.INK, font, anchor="rm")
    for k, (title, marks) in enumerate(panels.items()):
        left = names + k * (_PANEL + _GAP)
        pen.text((left, 22), title, curves.INK, font)
        pen.text((left, 40), notes[title], curves.INK, font)
        place = _axis(pen, marks, left, bottom, font)
        for i, row in enumerate(marks.values()):
            for j, mark in enumerate(row.values()):
                y = _TOP + height * i + _SPACE / 2 + _LINE * (j + 0.5)
                _mark(pen, mark, place, y, COLOURS[j % len(COLOURS)])
    return np.asarray(image)


def _axis(
    pen: ImageDraw.ImageDraw,
    marks: dict[str, dict[str, Mark]],
    left: float,
    bottom: float,
    font: Font,
) -> Place:
    """Draws the scale of a panel; returns where a value lies on it."""
    reach = _reach([mark for row in marks.values() for mark in row.values()])

    def place(value: float) -> float:
        return left + (1.0 + value / reach) * _PANEL / 2

    for value, anchor in ((-reach, "lt"), (0.0, "mt"), (reach, "rt")):
        x, colour = place(value), curves.FAINT if value else curves.INK
        pen.line([(x, _TOP), (x, bottom)], fill=colour)
        text = f"{value:+g}" if value else "0"
        pen.text((x, bottom + 6), text, curves.INK, font, anchor=anchor)
    return place


def _legend(
    pen: ImageDraw.ImageDraw, groups: Sequence[str], x: float, font: Font
) -> None:
    for group, colour in zip(groups, COLOURS, strict=False):
        pen.text((x, 2), group, colour, font)
        x += round(pen.textlength(group, font)) + 18
    pen.text((x, 2), "(full: established; hollow: not)", curves.INK, font)


def _mark(
    pen: ImageDraw.ImageDraw, mark: Mark, place: Place, y: float, colour: Colour
) -> None:
    if not np.isfinite(mark[:3]).all():
        return
    pen.line([(place(mark.low), y), (place(mark.high), y)], fill=colour, width=2)
    x = place(mark.value)
    fill = colour if mark.real else "white"
    pen.ellipse((x - _DOT, y - _DOT, x + _DOT, y + _DOT), fill=fill, outline=colour)


def _reach(marks: Iterable[Mark]) -> float:
    """The end of the scale: the furthest end of a line, rounded up to one digit."""
    ends = [abs(end) for mark in marks for end in mark[1:3] if math.isfinite(end)]
    furthest = max([*ends, 1e-9])
    unit = 10.0 ** math.floor(math.log10(furthest))
    return math.ceil(furthest / unit) * unit
