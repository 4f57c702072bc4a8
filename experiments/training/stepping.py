"""Many training steps as one compiled program, so that the host does nothing but log.

The pictures lie on the device as bytes, and the program gathers each batch from them;
or, where they do not fit, the host gathers the batches that the next call needs.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from inpaint_jax import runtime
from inpaint_jax.errors import InputError
from inpaint_jax.io import data

Advance = jax.tree_util.Partial
"""(key, state, *batch, progress) -> (state, info: NamedTuple of arrays).

What is not trained but has weights is an argument of the `Partial`. So these go into
the compiled program as arguments; XLA would spend half a minute on such constants.
"""

# Of the device's memory, what pictures may take.
_LARGEST_SHARE = 0.25


@dataclasses.dataclass(frozen=True)
class Rows:
    """What batches are made of.

    Attributes:
      arrays: with a row for each picture: the pictures, and what belongs to them.
      batch_size: rows of a batch.
      seed: of the order.
      on_device: whether the arrays lie on the device.
    """

    arrays: tuple[np.ndarray, ...]
    batch_size: int
    seed: int
    on_device: bool

    def __post_init__(self) -> None:
        """Refuses what cannot be shared out.

        Raises:
          InputError: a batch cannot be shared out evenly over the devices.
        """
        devices = jax.local_device_count()
        if self.batch_size % devices:
            raise InputError(
                f"--batch_size={self.batch_size}: is shared out over {devices} devices;"
                " give a multiple of that."
            )

    def batches(self, first: int) -> Iterator[tuple[Any, ...]]:
        """Yields, after `first` steps, each batch: its rows, or their numbers."""
        order = data.batches(
            len(self.arrays[0]),
            batch_size=self.batch_size,
            seed=self.seed,
            first_step=first,
        )
        for chosen in order:
            if self.on_device:
                yield (chosen.astype(np.int32),)
            else:
                yield tuple(array[chosen] for array in self.arrays)


def rows(*arrays: np.ndarray, batch_size: int, seed: int) -> Rows:
    """Returns `Rows` of arrays that lie on the device if they fit there."""
    on_device = fits_on_device(*arrays)
    return Rows(arrays, batch_size, seed, on_device=on_device)


def fits_on_device(*arrays: np.ndarray) -> bool:
    """Tells whether arrays should lie on the device: an accelerator with room."""
    if jax.default_backend() == "cpu":
        return False
    return sum(a.nbytes for a in arrays) < _LARGEST_SHARE * runtime.free_memory()


class Program:
    """Compiled steps of one training; see `run`."""

    def __init__(
        self, key: jax.Array, advance: Advance, rows: Rows, *, longest: int
    ) -> None:
        """Lays the arrays out on the devices.

        Args:
          key: step n uses `fold_in(key, n)`, however the steps are grouped.
          advance: one step.
          rows: what its batches are made of.
          longest: how many steps a call may take.
        """
        everywhere, shared_out = runtime.data_parallel()
        self._place = functools.partial(jax.device_put, device=shared_out)
        self._arrays = ()
        if rows.on_device:
            self._arrays = jax.device_put(rows.arrays, everywhere)
        self._advance = jax.device_put(advance, everywhere)
        self._longest = longest
        self._compiled = jax.jit(functools.partial(_many, key), donate_argnums=1)

    def run(
        self, state: Any, first: int, batches: list[tuple[Any, ...]], progress: Any
    ) -> tuple[Any, Any]:
        """Takes as many steps as there are batches.

        Args:
          state: after `first` steps; its memory is used again.
          first: steps taken.
          batches: of the next steps, at most `longest`, from `Rows.batches`.
          progress: `[steps]`, how much of the training is over at each, from 0 to 1.

        Returns:
          The next state; and what each step tells, means over the batch, a dict of
          `[steps]` numpy arrays.
        """
        count, missing = len(batches), self._longest - len(batches)
        # One program for any number of steps: those that are missing are not taken.
        batches = batches + batches[-1:] * missing
        stacked = [self._place(np.stack(parts, axis=1)) for parts in zip(*batches)]  # noqa: B905
        progress = np.pad(np.asarray(progress, np.float32), (0, missing))
        state, infos = self._compiled(
            self._advance,
            state,
            self._arrays,
            tuple(stacked),
            np.int32(first),
            count,
            progress,
        )
        told = jax.tree.map(lambda x: np.asarray(x)[:count], infos._asdict())
        return state, told


def _many(
    key: jax.Array,
    advance: Advance,
    state: Any,
    arrays: tuple[jax.Array, ...],
    batches: tuple[jax.Array, ...],
    first: jax.Array,
    count: jax.Array,
    progress: Float[jax.Array, " longest"],
) -> tuple[Any, Any]:
    """Takes `count` steps; batches are `[batch, longest, ...]`, or row numbers."""

    def step(i: jax.Array, state: Any) -> tuple[Any, Any]:
        # The batch is the first axis, as that is what devices share.
        batch = tuple(b[:, i] for b in batches)
        if arrays:
            batch = tuple(a[batch[0]] for a in arrays)
        key_step = jax.random.fold_in(key, first + i + 1)
        return advance(key_step, state, *batch, progress[i])

    def body(i: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        state, infos = carry
        state, info = step(i, state)
        told = jax.tree.map(lambda all, x: all.at[i].set(jnp.mean(x)), infos, info)
        return state, told

    shapes = jax.eval_shape(step, jnp.int32(0), state)[1]
    infos = jax.tree.map(lambda x: jnp.zeros(len(progress), x.dtype), shapes)
    return jax.lax.fori_loop(0, count, body, (state, infos))
