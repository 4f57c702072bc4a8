"""The problem of a search: one damaged image, its terms, and their loss (eq. 20)."""

import zlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from inpaint_jax import losses, types
from inpaint_jax.errors import InputError
from inpaint_jax.images import pixels
from inpaint_jax.search import arguments, latent_descent, objective
from inpaint_jax.search.settings import Settings

Picture = (
    UInt8[np.ndarray, "height width 3"]
    | UInt8[Array, "height width 3"]
    | Float[np.ndarray, "height width 3"]
    | Float[Array, "height width 3"]
)
Known = (
    Bool[np.ndarray, "rows columns *one"]
    | Bool[Array, "rows columns *one"]
    | Float[np.ndarray, "rows columns *one"]
    | Float[Array, "rows columns *one"]
)


class Problem(NamedTuple):
    """One damaged image, as arrays, so that images share a compiled program.

    Attributes:
      image: `[1, H, W, 3]` in [-1, 1]; pixels in the hole are ignored.
      mask: `[1, H, W, 1]`, 1 = known.
      targets: {name of a term: what it draws G(z) to}, as `landmark_term.Target`.
    """

    image: types.Image
    mask: types.Mask
    targets: Mapping[str, Any] = {}


class Networks(NamedTuple):
    """The functions of a search, as pytrees: a program takes weights as arguments.

    Attributes:
      generate: G with its weights.
      discriminate: D with its weights; None if not used.
      encode: E with its weights; None if not used.
      terms: {name: (weight, `Term`)} beside those of `objective.OWN_TERMS`.
    """

    generate: Any
    discriminate: Any
    encode: Any = None
    terms: Mapping[str, tuple[Any, Any]] = {}


Term = Callable[
    [types.PRNGKey, types.Latent, types.Image, Problem, Networks], types.PerExample
]
"""A term of the loss: (key, z, G(z), problem, networks) -> `[restarts]`.

Rows do not interact. It gets a fresh random key at each step.
"""


class WeightedTerm(NamedTuple):
    """A term of a search and its weight.

    Attributes:
      weight: its factor in the loss.
      term: the term.
      has_gradient: whether it has a gradient; if not, it only ranks the restarts after
        the search.
      fades: whether its weight falls to 0 in the course of the search, along half a
        cosine; it does not rank the restarts then.
    """

    weight: float
    term: Term
    has_gradient: bool = True
    fades: bool = False


def problem_of(image: Picture, mask: Known, *, size: int) -> Problem:
    """Returns the problem of one image; the hole is grey in it.

    Args:
      image: as in `completion.complete`.
      mask: as in `completion.complete`.
      size: height and width of the model's images.

    Raises:
      InputError: image and mask are no arrays of numbers, or do not fit each other or
        the model, a known pixel lies outside [-1, 1], or no pixel is known or none
        hidden.
    """
    image = arguments.numbers("image", image, give=f"[{size}, {size}, 3] in bytes")
    known_is_1 = f"[{size}, {size}], 1 where the pixel is known"
    mask = arguments.numbers("mask", mask, give=known_is_1)
    if image.shape != (size, size, 3):
        raise InputError(
            f"image: is {list(image.shape)}, but this model completes "
            f"[{size}, {size}, 3]; framing.frame cuts such a square out of a picture."
        )
    if mask.shape not in ((size, size), (size, size, 1)):
        raise InputError(f"mask: is {list(mask.shape)}; give {known_is_1}.")
    stencil = np.asarray(mask).reshape(1, size, size, 1)
    known = stencil > 0
    if not np.isin(stencil, (0, 1)).all() or known.all() or not known.any():
        found = np.unique(stencil)
        raise InputError(
            f"mask: holds values from {found[0]:g} to {found[-1]:g}; give 1 where the "
            "pixel is known and 0 in the hole, and some of both."
        )
    shown = jnp.asarray(image)
    if shown.dtype == jnp.uint8:
        shown = pixels.from_bytes(shown)
    if not jnp.issubdtype(shown.dtype, jnp.floating):
        raise InputError(f"image: is of {shown.dtype}; give uint8, or floats.")
    shown = jnp.where(known, shown.astype(jnp.float32)[None], 0.0)
    if not bool(jnp.all(jnp.abs(shown) <= 1.0)):
        raise InputError(
            "image: known pixels lie outside [-1, 1]; give bytes, or scale."
        )
    return Problem(shown, jnp.asarray(known, jnp.float32))


def named_key(key: types.PRNGKey, name: str) -> types.PRNGKey:
    """Derives the random key of an image or a term from its name, whatever others."""
    encoded = name.encode("utf-8", "surrogateescape")  # a name may be no UTF-8
    return jax.random.fold_in(key, zlib.crc32(encoded))


def loss(
    networks: Networks,
    problem: Problem,
    settings: Settings,
    *,
    restarts: int,
    without: Collection[str] = (),
    fading: Collection[str] = (),
) -> latent_descent.Objective:
    """Returns the loss (eq. 20) of the restarts of one image.

    Args:
      networks: the networks and terms.
      problem: the damaged image.
      settings: hyperparameters, with the weights of context and prior.
      restarts: number of rows of z.
      without: names of terms that are left out.
      fading: names of terms that fade.
    """
    weights = losses.image.context_weights(problem.mask, window=settings.window)

    def weight_of(name: str, weight: Any) -> Any:
        if name not in fading:
            return weight
        return lambda taken: weight * _remains(taken, settings.all_iterations)

    def of_this(name: str, term: Term) -> objective.Term:
        return lambda key, z, generated: term(
            named_key(key, name), z, generated, problem, networks
        )

    return objective.make(
        networks.generate,
        networks.discriminate,
        problem.image.repeat(restarts, axis=0),
        weights.repeat(restarts, axis=0),
        lambda_context=settings.lambda_context,
        lambda_prior=settings.lambda_prior,
        normalised=settings.normalised,
        saturating=settings.saturating,
        terms={
            name: objective.Weighted(weight_of(name, weight), of_this(name, term))
            for name, (weight, term) in networks.terms.items()
            if name not in without
        },
    )


def _remains(taken: latent_descent.Taken, steps: int) -> Float[Array, " restarts"]:
    """Falls from 1 to 0 along half a cosine."""
    progress = jnp.minimum(taken.astype(jnp.float32) / steps, 1.0)
    return 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
