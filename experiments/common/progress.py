"""What an application tells while it works: sentences, and how far a job has come.

On a terminal a job is a bar; elsewhere it is a line every quarter of a minute, so that
a log shows that the job is alive and when it will end.
"""

import io
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import tqdm

_SECONDS = 15.0
_LINE = (
    "{desc}: {n_fmt} of {total_fmt}{unit} ({percentage:.0f} %), {rate_noinv_fmt}, "
    "{remaining} left{postfix}"
)

_UP = "\x1b[A"  # to the line above, where several jobs are on their way

_Item = TypeVar("_Item")


def say(sentence: str) -> None:
    """Prints a sentence at once, also into a pipe."""
    with tqdm.tqdm.external_write_mode(file=sys.stdout):
        print(sentence, flush=True)


class Progress:
    """How far a job has come.

    The clock starts at the first update: what came before was compilation, and tells
    nothing of the rate.
    """

    def __init__(self, what: str, *, unit: str, silent_seconds: float = 0.0) -> None:
        """Prepares a job.

        Args:
          what: name of the job, before each line.
          unit: of its steps, in the plural.
          silent_seconds: a job that ends before has no line (but has a bar).
        """
        self._what, self._unit, self._silent = what, unit, silent_seconds
        self._bar: tqdm.tqdm | None = None

    def update(
        self, step: int, done: float, values: Mapping[str, float] | None = None
    ) -> None:
        """Tells where the job stands, if it is time.

        Args:
          step: number of steps taken.
          done: fraction of the job that is over, in [0, 1].
          values: what was measured.
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
        """Shows the last state."""
        if self._bar is not None:
            self._bar.close()


def over(
    items: Iterable[_Item], total: int, *, what: str, unit: str
) -> Iterator[_Item]:
    """Passes items on, and tells how many are done.

    Args:
      items: anything.
      total: how many there are.
      what: name of the job.
      unit: of the items, in the plural.
    """
    bar = _bar(what, 0, total, unit, silent=_SECONDS)
    bar.iterable = items
    yield from bar


class _Lines(io.TextIOBase):
    """Takes tqdm's lines, which overwrite one another on a terminal, one by one."""

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
