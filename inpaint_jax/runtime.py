"""JAX's runtime and the machine: callbacks, compiled programs, devices, threads."""

import concurrent.futures
import contextlib
import importlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import jax.extend
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from inpaint_jax import types
from inpaint_jax.errors import InputError, reason

_Result = TypeVar("_Result")

_ASYNC = "jax_cpu_enable_async_dispatch"
_PLATFORMS = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")


def allow_callbacks() -> None:
    """Makes host callbacks safe on CPU; call it before the first JAX operation.

    With asynchronous dispatch a callback and the copy of its own arguments wait for
    the same pool of threads, and can wait for ever (jax-ml/jax#25861). The switch only
    works before the CPU back end starts, and no environment variable sets it.
    """
    jax.config.update(_ASYNC, False)


def keeps_programs() -> bool:
    """Returns whether the user has told JAX where to cache compiled programs."""
    return bool(jax.config.values["jax_compilation_cache_dir"])


def keep_programs(
    directory: str | os.PathLike[str], *, most_bytes: int = 1_000_000_000
) -> None:
    """Caches compiled programs in a folder and reuses them in later processes.

    A cached program is used only by the same version of JAX on the same processor.

    Args:
      directory: an existing folder.
      most_bytes: above this size of the folder, the programs that were not used for
        longest are removed.
    """
    jax.config.update("jax_compilation_cache_dir", os.fspath(directory))
    jax.config.update("jax_compilation_cache_max_size", most_bytes)
    # Cache every program: a search begins with many small ones.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def device() -> str:
    """Returns a description of JAX's device and version, for people to read.

    Raises:
      InputError: JAX cannot use the platform that the environment names.
    """
    try:
        first, *more = jax.local_devices()
    except (RuntimeError, AssertionError) as error:
        given = {name: os.environ.get(name) for name in _PLATFORMS}
        named = [f"{name}={value}" for name, value in given.items() if value]
        raise InputError(
            f"{' and '.join(named) or 'this machine'}: JAX finds no such device; "
            "install 'inpaint-jax[gpu]' for NVIDIA's, or unset it to run on the CPU."
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


def optional(module: str, *, extra: str) -> Any:
    """Imports a module that not every installation has, and returns it.

    Args:
      module: its name.
      extra: the extra of this package that installs it.

    Raises:
      InputError: it is not installed, or cannot be imported.
    """
    package = module.partition(".")[0]
    try:
        importlib.import_module(package)
        return importlib.import_module(module)
    except Exception as error:
        # One that is there fails as it likes: a library that it needs is missing, or it
        # was built for another NumPy.
        missing = isinstance(error, ModuleNotFoundError) and error.name == package
        why = "is not installed" if missing else f"fails to import ({reason(error)})"
        raise InputError(
            f"{package} {why}; run pip install -e '.[{extra}]' in the project's folder."
        ) from error


def check_memory(needed: int, *, what: str, give: str) -> None:
    """Checks that some arrays fit into the memory, before any of them is made.

    Args:
      needed: their size in bytes.
      what: what they are for and what makes them large, the start of the error's
        sentence.
      give: what the user can do, the end of that sentence.

    Raises:
      InputError: they do not fit.
    """
    free = free_memory()
    if needed > free:
        raise InputError(
            f"{what} needs about {_amount(needed)} GB of memory, and {_amount(free)} "
            f"are free; {give}."
        )


def _amount(size: int) -> str:
    gigabytes = size / 1e9
    return f"{gigabytes:,.0f}" if gigabytes >= 10 else f"{gigabytes:.2g}"


def peak_memory(program: Any) -> int:
    """Returns about how many bytes a program takes at most; nothing is compiled.

    Each array counts from the operation that makes it to the last one that uses it, and
    what the program is given to its end. A compiler fuses operations, which takes less,
    and lays arrays out, which takes more; a search comes out within a tenth of what XLA
    says that it needs.

    Args:
      program: its jaxpr, as `jax.jit(function).trace(*shapes).jaxpr.jaxpr`.
    """
    steps = list(enumerate(program.eqns))
    given = [*program.constvars, *program.invars]
    ends = {each: place for place, step in steps for each in _of(step)}
    ends |= dict.fromkeys(_variables([*given, *program.outvars]), len(steps))
    live = peak = size_of(given)
    for place, step in steps:
        made = size_of(step.outvars)
        inside = [peak_memory(each) - size_of(each.invars) for each in _parts(step)]
        peak = max(peak, live + max([made, *inside]))
        over = [each for each in {*_of(step)} if ends[each] == place]
        live += made - size_of(over)
    return peak


def size_of(arrays: Any) -> int:
    """Returns the bytes of a tree of arrays, of shapes, or of a jaxpr's variables."""
    shapes = [getattr(leaf, "aval", leaf) for leaf in jax.tree.leaves(arrays)]
    return sum(
        math.prod(shape.shape) * shape.dtype.itemsize
        for shape in shapes
        if hasattr(shape, "dtype")
    )


def _variables(arrays: Sequence[Any]) -> list[Any]:
    return [each for each in arrays if not isinstance(each, jax.extend.core.Literal)]


def _of(step: Any) -> list[Any]:
    """Returns the variables that an operation uses and makes."""
    return _variables([*step.invars, *step.outvars])


def _parts(step: Any) -> Iterator[Any]:
    """Yields the programs inside an operation, as the body of a loop."""
    for value in step.params.values():
        for each in value if isinstance(value, tuple | list) else [value]:
            inner = getattr(each, "jaxpr", each)
            if hasattr(inner, "eqns"):
                yield inner


def free_memory() -> int:
    """Returns how many bytes are free on JAX's default device."""
    statistics = jax.local_devices()[0].memory_stats()
    if statistics:
        return statistics["bytes_limit"] - statistics["bytes_in_use"]
    with contextlib.suppress(OSError, ValueError, StopIteration):
        # Linux: what files in the cache take is free as well.
        with open("/proc/meminfo", encoding="ascii") as file:
            line = next(each for each in file if each.startswith("MemAvailable:"))
            return 1024 * int(line.split()[1])
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
