"""The loss that a search minimises over z (eq. 20 of the thesis)."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from inpaint_jax import losses, types
from inpaint_jax.search import latent_descent

Term = Callable[[types.PRNGKey, types.Latent, types.Image], types.PerExample]
"""(key, z, G(z)) -> a loss `[batch]`; rows do not interact."""


class LossTerms(NamedTuple):
    """The unweighted terms of the loss (eq. 20), each `[batch]`.

    Attributes:
      context: context loss (eq. 16).
      prior: prior loss without its lambda (eq. 19); 0 without D.
      landmark: landmark loss (eqs. 17 and 18, or a smooth one); None if not used.
      term: a loss of the user, not part of eq. 20; None if not used.
    """

    context: types.PerExample
    prior: types.PerExample
    landmark: types.PerExample | None
    term: types.PerExample | None = None

    def weighted(
        self, context: float, prior: float, landmark: float
    ) -> types.PerExample:
        """Returns the weighted sum of the terms (eq. 20); the user's has weight 1."""
        loss = context * self.context + prior * self.prior
        if self.landmark is not None:
            loss = loss + landmark * self.landmark
        if self.term is not None:
            loss = loss + self.term
        return loss


def make(
    generate: types.Generate,
    discriminate: types.Discriminate | None,
    image: types.Image,
    weights: types.ContextWeights,
    *,
    lambda_context: float = 1.0,
    lambda_prior: float,
    lambda_landmark: float = 0.0,
    normalised: bool = False,
    saturating: bool = False,
    landmark: Term | None = None,
    term: Term | None = None,
) -> latent_descent.Objective:
    """Returns the loss of z (eq. 20) as an objective for `latent_descent`.

    Args:
      generate: G.
      discriminate: D; None if `lambda_prior` is 0 and there is none.
      image: `[batch, H, W, 3]`; pixels with weight 0 are ignored.
      weights: `losses.image.context_weights`, `[batch, H, W, 1]`.
      lambda_context: weight of the context loss.
      lambda_prior: weight of the prior loss.
      lambda_landmark: weight of the landmark loss.
      normalised: as in `losses.image.context`.
      saturating: as in `losses.image.prior`.
      landmark: the landmark loss, see `landmark_term`; None leaves it out.
      term: a loss of the user, added with weight 1; None leaves it out.

    Returns:
      (key, z `[batch, z_dim]`) -> (loss `[batch]`, LossTerms).
    """

    def objective(
        key: types.PRNGKey, z: types.Latent
    ) -> tuple[types.PerExample, LossTerms]:
        generated = generate(z)
        terms = LossTerms(
            context=losses.image.context(
                generated, image, weights, normalised=normalised
            ),
            prior=_prior(discriminate, generated, saturating=saturating),
            landmark=None if landmark is None else landmark(key, z, generated),
            term=None if term is None else term(key, z, generated),
        )
        loss = terms.weighted(lambda_context, lambda_prior, lambda_landmark)
        return loss, terms

    return objective


def _prior(
    discriminate: types.Discriminate | None, generated: types.Image, *, saturating: bool
) -> types.PerExample:
    if discriminate is None:
        return jnp.zeros(len(generated))
    return losses.image.prior(discriminate(generated), saturating=saturating)
