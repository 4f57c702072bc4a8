"""The queue of searches: one runs at a time, the others wait in their order."""

import collections
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from experiments.common import failures, progress, stopping
from experiments.page import engines
from experiments.page.completing import Completed, Event

Work = Callable[[], Iterator[Event | Completed]]
"""Begins a completion, see `completing.complete`."""

_ABANDONED = 20.0  # seconds without anyone who watches, after which a job is cancelled


class Full(Exception):
    """No more jobs can wait."""


class Job:
    """A completion that waits, runs or has ended.

    Attributes:
      id: its name, which nobody can guess.
      work: begins it.
      events: what its watchers are told, so far.
      completed: the result, if it has ended well.
      ended: whether there will be no more events.
      watched: when somebody last asked for its events.
    """

    def __init__(self, work: Work) -> None:
        """Takes what to do."""
        self.id = secrets.token_urlsafe(16)
        self.work = work
        self.events: list[Event] = []
        self.completed: Completed | None = None
        self.ended = False
        self.watched = time.monotonic()
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ends the job before its next step, or before it begins."""
        self._cancelled.set()

    def run(self, *, seconds: float) -> None:
        """Does the work in this thread, and tells how it ended.

        Args:
          seconds: that it may take; then it ends without a result.
        """
        deadline = time.monotonic() + seconds
        engines.CHECK.set(lambda: self._check(deadline, seconds))
        try:
            for event in self.work():
                if isinstance(event, Completed):
                    self.completed = event
                else:
                    self.events.append(event)
                    self._check(deadline, seconds)
        except engines.Ended as ended:
            self.fail(str(ended))
        except stopping.Stopped:
            self.fail("the server is being stopped.")
        except Exception as error:
            code, sentence = failures.of(error)
            if code == failures.INTERNAL:
                progress.say(sentence)
                sentence = "internal error; its kind is told where the server runs."
            self.fail(sentence)
        finally:
            self.ended = True
            del self.work  # and with it the photograph

    def fail(self, sentence: str) -> None:
        """Ends the job without a result."""
        self.completed = None
        self.events.append({"kind": "failed", "error": sentence})
        self.ended = True

    def is_dropped(self) -> bool:
        """Returns whether it was cancelled, or nobody has watched it for a while."""
        alone = time.monotonic() - self.watched > _ABANDONED
        return self._cancelled.is_set() or alone

    def _check(self, deadline: float, seconds: float) -> None:
        """Ends the job if it is to end, unless all that was to be done is done."""
        if self.completed is not None:
            return
        if self.is_dropped():
            raise engines.Ended("cancelled.")
        if time.monotonic() > deadline:
            raise engines.Ended(
                f"--most_seconds={seconds:g}: the search takes longer; give fewer "
                "restarts or steps."
            )


class Queue:
    """Runs jobs in the order in which they came, in one thread."""

    def __init__(self, *, most: int, seconds: float) -> None:
        """Starts the thread.

        Args:
          most: number of jobs that may wait.
          seconds: that a job may run.
        """
        self._most, self._seconds = most, seconds
        self._waiting: collections.deque[Job] = collections.deque()
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="searches", daemon=True).start()

    def add(self, work: Work) -> Job:
        """Adds a job at the end.

        Raises:
          Full: as many wait as may.
        """
        with self._changed:
            self._forget_dropped()
            if len(self._waiting) >= self._most:
                raise Full
            job = Job(work)
            self._waiting.append(job)
            self._changed.notify()
        return job

    def before(self, job: Job) -> int:
        """Returns how many jobs come before one; 0 if it runs or has ended."""
        with self._changed:
            self._forget_dropped()
            return self._waiting.index(job) + 1 if job in self._waiting else 0

    def _forget_dropped(self) -> None:
        for job in [each for each in self._waiting if each.is_dropped()]:
            self._waiting.remove(job)
            job.fail("cancelled.")

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                self._forget_dropped()
                job = self._waiting.popleft() if self._waiting else None
            if job is not None:
                job.run(seconds=self._seconds)


def described(queue: Queue, job: Job, *, told: int) -> list[dict[str, Any]]:
    """Returns what a watcher has not been told yet.

    Args:
      queue: the job's queue.
      job: the job, which is watched by that.
      told: number of events that it was told.
    """
    job.watched = time.monotonic()
    events: list[dict[str, Any]] = job.events[told:]
    if not job.events and (before := queue.before(job)):
        return [{"kind": "waiting", "before": before}]
    return events
