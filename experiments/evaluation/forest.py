"""A forest plot: differences with their intervals, a panel for each metric."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import UInt8

from experiments.common import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# In pixels: a panel, the names of the rows by letters, a mark, the space between rows,
# what is above and below the rows.
_PANEL, _LETTER, _MARK, _SPACE, _AROUND = 220, 9, 14, 14, 150


class Mark(NamedTuple):
    """One difference.

    Attributes:
      value: the estimate.
      low: lower end of its interval.
      high: upper end of its interval.
      real: whether the difference is established; its marker is then full.
    """

    value: float
    low: float
    high: float
    real: bool


Panel = dict[str, dict[str, Mark]]
"""{row: {group: mark}}"""


def draw(
    panels: dict[str, Panel], *, labels: dict[str, str], caption: str
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws one panel beside the other, each with its own scale around 0.

    Args:
      panels: {title: panel}, all with the same rows and groups. Groups are told apart
        by colour and marker; a mark with a NaN is left out.
      labels: {title: what the horizontal axis shows}.
      caption: what all of them show.

    Returns:
      An RGB picture.
    """
    first = next(iter(panels.values()))
    rows, groups = list(first), list(next(iter(first.values())))

    def panels_of(figure: "Figure") -> None:
        every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (title, panel) in zip(every, panels.items(), strict=True):
            axes.axvline(0.0, color="black", linewidth=0.8)
            for i, row in enumerate(panel.values()):
                for j, group in enumerate(groups):
                    offset = (j - (len(groups) - 1) / 2) * _MARK
                    y = i + offset / (_MARK * len(groups) + _SPACE)
                    _draw_mark(axes, row[group], y, j)
            _finish(axes, title, labels[title])
        every[0].set_yticks(range(len(rows)), rows)
        every[0].set_ylim(len(rows) - 0.5, -0.5)
        _add_legend(figure, groups)
        figure.supxlabel(caption, fontsize="medium")

    width = _LETTER * max(map(len, rows)) + _PANEL * len(panels)
    height = _AROUND + (_MARK * len(groups) + _SPACE) * len(rows)
    return plots.render(panels_of, width=width, height=height)


def _draw_mark(axes: "Axes", mark: Mark, y: float, group: int) -> None:
    if not np.isfinite(mark[:3]).all():
        return
    style = plots.marker(group)
    axes.plot([mark.low, mark.high], [y, y], color=style["color"])
    fill = style["color"] if mark.real else "white"
    axes.plot(mark.value, y, markerfacecolor=fill, markersize=6, **style)


def _finish(axes: "Axes", title: str, label: str) -> None:
    """Titles a panel, and makes its scale reach as far to the left as to the right."""
    reach = float(np.abs(axes.get_xlim()).max())
    unit = 10.0 ** math.floor(math.log10(reach))
    end = math.floor(reach / unit) * unit  # a number of one digit
    axes.set_xlim(-reach, reach)
    axes.set_xticks([-end, 0.0, end], [f"{-end:g}", "0", f"+{end:g}"])
    axes.set_xticks([-end / 2, end / 2], minor=True)
    axes.grid(axis="x", which="minor")
    axes.set_title(title)
    axes.set_xlabel(label)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", visible=False)


def _add_legend(figure: "Figure", groups: Sequence[str]) -> None:
    """Says which marker is which group, and what a full one means."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], label=group, **plots.marker(i)) for i, group in enumerate(groups)
    ]
    for label, fill in (("established", "black"), ("not established", "white")):
        handles.append(
            Line2D(
                *([], []),
                label=label,
                color="black",
                linestyle="",
                marker="o",
                markerfacecolor=fill,
            )
        )
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
