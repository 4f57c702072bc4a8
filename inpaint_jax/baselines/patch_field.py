"""PatchMatch: finds the nearest patch of each patch of a picture.

Each patch tries the matches of its neighbours (propagation) and random patches around
its own match (random search; Barnes, Shechtman, Finkelstein, Goldman 2009). Here all
patches do so at once, with neighbours at several distances, in place of a scan through
the picture.

A patch has the coordinates of its upper left pixel; a field holds the (row, column) of
each patch's match.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from inpaint_jax import types

Patches = Float[Array, "rows columns values"]
Field = Int[Array, "rows columns 2"]
Chosen = Bool[Array, "rows columns"]
OfPatches = Float[Array, "rows columns"]
_Chances = Float[Array, "proposals rows columns 2"]
# (shift of the neighbour, search radius around its match, random direction).
_Proposal = tuple[Int[Array, "1 1 2"], Float[Array, ""], Float[Array, "rows columns 2"]]
_Best = tuple[Field, OfPatches]

_JUMPS = (8, 4, 2, 1)


def search(
    key: types.PRNGKey,
    patches: Patches,
    source: Chosen,
    field: Field,
    *,
    iterations: int,
) -> tuple[Field, Float[Array, "iterations rows columns"]]:
    """Improves a nearest-neighbour field (section 3.2 of Barnes et al. 2009).

    Args:
      key: random key of the random search.
      patches: the values of every patch, `[rows, columns, values]`.
      source: which patches may be a match, `[rows, columns]`.
      field: the initial field; a match that is no source is infinitely far.
      iterations: number of rounds of propagation and random search.

    Returns:
      (field, each patch's squared distance after each iteration). A distance never
      rises; it is infinite if no source was found.
    """
    place = jnp.stack(jnp.mgrid[: source.shape[0], : source.shape[1]], axis=-1)
    shifts, radii = _proposals(max(source.shape))

    def distance(field: Field) -> OfPatches:
        match = at(field)
        squares = jnp.sum((patches - patches[match]) ** 2, axis=-1)
        return jnp.where(source[match], squares, jnp.inf)

    def propose(best: _Best, inputs: _Proposal) -> tuple[_Best, None]:
        field, least = best
        shift, radius, chance = inputs
        neighbour = _inside(place - shift, source.shape)
        step = jnp.round(radius * chance).astype(jnp.int32)
        candidate = _inside(field[at(neighbour)] + shift + step, source.shape)
        found = distance(candidate)
        nearer = found < least
        field = jnp.where(nearer[..., None], candidate, field)
        return (field, jnp.where(nearer, found, least)), None

    def iterate(best: _Best, chance: _Chances) -> tuple[_Best, OfPatches]:
        best, _ = jax.lax.scan(propose, best, (shifts, radii, chance))
        return best, best[1]

    size = iterations, len(radii), *place.shape
    chance = jax.random.uniform(key, size, minval=-1.0, maxval=1.0)
    start = field, jnp.full(source.shape, jnp.inf)
    (field, _), distances = jax.lax.scan(iterate, start, chance)
    return field, distances


def _proposals(
    side: int,
) -> tuple[Int[Array, "proposals 1 1 2"], Float[Array, " proposals"]]:
    # (shift, radius): the neighbour whose match is tried, and the search radius around
    # that match. First the patch's own match, then its neighbours' matches, then random
    # patches around the best match so far, at ever smaller radii.
    along = [(sign * jump, 0) for jump in _JUMPS for sign in (1, -1)]
    handed_on = [(0, 0), *along, *(shift[::-1] for shift in along)]
    around = [2.0**i for i in reversed(range(side.bit_length()))]
    shifts = jnp.array(handed_on + [(0, 0)] * len(around))
    radii = jnp.array([0.0] * len(handed_on) + around)
    return shifts[:, None, None], radii


def cut(image: Float[Array, "height width channels"], *, patch: int) -> Patches:
    """Cuts all patches out of an image, `[H - patch + 1, W - patch + 1, values]`."""
    rows, columns = (length - patch + 1 for length in image.shape[:2])
    down, across = jnp.arange(rows)[:, None], jnp.arange(columns)[:, None]
    inside = jnp.arange(patch)[None]
    row, column = (down + inside)[:, None, :, None], (across + inside)[None, :, None, :]
    return image[row, column].reshape(rows, columns, -1)


def random_field(key: types.PRNGKey, source: Chosen) -> Field:
    """Draws a random source patch for each patch; an arbitrary one if there is none."""
    count = jnp.cumsum(source)
    chance = jax.random.uniform(key, source.shape)
    number = jnp.floor(count[-1].astype(chance.dtype) * chance).astype(count.dtype)
    chosen = jnp.searchsorted(count, number, side="right")
    return _inside(
        jnp.stack(jnp.divmod(chosen, source.shape[1]), axis=-1), source.shape
    )


def at(place: Field) -> tuple[Int[Array, "rows columns"], ...]:
    """Returns the indices (rows, columns) with which an array yields these places."""
    return tuple(jnp.moveaxis(place, -1, 0))


def _inside(place: Field, shape: tuple[int, ...]) -> Field:
    return jnp.clip(place, 0, jnp.array([[shape]]) - 1)
