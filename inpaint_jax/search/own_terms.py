"""Losses of a user's own, checked before a search is compiled with them."""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from inpaint_jax.errors import InputError, reason
from inpaint_jax.search.problem import Networks, Problem, WeightedTerm


def weighted(
    terms: Mapping[str, Any], *, taken: Collection[str]
) -> dict[str, WeightedTerm]:
    """Returns the terms of a search for what a user gave.

    Args:
      terms: {name: (weight, loss)}.
      taken: names of other terms.

    Raises:
      InputError: a name is taken, or something else was given.
    """
    found = {}
    for name, given in terms.items():
        if name in taken:
            raise InputError(f"terms: {name!r} is the name of another term; rename it.")
        match given:
            case (int() | float(), loss) if callable(loss):
                found[name] = WeightedTerm(*given)
            case _:
                raise InputError(f"terms: {name!r} is {given!r}; give (weight, loss).")
    return found


def check(
    terms: Mapping[str, WeightedTerm],
    problem: Problem,
    networks: Networks,
    *,
    z_dim: int,
) -> None:
    """Checks that each loss can be called and returns one number per restart.

    Args:
      terms: from `weighted`.
      problem: the damaged image.
      networks: of the search.
      z_dim: length of z.

    Raises:
      InputError: one cannot, or returns something else.
    """
    z = jax.ShapeDtypeStruct((2, z_dim), jnp.float32)
    drawn = jax.ShapeDtypeStruct((2, *problem.image.shape[1:]), jnp.float32)
    for name, each in terms.items():
        arguments = jax.random.key(0), z, drawn, problem, networks
        try:
            found = jax.eval_shape(each.term, *arguments)
        except TypeError as error:  # as of other arguments
            raise InputError(
                f"terms: {name!r} cannot be called as (key, z, generated, problem, "
                f"networks): {reason(error)}."
            ) from error
        shape = getattr(found, "shape", None)
        if shape != (2,):
            raise InputError(
                f"terms: {name!r} returns {shape} for two restarts; give one loss for "
                "each, (2,)."
            )
