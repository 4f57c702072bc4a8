"""Advances an iterator in a thread, so that its consumer does not wait for it."""

import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

_Item = TypeVar("_Item")


def prefetch(items: Iterator[_Item], *, depth: int = 2) -> Iterator[_Item]:
    """Yields the items of an iterator that a thread advances ahead of their use.

    Args:
      items: the iterator; only that thread advances it.
      depth: largest number of items that wait, beside the one in preparation.

    Yields:
      The items, in their order. An error of `items` is raised in place of the item
      that caused it.
    """
    ready: queue.Queue[tuple[bool, Any]] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(entry: tuple[bool, Any]) -> None:
        while not stopped.is_set():
            try:
                ready.put(entry, timeout=0.1)
                return
            except queue.Full:
                pass

    def draw() -> None:
        try:
            for item in items:
                put((True, item))
                if stopped.is_set():
                    return
            put((False, None))
        except BaseException as error:  # noqa: B036 - raised again by the consumer
            put((False, error))

    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    try:
        while True:
            there, item = ready.get()
            if there:
                yield item
            elif item is None:
                return
            else:
                raise item
    finally:
        stopped.set()
        thread.join()
