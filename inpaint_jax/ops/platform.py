"""One function with two forms: which of them runs is known when it is compiled."""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax


def choose(
    *, cpu: Callable[..., Any], default: Callable[..., Any]
) -> Callable[..., Any]:
    """Returns a function that runs one form on CPU and another elsewhere.

    Its derivatives, of any order in reverse mode, are those of the form that runs.
    JAX's own derivative of `lax.platform_dependent` would keep what either form needs.

    Args:
      cpu: the form for CPU, a function of arrays.
      default: the form for all other platforms; must compute the same.
    """

    @jax.custom_vjp
    def run(*arguments):
        return lax.platform_dependent(*arguments, cpu=cpu, default=default)

    def forward(*arguments):
        return run(*arguments), arguments

    def backward(arguments, cotangent):
        pull = choose(cpu=_pullback(cpu), default=_pullback(default))
        return pull(cotangent, *arguments)

    run.defvjp(forward, backward)
    return run


def _pullback(form):
    return lambda cotangent, *arguments: jax.vjp(form, *arguments)[1](cotangent)
