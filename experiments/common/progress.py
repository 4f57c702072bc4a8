"""Prints sentences and the progress of jobs.

On a terminal a job has a progress bar; elsewhere it prints a line every 15 seconds, so
that a log shows that the job runs and when it will end.
"""

import io
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import tqdm

from experiments.common import stopping
from inpaint_jax.errors import printable

_SECONDS = 15.0
_LINE = (
    "{desc}: {n_fmt} of {total_fmt}{unit} ({percentage:.0f} %), {rate_noinv_fmt}, "
    "{remaining} left{postfix}"
)

_UP = "\x1b[A"  # moves to the line above, if several jobs run

_Item = TypeVar("_Item")


def say(sentence: str) -> None:
    """Prints a sentence on one line, without delay, also into a pipe."""
    with tqdm.tqdm.external_write_mode(file=sys.stdout):
        print(printable(sentence), flush=True)


class Progress:
    """The progress bar, or lines, of one job.

    The clock starts at the first update, so that compilation does not count in the
    rate.
    """

    def __init__(self, what: str, *, unit: str, silent_seconds: float = 0.0) -> None:
        """Prepares the progress of a job.

        Args:
          what: name of the job, at the start of each line.
          unit: unit of its steps, in the plural.
          silent_seconds: a job that ends before prints no line (but shows a bar).
        """
        self._what, self._unit, self._silent = printable(what), unit, silent_seconds
        self._bar: tqdm.tqdm | None = None

    def update(
        self, step: int, done: float, values: Mapping[str, float] | None = None
    ) -> None:
        """Shows the progress, if the last line is 15 seconds ago.

        Args:
          step: number of steps taken.
          done: fraction of the job that is done, in [0, 1].
          values: {name: measured value} to show.
        """
        total = round(step / done) if done else None
        measured = (f"{name} {value:.4g}" for name, value in (values or {}).items())
        told = ", ".join(measured)
        if self._bar is None:
            about = self._what, step, total, self._unit
            self._bar = _bar(*about, postfix=told, silent=self._silent)
        self._bar.total = total
        self._bar.set_postfix_str(told, refresh=False)
        self._bar.update(step - self._bar.n)

    def close(self) -> None:
        """Shows the last progress and ends the job."""
        if self._bar is not None:
            _close(self._bar)


def over(
    items: Iterable[_Item], total: int, *, what: str, unit: str
) -> Iterator[_Item]:
    """Yields the items and shows how many are taken; stops in between if asked to.

    Args:
      items: any items.
      total: number of items.
      what: name of the job.
      unit: unit of the items, in the plural.
    """
    bar = _bar(what, 0, total, unit, silent=_SECONDS)
    for item in items:
        stopping.check()
        yield item
        bar.update()
    _close(bar)


def _close(bar: tqdm.tqdm) -> None:
    """Shows the last state of a bar, unless its last line shows it."""
    due = bar.delay <= bar.format_dict["elapsed"]
    lines = bar.bar_format == _LINE
    if lines and due and bar.last_print_n < bar.n:
        bar.refresh()
    bar.leave = not lines
    bar.close()


class _Lines(io.TextIOBase):
    """Prints tqdm's lines one below the other, in place of overwriting them."""

    def write(self, text: str) -> int:
        line = text.replace(_UP, "").strip()
        if line:
            print(line, flush=True)
        return len(text)


def _bar(
    what: str,
    first: int,
    total: int | None,
    unit: str,
    *,
    postfix: str = "",
    silent: float,
) -> tqdm.tqdm:
    common = {"desc": what, "initial": first, "total": total, "postfix": postfix}
    if sys.stderr.isatty():
        return tqdm.tqdm(**common, unit=f" {unit}", dynamic_ncols=True)
    return tqdm.tqdm(
        **common,
        unit=f" {unit}",
        file=_Lines(),
        bar_format=_LINE,
        mininterval=_SECONDS,
        miniters=0,
        delay=silent,
    )
