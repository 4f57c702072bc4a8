"""Numbers as pairs (high, low) of float32 whose exact sum is meant (Dekker 1971).

dlib works in float64 where it fits and maps shapes, and rounds once at the end. JAX has
no float64 by default and accelerators are slow at it, so the few numbers that matter
are carried as pairs, good for 2^-36 of their size or better.

Compilers fuse a product with a following sum into one operation that rounds once. Here
every product that is followed by a sum is exact, so that makes no difference.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Number = Float[Array, "..."]
Pair = tuple[jax.Array, jax.Array]

# Without its last 12 bits a float32 has 12; the product of two such is exact.
_FIRST_HALF = -(1 << 12)


def add(p: Pair, q: Pair) -> Pair:
    """Returns p + q."""
    high, rest = _sum(p[0], q[0])
    return _sum(high, rest + (p[1] + q[1]))


def times(p: Pair, q: Pair) -> Pair:
    """Returns p q."""
    high, low = product(p[0], q[0])
    return _sum(high, low + (_exact(p[0] * q[1]) + _exact(p[1] * q[0])))


def product(a: Number, b: Number) -> Pair:
    """Returns a b of two plain numbers."""
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    high, rest = _sum(a_high * b_high, a_high * b_low + a_low * b_high)
    return _sum(high, rest + a_low * b_low)


def total(p: Pair) -> Pair:
    """Returns the sum over the first axis."""
    while (count := p[0].shape[0]) > 1:
        half = count // 2
        rest = tuple(part[2 * half :] for part in p)
        folded = add((p[0][:half], p[1][:half]), tuple(x[half : 2 * half] for x in p))
        # Without a barrier the compiler computes each fold anew for all that follow.
        p = jax.lax.optimization_barrier(
            tuple(jnp.concatenate([folded[i], rest[i]]) for i in (0, 1))
        )
    return p[0][0], p[1][0]


def quotient(p: Pair, q: Pair) -> Number:
    """Returns p / q, rounded once to float32."""
    first = p[0] / q[0]
    rest = add(p, times(pair(-first), q))
    return first + rest[0] / q[0]


def pair(a: Number) -> Pair:
    """Returns a plain number as a pair."""
    return a, jnp.zeros_like(a)


def nearest(p: Pair) -> Number:
    """Returns floor(p + 1/2), as dlib rounds; a whole number in float32."""
    whole = jnp.floor(p[0])
    # The fraction is exact, and so is its difference to a half.
    return whole + jnp.where((p[0] - whole - 0.5) + p[1] >= 0, 1.0, 0.0)


def rounded_product(a: Number, b: Number) -> Number:
    """Returns a b rounded to float32 before anything is done with it."""
    return _exact(a * b)


def _sum(a, b):
    # Knuth's sum of two numbers and what rounding took from it.
    high = a + b
    moved = high - a
    return high, (a - (high - moved)) + (b - moved)


def _halves(a):
    bits = jax.lax.bitcast_convert_type(a, jnp.int32) & _FIRST_HALF
    high = jax.lax.bitcast_convert_type(bits, jnp.float32)
    return high, a - high


def _exact(product):
    # A bound that no number here reaches keeps the compiler from fusing the product
    # with the sum that follows.
    return jnp.clip(product, -1e30, 1e30)
