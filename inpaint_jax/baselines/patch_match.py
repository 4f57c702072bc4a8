"""Completion from the picture's own patches: PatchMatch in an image pyramid.

From coarse to fine, two steps alternate: every patch that touches the hole finds its
nearest wholly known patch (`patch_field`), and every hidden pixel becomes a weighted
mean of the matches of the patches that cover it (Wexler, Shechtman, Irani 2007).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from inpaint_jax import types
from inpaint_jax.baselines import patch_field
from inpaint_jax.images import blending

_Picture = Float[Array, "height width 3"]
_Known = Float[Array, "height width 1"]

# The weight of a patch falls by this factor with each pixel of depth in the hole.
_CONFIDENCE = 1.3
_LEAST_LIKENESS = 1e-6


class PatchMatchInfo(NamedTuple):
    """Diagnostics of a completion.

    Attributes:
      available: `[batch]`, whether the picture has a wholly known patch.
      distance: `[batch, levels, rounds, iterations]`, coarsest level first: the squared
        distance of a patch to its match after each iteration, the mean over the
        patches that touch the hole. It never rises within a round; it is infinite at a
        level without a wholly known patch.
    """

    available: Bool[Array, " batch"]
    distance: Float[Array, "batch levels rounds iterations"]


def complete(
    key: Key[Array, " batch"], image: types.Image, mask: types.Mask, **options: int
) -> types.Image:
    """Completes images from their own patches: `solve` without its info."""
    return solve(key, image, mask, **options)[0]


def solve(
    key: Key[Array, " batch"],
    image: types.Image,
    mask: types.Mask,
    *,
    patch: int = 7,
    levels: int = 3,
    rounds: int = 10,
    iterations: int = 2,
) -> tuple[types.Image, PatchMatchInfo]:
    """Completes images from their own patches, and returns how well these fitted.

    The coarsest level starts from a smooth hole, each other level from the result of
    the level before. A coarse pixel is known if all its four finer pixels are. A level
    at which an image has no wholly known patch leaves its start unchanged.

    Args:
      key: one random key for each image, `[batch]`.
      image: `[batch, H, W, 3]`; any value in the hole is ignored, also NaN.
      mask: `[batch, H, W, 1]`, 1 = known; each image must have known pixels.
      patch: side of a patch in pixels, at every level; 7 in Barnes et al. 2009.
      levels: number of levels of the pyramid; each has half the side of the next.
      rounds: number of rounds of search and vote at each level.
      iterations: iterations of the search in each round.

    Returns:
      (completed images `[batch, H, W, 3]` with the image's exact known pixels, info).
      If no patch is available the hole has the mean colour of the known pixels.
    """
    height, width = image.shape[1:3]
    scale = 2 ** (levels - 1)
    if height % scale or width % scale or min(height, width) < patch * scale:
        raise ValueError(
            f"{levels} levels with patches of {patch} need sides that are multiples of "
            f"{scale} and at least {patch * scale}, got {height} x {width}"
        )
    mean = blending.mean_colour(image, mask)
    through_pyramid = functools.partial(
        _through_pyramid,
        patch=patch,
        levels=levels,
        rounds=rounds,
        iterations=iterations,
    )
    smooth = blending.poisson(mean, image, mask)
    estimate, info = jax.vmap(through_pyramid)(key, smooth, mask)
    filled = jnp.where(info.available[:, None, None, None], estimate, mean)
    return blending.paste(filled, image, mask), info


def _through_pyramid(
    key: types.PRNGKey,
    smooth: _Picture,
    mask: _Known,
    *,
    patch: int,
    levels: int,
    rounds: int,
    iterations: int,
) -> tuple[_Picture, PatchMatchInfo]:
    # Completes one image, whose hole is smooth at the start.
    pyramid = [(smooth, mask)]
    for _ in range(levels - 1):
        image, known = pyramid[0]
        pyramid.insert(0, (_halved(image, jnp.mean), _halved(known, jnp.min)))
    keys = jax.random.split(key, (levels, rounds + 1))
    estimate, available, distances = pyramid[0][0], jnp.array(False), []
    for (image, known), keys_level in zip(pyramid, keys, strict=True):
        start = jax.image.resize(estimate, image.shape, "linear")
        start = jnp.where(known > 0, image, start)
        refined, available, distance = _refine(
            keys_level, start, known, patch=patch, iterations=iterations
        )
        estimate = jnp.where(available, refined, start)
        distances.append(distance)
    return estimate, PatchMatchInfo(available, jnp.stack(distances))


def _refine(
    keys: Key[Array, " keys"],
    image: _Picture,
    known: _Known,
    *,
    patch: int,
    iterations: int,
) -> tuple[_Picture, Bool[Array, ""], Float[Array, "rounds iterations"]]:
    # One level: search and vote in turns; one key for the first field and each round.
    whole = patch_field.cut(known, patch=patch) > 0
    source = jnp.all(whole, axis=-1)
    touching = jnp.maximum(jnp.sum(~source), 1).astype(image.dtype)
    confidence = _CONFIDENCE ** -_depth(known, patch)

    def search_and_vote(
        carry: tuple[_Picture, patch_field.Field], key: types.PRNGKey
    ) -> tuple[tuple[_Picture, patch_field.Field], Float[Array, " iterations"]]:
        image, field = carry
        patches = patch_field.cut(image, patch=patch)
        field, squares = patch_field.search(
            key, patches, source, field, iterations=iterations
        )
        squares = jnp.where(source[None], 0.0, squares)
        mean = jnp.sum(squares, axis=(1, 2)) / touching
        # The weights of Wexler et al. 2007, with the mean as their sigma squared.
        likeness = jnp.exp(-squares[-1] / (2.0 * mean[-1] + 1e-8))
        weight = confidence * jnp.maximum(likeness, _LEAST_LIKENESS)
        voted = _vote(patches[patch_field.at(field)], weight, image.shape, patch)
        return (jnp.where(known > 0, image, voted), field), mean

    start = image, patch_field.random_field(keys[0], source)
    (image, _), distance = jax.lax.scan(search_and_vote, start, keys[1:])
    return image, jnp.any(source), distance


def _vote(
    matches: patch_field.Patches,
    weight: patch_field.OfPatches,
    shape: tuple[int, ...],
    patch: int,
) -> _Picture:
    # Sums the matches at the places of their patches, and returns the weighted mean.
    # A loop over the pixels of a patch: unrolled, it takes minutes to compile.
    matches = matches.reshape(*weight.shape, patch**2, -1)
    weight = weight[..., None]

    def lay(
        i: Int[Array, ""], picture: Float[Array, "height width 4"]
    ) -> Float[Array, "height width 4"]:
        votes = jnp.concatenate([weight * matches[:, :, i], weight], axis=-1)
        corner = i // patch, i % patch, 0
        there = jax.lax.dynamic_slice(picture, corner, votes.shape)
        return jax.lax.dynamic_update_slice(picture, there + votes, corner)

    total = jax.lax.fori_loop(0, patch**2, lay, jnp.zeros((*shape[:2], 4)))
    return total[..., :3] / total[..., 3:]


def _depth(known: _Known, patch: int) -> patch_field.OfPatches:
    # Returns the depth of each patch's centre in the hole, in pixels.
    def grow(_: Int[Array, ""], carry: tuple[_Known, _Known]) -> tuple[_Known, _Known]:
        depth, known = carry
        near = jax.lax.reduce_window(
            known, -jnp.inf, jax.lax.max, (3, 3, 1), (1, 1, 1), "SAME"
        )
        return depth + (1.0 - known), near

    start = jnp.zeros_like(known), known
    depth, _ = jax.lax.fori_loop(0, max(known.shape), grow, start)
    return patch_field.cut(depth, patch=patch)[..., patch**2 // 2]


def _halved(
    image: Float[Array, "height width channels"], reduce: Callable[..., jax.Array]
) -> Float[Array, "height//2 width//2 channels"]:
    rows, columns, channels = image.shape
    blocks = image.reshape(rows // 2, 2, columns // 2, 2, channels)
    return reduce(blocks, axis=(1, 3))
