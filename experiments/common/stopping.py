"""Stops an application at a signal, between two steps, with every file complete.

A thread waits for SIGINT and SIGTERM, which all other threads block. So no signal is
lost in a callback, which is where Python may raise KeyboardInterrupt, and none has to
wait for compiled code. Only the standard library is imported: an application is watched
while it imports all else.
"""

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Iterator

_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
# How long a reader of the output who does not read may hold up the end.
_FLUSH_SECONDS = 1.0

asked: list[int] = []
"""The signal that asks the application to stop, once it has come."""

_deferring = threading.Event()


class Stopped(BaseException):
    """A signal asked the application to stop; no error that a loop may skip.

    Attributes:
      code: the exit code, as shells count it.
    """

    def __init__(self, number: int) -> None:
        """Takes the number of the signal."""
        super().__init__(_WORDS[signal.Signals(number)])
        self.code = 128 + number


@functools.cache  # one thread, however often it is called
def watch() -> None:
    """Begins to watch for signals; the main thread calls it before any other starts.

    A signal ends the process at once, unless it is `deferred`.
    """
    # A process in the background of a script ignores SIGINT, and goes on to.
    watched = {
        number for number in _WORDS if signal.getsignal(number) != signal.SIG_IGN
    }
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    threading.Thread(target=_wait, args=(watched,), daemon=True).start()


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Defers the first signal to the next `check`, at the latest to the block's end.

    Raises:
      Stopped: a signal came in the block.
    """
    _deferring.set()
    try:
        yield
        check()
    finally:
        _deferring.clear()


def check() -> None:
    """Stops the application if a signal asks for it; called between two steps.

    Raises:
      Stopped: a signal came.
    """
    if asked:
        raise Stopped(asked[0])


def _wait(watched: set[signal.Signals]) -> None:
    while True:
        number = signal.sigwait(watched)
        if asked or not _deferring.is_set():
            _end(number)
        asked.append(number)
        _say(
            "stopping when what runs now has ended, a compilation or some steps; a "
            "second signal ends at once"
        )


def _end(number: int) -> None:
    _say(f"error: {_WORDS[signal.Signals(number)]}; every file that is there is whole.")
    flusher = threading.Thread(target=_flush, daemon=True)
    flusher.start()
    flusher.join(_FLUSH_SECONDS)
    # Children inherit what is blocked, and would wait for work for ever.
    if "multiprocessing" in sys.modules:
        for child in sys.modules["multiprocessing"].active_children():
            child.kill()
    os._exit(128 + number)


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):
        # Not through sys.stderr: the thread that is interrupted may hold its lock.
        os.write(2, f"{sentence}\n".encode())


def _flush() -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
