"""Settings of JAX's runtime: callbacks, the compilation cache, devices, memory."""

import importlib
import os
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from inpaint_jax.errors import InputError, reason

_ASYNC = "jax_cpu_enable_async_dispatch"
_PLATFORMS = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")


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
    try:
        return importlib.import_module(module)
    except Exception as error:
        # One that is there fails as it likes: a library that it needs is missing, or it
        # was built for another NumPy.
        package = module.partition(".")[0]
        missing = isinstance(error, ModuleNotFoundError) and error.name == package
        why = "is not installed" if missing else f"fails to import ({reason(error)})"
        raise InputError(
            f"{package} {why}; run pip install -e '.[{extra}]' in the project's folder."
        ) from error


def check_memory(needed: float, *, what: str) -> None:
    """Checks that some arrays fit into the memory, before any of them is made.

    Args:
      needed: their size in bytes.
      what: what they are for and what makes them large, the start of the error's
        sentence.

    Raises:
      InputError: they do not fit.
    """
    free = free_memory()
    if needed > free:
        raise InputError(
            f"{what}: needs about {needed / 1e9:.3g} GB of memory, and "
            f"{free / 1e9:.2g} are free; give less."
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
