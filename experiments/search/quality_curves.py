"""Searches followed through time: where each stood by a given second, as curves."""

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from experiments.common import curves

_WIDTH, _HEIGHT = 760, 260


class Point(NamedTuple):
    """Where a search stands.

    Attributes:
      seconds: since it began, compilation apart.
      loss: lowest of all restarts so far.
      psnr: of the completed hole, in dB.
    """

    seconds: float
    loss: float
    psnr: float


def mean_at(runs: list[list[Point]], seconds: float) -> dict[str, float] | None:
    """Averages over the faces where each search stood by then.

    Args:
      runs: the search of each face.
      seconds: when to look.

    Returns:
      "loss", "psnr_hole" and "seconds"; None before each search has got anywhere.
    """
    reached = [[p for p in run if p.seconds <= seconds][-1:] for run in runs]
    if not all(reached):
        return None
    points = [point for (point,) in reached]
    return {
        "loss": float(np.mean([p.loss for p in points])),
        "psnr_hole": float(np.mean([p.psnr for p in points])),
        "seconds": float(np.mean([p.seconds for p in points])),
    }


def drawn(
    found: dict[str, list[list[Point]]], *, longest: float
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws the loss above the PSNR of the hole, over a logarithmic axis of seconds.

    Args:
      found: {name of a method: its runs}.
      longest: where the axis ends.
    """
    times = np.geomspace(0.3, longest, 60)
    charts = []
    for value in ("loss", "psnr_hole"):
        lines = {}
        for name, runs in found.items():
            end = max(run[-1].seconds for run in runs)
            means = ((t, mean_at(runs, t)) for t in times if t < 1.05 * end)
            lines[name] = [(t, mean[value]) for t, mean in means if mean is not None]
        charts.append(
            curves.chart(
                lines,
                width=_WIDTH,
                height=_HEIGHT,
                axis=f"{value}; {{}} s",
                logarithmic=True,
            )
        )
    page = Image.new("RGB", (_WIDTH, 2 * _HEIGHT), "white")
    for chart, top in zip(charts, itertools.count(0, _HEIGHT), strict=False):
        page.paste(chart, (0, top))
    return np.asarray(page)
