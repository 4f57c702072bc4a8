"""Double-float arithmetic: a number is a sum of two float32, high + low (Dekker 1971).

dlib fits and maps shapes in float64, and rounds once at the end. JAX has no float64 by
default and accelerators are slow at it, so the few numbers that need it are pairs. The
error bounds hold for sizes from 2^-50 to 2^50, and 0; high is the float32 nearest to
the number.

Compilers fuse a product and a following sum into one operation that rounds once. Here
every product before a sum is exact or protected from fusion, so the result is the same.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Number = Float[Array, "..."]
Pair = tuple[jax.Array, jax.Array]

# Without its last 12 bits a float32 has 12; the product of two such is exact.
_FIRST_HALF = -(1 << 12)


def add(p: Pair, q: Pair) -> Pair:
    """Returns p + q with an error of at most 2^-46 (|p| + |q|)."""
    high, rest = _sum(p[0], q[0])
    return _sum(high, rest + (p[1] + q[1]))


def times(p: Pair, q: Pair) -> Pair:
    """Returns p q with an error of at most 2^-45 |p q|."""
    high, low = product(p[0], q[0])
    return _sum(high, low + (_rounded(p[0] * q[1]) + _rounded(p[1] * q[0])))


def product(a: Number, b: Number) -> Pair:
    """Returns the exact product of two plain numbers."""
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    high = rounded_product(a, b)
    rest = (a_high * b_high - high) + a_high * b_low + a_low * b_high
    return high, rest + a_low * b_low


def total(p: Pair) -> Pair:
    """Returns the sum over the first axis, which is folded in half until it is one."""
    high, low = p
    while (half := len(high) // 2) > 0:
        first, second = slice(half), slice(half, 2 * half)
        folded = add((high[first], low[first]), (high[second], low[second]))
        # Without a barrier the compiler computes each sum again for all later ones.
        high, low = jax.lax.optimization_barrier(
            (
                jnp.concatenate([folded[0], high[2 * half :]]),
                jnp.concatenate([folded[1], low[2 * half :]]),
            )
        )
    return high[0], low[0]


def quotient(p: Pair, q: Pair) -> Number:
    """Returns p / q in float32, rounded only once."""
    first = _rounded(p[0] / q[0])
    rest = add(p, times(pair(-first), q))
    return first + rest[0] / q[0]


def pair(a: Number) -> Pair:
    """Returns a plain number as a pair."""
    return a, jnp.zeros_like(a)


def nearest(p: Pair) -> Number:
    """Returns floor(p + 1/2), dlib's rounding; exact for |p| < 2^22."""
    half = jnp.floor(p[0]) + 0.5
    return half + jnp.where((p[0] - half) + p[1] >= 0, 0.5, -0.5)


def rounded_down(p: Pair) -> Number:
    """Returns the largest float32 that is at most p."""
    return jnp.where(p[1] < 0, jnp.nextafter(p[0], -jnp.inf), p[0])


def rounded_product(a: Number, b: Number) -> Number:
    """Returns a b rounded to float32, never fused with a following sum."""
    return _rounded(a * b)


def _sum(a: Number, b: Number) -> Pair:
    # Knuth's two-sum: the rounded sum of two numbers and its rounding error.
    high = a + b
    moved = high - a
    return high, (a - (high - moved)) + (b - moved)


def _halves(a: Number) -> Pair:
    bits = jax.lax.bitcast_convert_type(a, jnp.int32) & _FIRST_HALF
    high = jax.lax.bitcast_convert_type(bits, jnp.float32)
    return high, a - high


def _rounded(value: Number) -> Number:
    # Clipping at a bound that no number here reaches keeps the compiler from fusing a
    # product with the following sum. A division by a constant is such a product.
    return jnp.clip(value, -1e30, 1e30)
