"""Draws the losses of a search against its steps, as SVG inside a page.

Colours are those of the page's classes `loss` and `best`, and of its text.
"""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

_WIDTH, _HEIGHT = 380, 200  # in units of the drawing
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 10, 36
_TICKS = 5
_DRAWN_RESTARTS = 64

Trace = Sequence[Mapping[str, Any]]
"""The lines of a search in `trace.jsonl`: step, loss and best_loss of each restart."""

Curve = list[tuple[float, float]]
"""Points (step, loss)."""


def svg(trace: Trace) -> str:
    """Draws the loss of each restart and the lowest loss so far.

    Where a schedule goes on with the best restarts only, lines end and others begin,
    as the restarts are in a new order. Losses that are not finite are left out.

    Args:
      trace: the lines of one search, in their order.

    Returns:
      An SVG element; a sentence if no loss is finite.
    """
    restarts = list(_restarts(trace))
    best = list(_pieces([(line["step"], _lowest(line)) for line in trace]))
    points = np.array([p for curve in [*restarts, *best] for p in curve])
    if not len(points):
        return "<p>No restart has a finite loss.</p>"
    plot = _Plot(points)
    drawn = [plot.curve(curve, "loss") for curve in restarts]
    drawn += [plot.curve(curve, "best") for curve in best]
    return (
        f'<svg class="curves" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        'aria-label="loss against step">'
        f"{plot.axes()}{''.join(drawn)}</svg>"
    )


def ticks(low: float, high: float, *, most: int) -> list[float]:
    """Returns round numbers from `low` to `high`: multiples of 1, 2 or 5 times 10^n.

    Args:
      low: lower end of an axis.
      high: upper end, above it.
      most: largest number of intervals.
    """
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


class _Plot:
    """Maps (step, loss) to places in the drawing."""

    def __init__(self, points: Float[np.ndarray, "points 2"]) -> None:
        low, high = points.min(axis=0), points.max(axis=0)
        # One step, or a loss that stays, still makes an axis.
        flat = high - low <= 1e-9 * np.abs(high)
        wide = np.maximum(np.abs(high), 1e-6)
        self._low = np.where(flat, low - 0.5 * wide, low)
        self._high = np.where(flat, high + 0.5 * wide, high)

    def curve(self, curve: Curve, name: str) -> str:
        """Returns a line, with a dot at each point."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self._place, curve))
        dots = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.6"/>'
            for x, y in map(self._place, curve)
        )
        return f'<g class="{name}"><polyline points="{path}"/>{dots}</g>'

    def axes(self) -> str:
        """Returns grid lines with their numbers, and what the axes are."""
        drawn = []
        for value in ticks(self._low[1], self._high[1], most=_TICKS):
            _, y = self._place((self._low[0], value))
            right = _WIDTH - _RIGHT
            drawn.append(f'<path d="M{_LEFT},{y:.1f}H{right}"/>')
            drawn.append(_text(_LEFT - 6, y + 4, f"{value:.4g}", "end"))
        steps = ticks(self._low[0], self._high[0], most=_TICKS)
        for value in sorted({round(step) for step in steps}):
            x, _ = self._place((value, self._low[1]))
            if _LEFT - 1 <= x <= _WIDTH - _RIGHT + 1:
                drawn.append(_text(x, _HEIGHT - _BOTTOM + 16, str(value), "middle"))
        middle = 0.5 * (_LEFT + _WIDTH - _RIGHT)
        drawn.append(_text(middle, _HEIGHT - 4, "step", "middle"))
        return f'<g class="axes">{"".join(drawn)}</g>'

    def _place(self, point: tuple[float, float]) -> tuple[float, float]:
        x, y = (np.array(point) - self._low) / (self._high - self._low)
        return (
            float(_LEFT + x * (_WIDTH - _LEFT - _RIGHT)),
            float(_HEIGHT - _BOTTOM - y * (_HEIGHT - _TOP - _BOTTOM)),
        )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {where}>{html.escape(text)}</text>"


def _restarts(trace: Trace) -> Iterator[Curve]:
    """Yields the losses of each restart, in pieces where it was in one place."""
    first = 0
    for i in range(1, len(trace) + 1):
        count = len(trace[first].get("loss", ()))
        if i < len(trace) and len(trace[i].get("loss", ())) == count:
            continue
        stage = trace[first:i]
        for k in range(min(count, _DRAWN_RESTARTS)):
            yield from _pieces([(line["step"], line["loss"][k]) for line in stage])
        first = i


def _lowest(line: Mapping[str, Any]) -> float:
    finite = [loss for loss in line.get("best_loss", ()) if math.isfinite(loss)]
    return min(finite, default=math.nan)


def _pieces(curve: Curve) -> Iterator[Curve]:
    """Yields the parts of a curve in which all losses are finite."""
    piece: Curve = []
    for step, loss in [*curve, (0.0, math.nan)]:
        if math.isfinite(loss):
            piece.append((step, loss))
        elif piece:
            yield piece
            piece = []
