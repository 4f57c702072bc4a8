"""Checks what a user gives to `completion.complete`, before anything is computed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from inpaint_jax.errors import InputError

_REAL = (jnp.bool_, jnp.integer, jnp.floating)


def a_type(value: object) -> str:
    """Returns the name of a value's type with its article."""
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def is_real(dtype: Any) -> bool:
    """Returns whether values of a type are truth values or real numbers."""
    return any(jnp.issubdtype(dtype, kind) for kind in _REAL)


def numbers(name: str, value: Any, *, give: str) -> np.ndarray | jax.Array:
    """Returns an array, or what numpy makes one of, as nested lists.

    Args:
      name: name of the argument.
      value: its value.
      give: what would be right, the end of a sentence.

    Raises:
      InputError: it holds anything but real numbers.
    """
    found = value
    if not isinstance(value, jax.Array):
        try:
            found = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:  # as rows of two lengths
            raise InputError(
                f"{name}: is {a_type(value)} that is no array; give {give}."
            ) from error
    if not is_real(found.dtype):
        what = f"of {value.dtype}" if hasattr(value, "dtype") else a_type(value)
        raise InputError(f"{name}: is {what} and holds no numbers; give {give}.")
    return found


def check_is(name: str, value: object, kind: type, *, give: str) -> None:
    """Checks that an argument is of a type.

    Raises:
      InputError: it is not.
    """
    if not isinstance(value, kind):
        raise InputError(f"{name}: is {a_type(value)}; give {give}.")


def check_key(key: Any) -> None:
    """Checks that there is one random key, or the numbers of one.

    Raises:
      InputError: it is something else.
    """
    give = "give one key, as jax.random.key(0)"
    if not isinstance(key, jax.Array):
        raise InputError(f"key: is {a_type(key)} and no key; {give}.")
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        shape = ()
    else:
        shape = jax.random.key_data(jax.random.key(0)).shape
        if key.dtype != jnp.uint32:
            raise InputError(f"key: is of {key.dtype} and no key; {give}.")
    if key.shape != shape:
        raise InputError(f"key: is of shape {list(key.shape)}; {give}.")
