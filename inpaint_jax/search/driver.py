"""Runs a compiled search: stages, chunks, early stopping, and progress reports."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.search import latent_descent, program
from inpaint_jax.search.problem import Problem
from inpaint_jax.search.settings import Settings

_LEAST_FALL = 1e-3
"""A chunk is idle if no best loss falls by this fraction of its absolute value."""


class Progress(NamedTuple):
    """The progress of one image's search after a chunk.

    Attributes:
      iteration: number of steps taken.
      loss: `[restarts]`, at the last step.
      best_loss: `[restarts]`, the lowest so far.
      state: the state from which the search continues.
    """

    iteration: int
    loss: Float[np.ndarray, " restarts"]
    best_loss: Float[np.ndarray, " restarts"]
    state: latent_descent.LatentState

    @property
    def best_z(self) -> Float[Array, " z_dim"]:
        """The best z of the best restart; at least one must have had a finite loss."""
        return self.state.best_z[int(np.nanargmin(self.best_loss))]


def search(
    key: types.PRNGKey, problem: Problem, *, compiled: program.Search
) -> Iterator[Progress]:
    """Searches for one image with all restarts at once, and yields after each chunk.

    Args:
      key: random key of the starting points and of the objective.
      problem: the damaged image.
      compiled: from `program.prepare`.

    Yields:
      Progress; the last one is the result.

    Raises:
      InputError: no restart ever had a finite loss.
    """
    for (progress,) in search_together([key], [problem], compiled=compiled):
        assert progress is not None
        check(progress)
        yield progress


def search_together(
    keys: Sequence[types.PRNGKey],
    problems: Sequence[Problem],
    *,
    compiled: program.Search,
) -> Iterator[list[Progress | None]]:
    """Searches for several images in one program, and yields after each chunk.

    When half of the images have stopped early, they are removed from the program.

    Args:
      keys: as in `search`, one for each image.
      problems: the damaged images, all of one size.
      compiled: from `program.prepare`.

    Yields:
      Progress of each image, None if its search stopped before; an image's last
      progress is its result. See `check`.
    """
    settings = compiled.settings
    group = _begin(keys, problems, compiled)
    idle = dict.fromkeys(group.images, 0)  # {running image: idle chunks in a row}
    done = 0
    for restarts, count in _calls(settings):
        group = _compact(_narrow(group, restarts, compiled), idle)
        before = group.best
        group, loss = _advance(group, count, compiled)
        done += count
        reports: list[Progress | None] = [None] * len(problems)
        for row, image in enumerate(group.images):
            if image in idle:
                reports[image] = _report(group, row, done, loss)
        idle = _still_idle(idle, group, before, settings)
        yield reports
        if not idle:
            return


def check(progress: Progress) -> None:
    """Checks that at least one restart of a search had a finite loss.

    Raises:
      InputError: no restart ever had a finite loss.
    """
    if not np.isfinite(progress.best_loss).any():
        raise InputError(
            "the search diverged: no restart has a finite loss; lower the learning "
            "rate."
        )


class _Group(NamedTuple):
    """The images inside the program, one row for each.

    Attributes:
      images: number of the image in each row.
      problems: the problems of these images.
      states: the states of their searches.
      best: lowest loss of each restart so far.
    """

    images: tuple[int, ...]
    problems: Problem
    states: latent_descent.LatentState
    best: Float[np.ndarray, "rows restarts"]


def _begin(
    keys: Sequence[types.PRNGKey],
    problems: Sequence[Problem],
    compiled: program.Search,
) -> _Group:
    restarts, _ = compiled.settings.stages[0]
    together = program.stacked(problems)
    return _Group(
        images=tuple(range(len(problems))),
        problems=together,
        states=compiled.start(jnp.stack(list(keys)), together),
        best=np.full((len(problems), restarts), np.inf),
    )


def _calls(settings: Settings) -> Iterator[tuple[int, int]]:
    """Yields (restarts, steps) for each call of the compiled program."""
    for restarts, iterations in settings.stages:
        whole, rest = divmod(iterations, settings.chunk)
        for count in [settings.chunk] * whole + [rest] * (rest > 0):
            yield restarts, count


def _narrow(group: _Group, restarts: int, compiled: program.Search) -> _Group:
    """Reduces each image to its best restarts."""
    if restarts >= group.best.shape[1]:
        return group
    return group._replace(
        states=compiled.keep(group.states, restarts=restarts),
        best=np.sort(group.best, axis=1)[:, :restarts],
    )


def _compact(group: _Group, going_on: dict[int, int]) -> _Group:
    """Halves the number of rows as long as all running images fit."""
    size = len(group.images)
    if 2 * len(going_on) > size:
        return group
    while size > 1 and size // 2 >= len(going_on):
        size //= 2
    over = [image not in going_on for image in group.images]
    rows = np.sort(np.argsort(over, stable=True)[:size])
    arrays = group._replace(images=())
    kept = jax.tree.map(lambda array: array[rows], arrays)
    return kept._replace(images=tuple(group.images[row] for row in rows))


def _advance(
    group: _Group, count: int, compiled: program.Search
) -> tuple[_Group, Float[np.ndarray, "rows restarts"]]:
    """Takes some steps; returns the group, and the loss at the last step."""
    states, info = compiled.advance(group.states, group.problems, iterations=count)
    loss, best = (np.asarray(x[:, -1]) for x in (info.loss, info.best_loss))
    return group._replace(states=states, best=best), loss


def _report(
    group: _Group, row: int, done: int, loss: Float[np.ndarray, "rows restarts"]
) -> Progress:
    state = jax.tree.map(lambda array: array[row], group.states)
    return Progress(done, loss[row], group.best[row], state)


def _still_idle(
    idle: dict[int, int],
    group: _Group,
    before: Float[np.ndarray, "rows restarts"],
    settings: Settings,
) -> dict[int, int]:
    """Returns {image: idle chunks in a row} of the images that continue."""
    after = {}
    for row, image in enumerate(group.images):
        best = group.best[row]
        if image not in idle or not np.isfinite(best).any():
            continue
        # Losses can be negative (log(1 - D)), so a fall is relative to the absolute
        # value.
        fell = before[row] > best + _LEAST_FALL * np.abs(best)
        chunks = 0 if fell.any() else idle[image] + 1
        if settings.patience == 0 or chunks < settings.patience:
            after[image] = chunks
    return after
