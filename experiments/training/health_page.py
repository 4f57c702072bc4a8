"""The page that shows the verdict on a generator, its samples and its training."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from experiments.common import curves, reporting

_FACE, _COLUMNS, _MARGIN = 96, 8, 24  # the first and the last in pixels
_GRID = _COLUMNS * (_FACE + 2) + 2
_LINE, _CAPTION = 24, 26
_PASSED, _UNSURE, _FAILED = (30, 120, 50), (160, 100, 0), (190, 40, 30)

_Faces = UInt8[np.ndarray, "count height width 3"]


def draw(
    health: dict[str, Any],
    samples: _Faces,
    between: _Faces,
    panels: Mapping[str, Mapping[str, curves.Curve]],
) -> UInt8[np.ndarray, "height width 3"]:
    """Lays out the verdict, samples, interpolations and the curves of the training.

    Args:
      health: "fit", "verdict" and "model", see `health.check`.
      samples: up to 64 RGB pictures.
      between: rows of 8 pictures on the way from one sample to another.
      panels: curves of the training as `curves.draw` takes them, or none.
    """
    lines = [
        (line, _colour(sentence))
        for sentence in health["verdict"]
        for line in textwrap.wrap(sentence, 180, subsequent_indent="    ")
    ]
    top = 2 * _MARGIN + 34 + _LINE * len(lines)
    size = (3 * _MARGIN + 2 * _GRID, top + _CAPTION + _GRID + _MARGIN)
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    judged, colour = ("Fit", _PASSED) if health["fit"] else ("Not fit", _FAILED)
    title = f"{judged} for searching: {_name(health['model'])}"
    pen.text((_MARGIN, _MARGIN), title, colour, ImageFont.load_default(size=26))
    font = ImageFont.load_default(size=17)
    for i, (line, ink) in enumerate(lines):
        pen.text((_MARGIN, _MARGIN + 38 + i * _LINE), line, ink, font)

    left, right = _MARGIN, 2 * _MARGIN + _GRID
    pen.text((left, top), "Samples", reporting.INK, font)
    page.paste(_grid(samples), (left, top + _CAPTION))
    pen.text((right, top), "From one z to another", reporting.INK, font)
    lower = _grid(between)
    page.paste(lower, (right, top + _CAPTION))
    if panels:
        below = top + _CAPTION + lower.height + 8
        height = size[1] - _MARGIN - below
        drawn = curves.draw(panels, width=_GRID, height=height)
        page.paste(Image.fromarray(drawn), (right, below))
    return np.asarray(page)


def _colour(sentence: str) -> tuple[int, int, int]:
    if sentence.startswith(("FAILED", "not judged")):
        return _FAILED
    return _UNSURE if sentence.startswith("passed,") else reporting.INK


def _grid(images: _Faces) -> Image.Image:
    scaled = [
        Image.fromarray(image).resize((_FACE, _FACE), Image.Resampling.BICUBIC)
        for image in images
    ]
    rows = reporting.in_rows(np.stack(list(map(np.asarray, scaled))), _COLUMNS)
    return Image.fromarray(reporting.sheet(rows))


def _name(source: Mapping[str, Any]) -> str:
    step = f", step {source['step']}" if "step" in source else ""
    return f"{source.get('path', 'a model')}{step}"
