"""Runs many training steps in one compiled program, so that the host only logs.

The pictures are on the device as bytes, and the program gathers each batch from them;
if they do not fit there, the host gathers the batches of the next call.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
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

Networks with fixed weights are arguments of the `Partial`, so that their weights are
arguments of the compiled program; as constants they would take XLA half a minute.
"""

# The largest fraction of the device's free memory that pictures may take.
_LARGEST_SHARE = 0.25


@dataclasses.dataclass(frozen=True)
class Rows:
    """The training data, and how batches are drawn from it.

    Attributes:
      arrays: arrays with a row for each picture: the pictures, and their labels.
      batch_size: number of rows in a batch.
      seed: seed of the order.
      on_device: whether the arrays are on the device.
    """

    arrays: tuple[np.ndarray, ...]
    batch_size: int
    seed: int
    on_device: bool

    def __post_init__(self) -> None:
        """Checks the size of a batch.

        Raises:
          InputError: a batch cannot be divided equally among the devices, or holds more
            than there is.
        """
        count = len(self.arrays[0])
        if self.batch_size > count:
            raise InputError(
                f"--batch_size={self.batch_size}: only {count} pictures; give at most "
                f"{count}."
            )
        devices = jax.local_device_count()
        if self.batch_size % devices:
            raise InputError(
                f"--batch_size={self.batch_size}: is shared out over {devices} devices;"
                " give a multiple of that."
            )

    def batches(self, first: int) -> Iterator[tuple[Any, ...]]:
        """Yields the batches after `first` steps: their rows, or the rows' indices."""
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
    """Returns `Rows` of arrays, on the device if they fit there."""
    on_device = fits_on_device(*arrays)
    return Rows(arrays, batch_size, seed, on_device=on_device)


def fits_on_device(*arrays: np.ndarray) -> bool:
    """Returns whether the arrays fit into the free memory of an accelerator."""
    if jax.default_backend() == "cpu":
        return False
    return sum(a.nbytes for a in arrays) < _LARGEST_SHARE * runtime.free_memory()


def initial(init: Callable[..., Any], *arguments: Any) -> Any:
    """Computes the initial state of a training, if there is memory for it.

    Args:
      init: function of the arguments.
      *arguments: arrays.

    Raises:
      InputError: there is not.
    """
    runtime.check_memory(
        runtime.size_of(jax.eval_shape(init, *arguments)),
        what="the training of networks of this size",
        give="give fewer --features, or smaller layers and images",
    )
    return jax.jit(init)(*arguments)


class Program:
    """The compiled training steps of one run, see `run`."""

    def __init__(
        self, key: jax.Array, advance: Advance, rows: Rows, *, longest: int
    ) -> None:
        """Puts the arrays on the devices.

        Args:
          key: random key; step n uses `fold_in(key, n)`, however steps are grouped.
          advance: one training step.
          rows: the training data.
          longest: largest number of steps in a call.
        """
        everywhere, shared_out = runtime.data_parallel()
        self._place = functools.partial(jax.device_put, device=shared_out)
        self._shape = functools.partial(jax.ShapeDtypeStruct, sharding=shared_out)
        self._arrays = ()
        if rows.on_device:
            self._arrays = jax.device_put(rows.arrays, everywhere)
        self._advance = jax.device_put(advance, everywhere)
        self._longest = longest
        self._compiled = jax.jit(functools.partial(_many, key), donate_argnums=1)

    def check_memory(self, state: Any, rows: Rows) -> None:
        """Checks that there is memory for the steps; none is taken or compiled.

        Args:
          state: the initial state.
          rows: the training data.

        Raises:
          InputError: there is not.
        """
        # All as `run` gives it to the program, which then need not be traced again.
        size = rows.batch_size, self._longest
        batches = [self._shape(size, np.int32)]
        if not rows.on_device:
            batches = [
                self._shape((*size, *array.shape[1:]), array.dtype)
                for array in rows.arrays
            ]
        progress = np.zeros(size[1:], np.float32)
        given = state, self._arrays, tuple(batches), np.int32(0), 1, progress
        traced = self._compiled.trace(self._advance, *given)
        runtime.check_memory(
            runtime.peak_memory(traced.jaxpr.jaxpr) // jax.local_device_count(),
            what=f"--batch_size={rows.batch_size}: a step of this training",
            give="give a smaller batch, fewer --features or a smaller --log_every",
        )

    def run(
        self, state: Any, first: int, batches: list[tuple[Any, ...]], progress: Any
    ) -> tuple[Any, Any]:
        """Takes one step with each batch.

        Args:
          state: after `first` steps; its memory is reused.
          first: number of steps taken before.
          batches: batches from `Rows.batches`, at most `longest`.
          progress: `[steps]`, fraction of the training that is done at each step.

        Returns:
          (next state, {name: metric of each step, mean over the batch, `[steps]`}).
        """
        count, missing = len(batches), self._longest - len(batches)
        # One program for any number of steps: batches are padded with copies, with
        # which no step is taken.
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
    """Takes `count` steps; batches are `[batch, longest, ...]`, or indices of rows."""

    def step(i: jax.Array, state: Any) -> tuple[Any, Any]:
        # The batch is the first axis, which is divided among devices.
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
