"""Measures the times of several functions in turn, and the processor's peak speed."""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import stopping

_SIDE = 3072  # side of the matrices whose product measures the peak of operations
_COPY = 1 << 26  # numbers whose copy measures the peak of memory traffic

Runs = dict[str, Callable[[], Any]]
"""{name: function to be timed}; it is timed until the arrays it returns are ready."""

Times = dict[str, list[float]]
"""{name: seconds of each round}"""

Ceilings = dict[str, float]
"""{"peak_gflops" or "peak_gbytes": operations or bytes per second}"""


def ceilings(rounds: int) -> Ceilings:
    """Measures the peak speeds of a large matrix product and of a large copy.

    Args:
      rounds: number of repetitions of each.

    Returns:
      "peak_gflops" in operations per second, "peak_gbytes" in bytes per second.
    """
    matrix, numbers = jnp.ones((_SIDE, _SIDE)), jnp.ones(_COPY)
    times = time_in_turn(
        {
            "product": functools.partial(jax.jit(jnp.matmul), matrix, matrix),
            "copy": functools.partial(jax.jit(jnp.negative), numbers),
        },
        rounds,
    )
    return {
        "peak_gflops": 2 * _SIDE**3 / min(times["product"]),
        "peak_gbytes": 2 * numbers.nbytes / min(times["copy"]),
    }


def time_in_turn(runs: Runs, rounds: int, *, trace_dir: str | None = None) -> Times:
    """Times the functions, one after the other in each round, after a warm-up.

    Args:
      runs: the functions.
      rounds: number of rounds.
      trace_dir: existing folder for a trace of the device's operations in one more
        round, which TensorBoard and Perfetto show; None for no trace.
    """
    for run in runs.values():
        stopping.check()
        jax.block_until_ready(run())
    times: Times = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            stopping.check()
            started = time.perf_counter()
            jax.block_until_ready(run())
            times[name].append(time.perf_counter() - started)
    if trace_dir is not None:
        with jax.profiler.trace(trace_dir):
            jax.block_until_ready([run() for run in runs.values()])
    return times


def entry(seconds: list[float]) -> dict[str, float]:
    """Returns the median time, "ms", and the interquartile range, "spread", in ms."""
    spread = float(np.subtract(*np.percentile(seconds, [75, 25])))
    return {"ms": 1e3 * float(np.median(seconds)), "spread": 1e3 * spread}


def with_share(
    seconds: list[float], flops: float, ceilings: Ceilings
) -> dict[str, float]:
    """Returns an `entry` with the fraction of the peak speed that was reached.

    Args:
      seconds: time of each round.
      flops: operations of plain convolutions; a form with fewer products can exceed the
        fraction 1.
      ceilings: the peak speeds.
    """
    fraction = flops / float(np.median(seconds)) / ceilings["peak_gflops"]
    return entry(seconds) | {"gflop": flops / 1e9, "share_of_ceiling": fraction}


def ratios(times: Times, name: str) -> dict[str, float]:
    """Returns the time of a function relative to plain JAX and to the faster PyTorch.

    Args:
      times: times of all functions.
      name: name of the function.
    """
    found = {}
    if "plain" in times:
        found["ratio_vs_plain"] = ratio(times[name], times["plain"])
    torch = [seconds for other, seconds in times.items() if other.startswith("torch")]
    if torch:
        found["ratio_vs_torch"] = max(ratio(times[name], each) for each in torch)
    return found


def ratio(times: list[float], others: list[float]) -> float:
    """Returns the median over rounds of the ratio of two times.

    In one round, a slow machine slows both.

    Args:
      times: seconds of each round of one function.
      others: seconds of each round of the other function.
    """
    return float(np.median(np.divide(times, others)))
