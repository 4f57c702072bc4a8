"""The loss that a search minimises over z: eq. 20 of the thesis, and further terms."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax import losses, types
from inpaint_jax.search import latent_descent

Term = Callable[[types.PRNGKey, types.Latent, types.Image], types.PerExample]
"""(key, z, G(z)) -> a loss `[batch]`; rows do not interact."""

Values = dict[str, types.PerExample]
"""{name of a term: its value without its weight, `[batch]`}."""

OWN_TERMS = ("context", "prior")
"""Names of the terms that every search has."""


Fading = Callable[[latent_descent.Taken], Float[Array, " batch"]]
"""A weight that depends on the number of steps taken."""


class Weighted(NamedTuple):
    """A term and its weight in the loss."""

    weight: float | Float[Array, ""] | Fading
    term: Term


def make(
    generate: types.Generate,
    discriminate: types.Discriminate | None,
    image: types.Image,
    weights: types.ContextWeights,
    *,
    lambda_context: float = 1.0,
    lambda_prior: float,
    normalised: bool = False,
    saturating: bool = False,
    terms: Mapping[str, Weighted] | None = None,
) -> latent_descent.Objective:
    """Returns the loss of z (eq. 20) as an objective for `latent_descent`.

    Args:
      generate: G.
      discriminate: D; None if `lambda_prior` is 0 and there is none.
      image: `[batch, H, W, 3]`; pixels with weight 0 are ignored.
      weights: `losses.image.context_weights`, `[batch, H, W, 1]`.
      lambda_context: weight of the context loss (eq. 16).
      lambda_prior: weight of the prior loss (eq. 19).
      normalised: as in `losses.image.context`.
      saturating: as in `losses.image.prior`.
      terms: {name: term and weight}, as the landmark loss (eqs. 17 and 18); the names
        are none of `OWN_TERMS`.

    Returns:
      (key, z `[batch, z_dim]`, steps taken `[batch]`) -> (loss `[batch]`, `Values`).
    """

    def objective(
        key: types.PRNGKey, z: types.Latent, taken: latent_descent.Taken
    ) -> tuple[types.PerExample, Values]:
        generated = generate(z)
        context = losses.image.context(generated, image, weights, normalised=normalised)
        prior = _prior(discriminate, generated, saturating=saturating)
        loss = lambda_context * context + lambda_prior * prior
        values = {"context": context, "prior": prior}
        for name, (weight, term) in (terms or {}).items():
            values[name] = term(key, z, generated)
            now = weight(taken) if callable(weight) else weight
            loss = loss + now * values[name]
        return loss, values

    return objective


def _prior(
    discriminate: types.Discriminate | None, generated: types.Image, *, saturating: bool
) -> types.PerExample:
    if discriminate is None:
        return jnp.zeros(len(generated))
    return losses.image.prior(discriminate(generated), saturating=saturating)
