"""Searches followed through time: where each stood by a given second, as curves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import UInt8

from experiments.common import plots, statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT, _TIMES = 760, 640, 40
_LABELS = {"loss": "loss of the search", "psnr": "PSNR of the hole (dB)"}


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


Runs = list[list[Point]]
"""The search of each face."""


def standing(runs: Runs, seconds: float) -> list[Point] | None:
    """Returns where each search stood by then; None before all have got anywhere."""
    reached = [[p for p in run if p.seconds <= seconds][-1:] for run in runs]
    return [point for (point,) in reached] if all(reached) else None


def mean_at(runs: Runs, seconds: float) -> dict[str, float] | None:
    """Averages over the faces where each search stood by then.

    Args:
      runs: the search of each face.
      seconds: when to look.

    Returns:
      "loss", "psnr_hole" and "seconds"; None before each search has got anywhere.
    """
    points = standing(runs, seconds)
    if points is None:
        return None
    return {
        "loss": float(np.mean([p.loss for p in points])),
        "psnr_hole": float(np.mean([p.psnr for p in points])),
        "seconds": float(np.mean([p.seconds for p in points])),
    }


def draw(
    found: dict[str, Runs], *, longest: float
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws the mean loss above the mean PSNR of the hole, over seconds.

    Bands are the 95 % intervals of the means over the faces.

    Args:
      found: {name of a method: its runs}.
      longest: where the axis of seconds ends.

    Returns:
      An RGB picture.
    """
    times = np.geomspace(0.3, longest, _TIMES)

    def panels_of(figure: "Figure") -> None:
        every = figure.subplots(len(_LABELS), sharex=True)
        for axes, (value, label) in zip(every, _LABELS.items(), strict=True):
            for i, (name, runs) in enumerate(found.items()):
                _draw_mean(axes, runs, value, times, i, name)
            axes.set_ylabel(label)
        every[-1].set_xscale("log")
        every[-1].set_xlabel("seconds of a face")
        figure.align_ylabels(every)
        figure.legend(*every[0].get_legend_handles_labels(), loc="outside upper left")

    return plots.render(panels_of, width=_WIDTH, height=_HEIGHT)


def _draw_mean(
    axes: "Axes",
    runs: Runs,
    value: str,
    times: Sequence[float] | np.ndarray,
    index: int,
    name: str,
) -> None:
    """Draws a method's mean until its last search has ended, and the interval."""
    end = max(run[-1].seconds for run in runs)
    standings = [(t, standing(runs, t)) for t in times if t < 1.05 * end]
    rng = np.random.default_rng(0)
    curve = [
        (
            t,
            *statistics.interval(
                np.array([getattr(p, value) for p in points]), rng
            ).values(),
        )
        for t, points in standings
        if points is not None
    ]
    if not curve:
        return
    t, mean, low, high = np.transpose(curve)
    style = plots.line(index)
    axes.plot(t, mean, label=name, **style)
    axes.fill_between(t, low, high, color=style["color"], alpha=0.12, linewidth=0)
