"""JAX's runtime and the machine: callbacks, compiled programs, devices, threads."""

import concurrent.futures
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from inpaint_jax import types
from inpaint_jax.errors import InputError

_Result = TypeVar("_Result")

_ASYNC = "jax_cpu_enable_async_dispatch"


def allow_callbacks() -> None:
    """Makes host callbacks safe on CPU; call it before the first JAX operation.

    With asynchronous dispatch a callback and the copy of its own arguments wait for
    the same pool of threads, and can wait for ever (jax-ml/jax#25861). The switch only
    works before the CPU back end starts, and no environment variable sets it.
    """
    jax.config.update(_ASYNC, False)


def keep_programs(directory: str | os.PathLike[str]) -> None:
    """Caches compiled programs in a folder and reuses them in later processes.

    A cached program is used only by the same version of JAX on the same processor. One
    that another process is just writing is compiled again, with a warning.

    Args:
      directory: an existing folder.
    """
    jax.config.update("jax_compilation_cache_dir", os.fspath(directory))
    # Cache every program: a search begins with many small ones.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def device() -> str:
    """Returns a description of JAX's device and version, for people to read.

    Raises:
      InputError: JAX cannot use the platform that JAX_PLATFORMS names.
    """
    try:
        first, *more = jax.local_devices()
    except (RuntimeError, AssertionError) as error:
        platforms = os.environ.get("JAX_PLATFORMS", "")
        raise InputError(
            f"JAX_PLATFORMS={platforms}: JAX finds no such device; install "
            "'inpaint-jax[gpu]' for NVIDIA's, or unset it to run on the CPU."
        ) from error
    kind = f"{first.device_kind} ({first.platform})"
    if first.platform == "cpu":
        kind = f"the CPU ({available_cores()} cores)"
    count = f"{1 + len(more)} x " if more else ""
    return f"{count}{kind}, JAX {jax.__version__}"


def callbacks_are_safe() -> bool:
    """Returns whether `allow_callbacks` was called, or is not needed on this device."""
    return jax.default_backend() != "cpu" or not jax.config.values[_ASYNC]


def data_parallel() -> tuple[NamedSharding, NamedSharding]:
    """Returns the shardings for data-parallel training on all local devices.

    A compiled step over arrays with these shardings computes what one device would:
    sums over the batch, also in BatchNorm, run over the whole batch.

    Returns:
      (sharding of the state: a copy on every device, sharding of a batch: an equal part
      on every device).
    """
    mesh = Mesh(np.asarray(jax.local_devices()), ("batch",))
    return NamedSharding(mesh, PartitionSpec()), NamedSharding(
        mesh, PartitionSpec("batch")
    )


def free_memory() -> int:
    """Returns how many bytes are free on JAX's default device."""
    statistics = jax.local_devices()[0].memory_stats()
    if statistics:
        return statistics["bytes_limit"] - statistics["bytes_in_use"]
    # macOS does not report free pages.
    known = "SC_AVPHYS_PAGES" in os.sysconf_names
    pages = os.sysconf("SC_AVPHYS_PAGES" if known else "SC_PHYS_PAGES")
    return pages * os.sysconf("SC_PAGE_SIZE")


def available_cores() -> int:
    """Returns how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(
    function: Callable[[Any], _Result],
    items: Sequence[Any],
    *,
    watch: types.Watch = types.unwatched,
) -> list[_Result]:
    """Calls a function for each item, in as many threads as there are cores.

    Args:
      function: it must let other threads run.
      items: its arguments.
      watch: reports progress. If it raises, or the function does, no call begins.

    Returns:
      The results, in the order of the items.
    """
    pool = concurrent.futures.ThreadPoolExecutor(available_cores())
    try:
        return list(watch(pool.map(function, items), len(items)))
    finally:
        pool.shutdown(cancel_futures=True)
