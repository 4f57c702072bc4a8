"""Plots by matplotlib as pictures: how all of them look, and how they are rendered.

matplotlib is an extra, and takes a while to import; so it is imported by what draws.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from inpaint_jax import runtime

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 100
_LOOK: dict[Any, Any] = {
    "font.size": 10.0,
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.85",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
}
# Okabe and Ito's colours, which colour-blind readers tell apart; in grey the strokes
# and the markers do that.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
_STROKES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (9, 2)))
_MARKERS = ("o", "s", "D", "^", "v")


def check_available() -> None:
    """Checks that matplotlib can draw, before long work that ends with a plot.

    Raises:
      InputError: it is not installed, or cannot be imported.
    """
    runtime.optional("matplotlib.backends.backend_agg", extra="plots")


def line(index: int) -> dict[str, Any]:
    """Returns colour and stroke of the curve of this number, for `Axes.plot`."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": _STROKES[index % len(_STROKES)],
    }


def marker(index: int) -> dict[str, Any]:
    """Returns colour and marker of the group of this number, for `Axes.errorbar`."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": _MARKERS[index % len(_MARKERS)],
    }


def render(
    draw: Callable[["Figure"], None], *, width: int, height: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws a figure; the same data gives the same pixels whatever a user's settings.

    Args:
      draw: adds axes to the figure that it is given, and draws on them.
      width: of the picture in pixels.
      height: of the picture in pixels.

    Returns:
      An RGB picture, on white.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_LOOK)
        size = (width / _DPI, height / _DPI)
        figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        draw(figure)
        canvas.draw()
        return np.array(canvas.buffer_rgba())[..., :3]
