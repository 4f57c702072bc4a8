"""Losses of a user's own, checked before a search is compiled with them."""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from inpaint_jax import types
from inpaint_jax.errors import InputError, reason
from inpaint_jax.search import arguments
from inpaint_jax.search.problem import Networks, Problem, WeightedTerm

_MOST = float(np.finfo(np.float32).max)


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
    give = "{name: (weight, loss)}"
    arguments.check_is("terms", terms, Mapping, give=give)
    found = {}
    for name, given in terms.items():
        if not isinstance(name, str):
            raise InputError(f"terms: {name!r} is no name; give {give}.")
        if name in taken:
            raise InputError(f"terms: {name!r} is the name of another term; rename it.")
        match given:
            case (int() | float() as weight, loss) if callable(loss):
                if not abs(weight) <= _MOST:
                    raise InputError(
                        f"terms: {name!r} has the weight {weight}; give a finite "
                        "number."
                    )
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
        given = jax.random.key(0), z, drawn, problem, networks
        try:
            found = jax.eval_shape(each.term, *given)
        except TypeError as error:  # as of other arguments
            raise InputError(
                f"terms: {name!r} cannot be called as (key, z, generated, problem, "
                f"networks): {reason(error)}."
            ) from error
        if getattr(found, "shape", None) != (2,) or not arguments.is_real(found.dtype):
            raise InputError(
                f"terms: {name!r} returns {_described(found)} for two restarts; give "
                "one loss for each, (2,)."
            )


def check_finite(values: Mapping[str, types.PerExample]) -> None:
    """Checks that each loss is finite for one restart at least.

    Args:
      values: {name: value for each restart}.

    Raises:
      InputError: one is not.
    """
    for name, found in values.items():
        if not np.isfinite(found).any():
            raise InputError(
                f"terms: {name!r} is NaN or infinite for all restarts at the start of "
                "the search; give a finite loss."
            )


def _described(found: Any) -> str:
    """Returns what a loss returned, in its shape or its type."""
    if not hasattr(found, "shape"):
        return "None" if found is None else arguments.a_type(found)
    kind = "" if arguments.is_real(found.dtype) else f" of {found.dtype}"
    return f"{found.shape}{kind}"
