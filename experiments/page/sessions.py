"""The photographs of visitors, in memory, each under a name that nobody can guess."""

import secrets
import threading
import time

from experiments.page import jobs
from inpaint_jax.errors import InputError
from inpaint_jax.io import photographs

FORGOTTEN_AFTER = 15 * 60.0
"""Seconds without a request after which a photograph is forgotten."""

_KEPT_JOBS = 3


class Unknown(Exception):
    """There is no such photograph or search, or it has been forgotten."""


class Session:
    """A photograph, and the searches for its faces.

    Attributes:
      id: its name, which nobody can guess.
      name: name of the photograph's file.
      content: the file's bytes.
      photo: the photograph.
      outlines: of its faces, once they have been looked for.
    """

    def __init__(
        self, name: str, content: bytes, photo: photographs.Photograph
    ) -> None:
        """Takes a photograph."""
        self.id = secrets.token_urlsafe(16)
        self.name, self.content, self.photo = name, content, photo
        self.outlines: list[list[list[float]]] | None = None
        self.touched = time.monotonic()
        self.jobs: list[jobs.Job] = []
        self._beginning = threading.Lock()

    def begin(self, queue: jobs.Queue, work: jobs.Work) -> jobs.Job:
        """Adds a search to the queue; of earlier ones the last few are kept.

        Raises:
          InputError: one waits or runs already.
          jobs.Full: no more may wait.
        """
        with self._beginning:
            if self.is_busy():
                raise InputError(
                    "this picture is being searched for; cancel that first."
                )
            job = queue.add(work)
            self.jobs = [*self.jobs[1 - _KEPT_JOBS :], job]
        return job

    def is_busy(self) -> bool:
        """Returns whether a search waits or runs."""
        return any(not job.ended for job in self.jobs)


class Sessions:
    """All sessions; the oldest are forgotten when there are too many."""

    def __init__(self, *, most: int) -> None:
        """Begins without one.

        Args:
          most: number of photographs that are kept.
        """
        self._most = most
        self._all: dict[str, Session] = {}
        self._lock = threading.Lock()

    def add(self, name: str, content: bytes, photo: photographs.Photograph) -> Session:
        """Keeps a photograph.

        Raises:
          jobs.Full: there are too many, and all of them are searched for.
        """
        with self._lock:
            self._forget()
            idle = [each for each in self._all.values() if not each.is_busy()]
            if len(self._all) >= self._most:
                if not idle:
                    raise jobs.Full
                oldest = min(idle, key=lambda each: each.touched)
                del self._all[oldest.id]
            session = Session(name, content, photo)
            self._all[session.id] = session
        return session

    def get(self, name: str) -> Session:
        """Returns a session, which lives on by that.

        Raises:
          Unknown: there is none of that name.
        """
        with self._lock:
            self._forget()
            session = self._all.get(name)
            if session is None:
                raise Unknown
            session.touched = time.monotonic()
        return session

    def job(self, session: str, name: str) -> jobs.Job:
        """Returns a search of a session.

        Raises:
          Unknown: it has none of that name.
        """
        found = [each for each in self.get(session).jobs if each.id == name]
        if not found:
            raise Unknown
        return found[0]

    def drop(self, name: str) -> None:
        """Forgets a session, and cancels its searches."""
        with self._lock:
            session = self._all.pop(name, None)
        for job in session.jobs if session else []:
            job.cancel()

    def _forget(self) -> None:
        then = time.monotonic() - FORGOTTEN_AFTER
        for session in list(self._all.values()):
            if session.touched < then and not session.is_busy():
                del self._all[session.id]
