"""Searches followed through time: where each stood by a given second, as curves."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from experiments.common import plots, statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 760, 640
_POINTS = 60  # of a curve
_TIMES = (0.2, 0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 60)  # of the ticks and intervals
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

    Bars are the 95 % intervals of the means over the faces, at some of the times.

    Args:
      found: {name of a method: its runs}.
      longest: how many seconds are drawn.

    Returns:
      An RGB picture.
    """

    def panels_of(figure: "Figure") -> None:
        every = figure.subplots(len(_LABELS), sharex=True)
        for axes, (value, label) in zip(every, _LABELS.items(), strict=True):
            for i, (name, runs) in enumerate(found.items()):
                _draw_method(axes, runs, value, longest, i)
                both = {**plots.line(i), **plots.marker(i)}
                axes.plot([], [], label=name, **both)
            axes.set_ylabel(label)
        every[-1].set_xscale("log")
        start = min(map(_start, found.values()))
        ticks = [t for t in _TIMES if start <= t <= longest]
        every[-1].set_xticks(ticks, [f"{t:g}" for t in ticks])
        every[-1].set_xticks([], minor=True)
        every[-1].set_xlabel("time for a face (s)")
        figure.align_ylabels(every)
        handles, names = every[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=3)

    return plots.render(panels_of, width=_WIDTH, height=_HEIGHT)


def _start(runs: Runs) -> float:
    """The second by which all searches have got somewhere."""
    return max(run[0].seconds for run in runs)


def _draw_method(
    axes: "Axes", runs: Runs, value: str, longest: float, index: int
) -> None:
    """Draws a method's mean until its last search has ended, with some intervals."""
    start, last = _start(runs), max(run[-1].seconds for run in runs)
    end = min(1.08 * longest, last)  # with room for the last bars
    if start > end:
        return

    def of_faces(seconds: float) -> Float[np.ndarray, " faces"]:
        return np.array([getattr(p, value) for p in standing(runs, seconds) or []])

    times = np.maximum(start, np.geomspace(start, end, _POINTS))  # despite rounding
    axes.plot(times, [of_faces(t).mean() for t in times], **plots.line(index))
    style = plots.marker(index)
    for time in _TIMES:
        time *= 1.04 ** (index - 2)  # or the bars of the methods would hide each other
        if start <= time <= end:
            found = statistics.interval(of_faces(time), np.random.default_rng(0))
            ends = found["low"], found["high"]
            axes.plot([time, time], ends, color=style["color"], linewidth=1.0)
            axes.plot(time, found["mean"], markersize=5, **style)
