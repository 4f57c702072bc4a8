"""Settings of JAX that must be made before its first operation."""

import jax

_ASYNC = "jax_cpu_enable_async_dispatch"


def configure() -> None:
    """Makes host callbacks safe on CPU; call it first thing in an application.

    With asynchronous dispatch a callback and the copy of its own arguments wait for
    the same pool of threads, and can wait for ever (jax-ml/jax#25861). The switch only
    works before the CPU back end starts, and no environment variable sets it.
    """
    jax.config.update(_ASYNC, False)


def callbacks_are_safe() -> bool:
    """Tells whether `configure` was called, or callbacks do not run beside a CPU."""
    return jax.default_backend() != "cpu" or not jax.config.values[_ASYNC]
