"""Times of several runs, taken in turn, and what the processor could do at most."""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_SIDE = 3072  # of the matrices whose product shows what the processor can do
_COPY = 1 << 26  # numbers whose copy shows what the memory can do

Runs = dict[str, Callable[[], Any]]
"""{name: what is timed}; it may return any arrays, which are waited for."""

Times = dict[str, list[float]]
"""{name: seconds of each round}"""

Ceilings = dict[str, float]
"""{what: how many of it a second}"""


def ceilings(rounds: int) -> Ceilings:
    """Measures "peak_gflops" of a large product and "peak_gbytes" of a large copy.

    Both are in whole units a second.

    Args:
      rounds: repetitions of each.
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


def time_in_turn(runs: Runs, rounds: int) -> Times:
    """Times each run, one after the other in each round, after a warm-up.

    Args:
      runs: the runs.
      rounds: how many.
    """
    for run in runs.values():
        jax.block_until_ready(run())
    times: Times = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            jax.block_until_ready(run())
            times[name].append(time.perf_counter() - started)
    return times


def entry(seconds: list[float]) -> dict[str, float]:
    """Returns the median "ms" of a run and the "spread" of its middle half."""
    spread = float(np.subtract(*np.percentile(seconds, [75, 25])))
    return {"ms": 1e3 * float(np.median(seconds)), "spread": 1e3 * spread}


def with_share(
    seconds: list[float], flops: float, ceilings: Ceilings
) -> dict[str, float]:
    """Returns an `entry` with the share of the peak that operations come to.

    Args:
      seconds: of each round.
      flops: operations, counted as convolutions are defined, so that a form with fewer
        products can exceed 1.
      ceilings: with the peak.
    """
    share = flops / float(np.median(seconds)) / ceilings["peak_gflops"]
    return entry(seconds) | {"gflop": flops / 1e9, "share_of_ceiling": share}


def ratios(times: Times, name: str) -> dict[str, float]:
    """Returns how long a run takes over its peers: plain JAX, the faster PyTorch.

    Args:
      times: of all runs.
      name: of the run.
    """
    found = {}
    if "plain" in times:
        found["ratio_vs_plain"] = ratio(times[name], times["plain"])
    torch = [seconds for other, seconds in times.items() if other.startswith("torch")]
    if torch:
        found["ratio_vs_torch"] = max(ratio(times[name], each) for each in torch)
    return found


def ratio(times: list[float], others: list[float]) -> float:
    """Returns the median ratio of two runs.

    It is over the rounds: what slows the machine down slows both.

    Args:
      times: of the one.
      others: of the other.
    """
    return float(np.median(np.divide(times, others)))
