"""What a long job tells while it works, on a terminal or not: a line now and then."""

import time
from collections.abc import Mapping

_SECONDS = 15.0


class Progress:
    """Prints a line at once, then one every quarter of a minute, and the last."""

    def __init__(self, what: str) -> None:
        """Begins to count.

        Args:
          what: the job's name, before each line.
        """
        self._what = what
        self._started = time.monotonic()
        self._last = -float("inf")
        self._first_step: int | None = None

    def say(self, sentence: str) -> None:
        """Prints a sentence of this job."""
        print(f"{self._what}: {sentence}", flush=True)

    def update(
        self,
        step: int,
        done: float,
        values: Mapping[str, float],
        *,
        last: bool = False,
    ) -> None:
        """Tells where the job stands, if it is time.

        Args:
          step: number of steps taken.
          done: share of the job that is over.
          values: what was measured.
          last: whether this is the last line.
        """
        now = time.monotonic()
        if self._first_step is None:
            # What came before was compilation, and tells nothing of the rate.
            self._first_step, self._began, self._done = step, now, done
        elif not last and now - self._last < _SECONDS:
            return
        self._last = now
        words = [f"step {step:,} ({done:.0%})"]
        steps, seconds = step - self._first_step, now - self._began
        if steps and seconds > 0.0:
            words.append(f"{steps / seconds:.3g} steps/s")
        if done > self._done:
            left = seconds * (1.0 - done) / (done - self._done)
            words.append(f"{_duration(left)} left")
        measured = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        self.say(f"{', '.join(words)}; {measured}")


def _duration(seconds: float) -> str:
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    minutes = seconds / 60.0
    return f"{minutes:.0f} min" if minutes < 90.0 else f"{minutes / 60.0:.1f} h"
