"""Chooses between two forms of a bilinear function, by platform, at compile time."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

BilinearMap = Callable[[jax.Array, jax.Array], jax.Array]
"""(a, b) -> c, linear in a and in b, as a convolution is."""

Like = tuple[tuple[Any, ...], np.dtype]
"""Shape and dtype of an array; in an exported program a size may be a symbol."""


def choose(*, cpu: BilinearMap, default: BilinearMap) -> BilinearMap:
    """Returns a function that runs one implementation on CPU and another elsewhere.

    Custom rules differentiate it any number of times in reverse mode: every derivative
    is again the product itself or its vector-Jacobian product with respect to a or b.
    JAX's own second derivative has the same values in a form that no library runs well:
    for a strided convolution, one with an image as its kernel.

    Args:
      cpu: the form for CPU.
      default: the form for all other platforms; must compute the same values.
    """

    @jax.custom_vjp
    def product(a: jax.Array, b: jax.Array) -> jax.Array:
        return lax.platform_dependent(a, b, cpu=cpu, default=default)

    @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
    def to_first(like: Like, c: jax.Array, b: jax.Array) -> jax.Array:
        forms = (functools.partial(_to_first, form, like) for form in (cpu, default))
        return lax.platform_dependent(c, b, **dict(zip(_NAMES, forms, strict=True)))

    @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
    def to_second(like: Like, a: jax.Array, c: jax.Array) -> jax.Array:
        forms = (functools.partial(_to_second, form, like) for form in (cpu, default))
        return lax.platform_dependent(a, c, **dict(zip(_NAMES, forms, strict=True)))

    product.defvjp(
        lambda a, b: (product(a, b), (a, b)),
        lambda ab, c: (
            to_first(_like(ab[0]), c, ab[1]),
            to_second(_like(ab[1]), ab[0], c),
        ),
    )
    to_first.defvjp(
        lambda like, c, b: (to_first(like, c, b), (c, b)),
        lambda like, cb, a: (product(a, cb[1]), to_second(_like(cb[1]), a, cb[0])),
    )
    to_second.defvjp(
        lambda like, a, c: (to_second(like, a, c), (a, c)),
        lambda like, ac, b: (to_first(_like(ac[0]), ac[1], b), product(ac[0], b)),
    )
    return product


_NAMES = ("cpu", "default")


def _like(x: jax.Array) -> Like:
    return x.shape, x.dtype


def _to_first(form: BilinearMap, like: Like, c: jax.Array, b: jax.Array) -> jax.Array:
    return jax.vjp(lambda a: form(a, b), jnp.zeros(*like))[1](c)[0]


def _to_second(form: BilinearMap, like: Like, a: jax.Array, c: jax.Array) -> jax.Array:
    return jax.vjp(lambda b: form(a, b), jnp.zeros(*like))[1](c)[0]
