"""What a completion minimises over z: eq. 20 of the thesis, networks meeting losses."""

from collections.abc import Callable
from typing import NamedTuple

from inpaint_jax import losses, types
from inpaint_jax.search import latent

Term = Callable[[types.PRNGKey, types.Latent, types.Image], types.PerExample]
"""(key, z, G(z)) -> a loss `[batch]`; rows do not interact."""


class LossTerms(NamedTuple):
    """The terms of eq. 20 before they are weighted, each `[batch]`.

    Attributes:
      context: eq. 16.
      prior: eq. 19, without its lambda.
      landmark: eqs. 17 and 18 or what stands for them; None without it.
      term: a loss of one's own, which eq. 20 does not have; None without it.
    """

    context: types.PerExample
    prior: types.PerExample
    landmark: types.PerExample | None
    term: types.PerExample | None = None

    def weighted(
        self, context: float, prior: float, landmark: float
    ) -> types.PerExample:
        """Returns eq. 20: their sum by these weights, one's own loss as it is."""
        loss = context * self.context + prior * self.prior
        if self.landmark is not None:
            loss = loss + landmark * self.landmark
        if self.term is not None:
            loss = loss + self.term
        return loss


def make(
    generate: types.Generate,
    discriminate: types.Discriminate,
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
) -> latent.Objective:
    """Returns eq. 20.

    Args:
      generate: G.
      discriminate: D.
      image: `[batch, H, W, 3]`; only pixels with a weight matter.
      weights: `losses.image.context_weights`, `[batch, H, W, 1]`.
      lambda_context: weight of the context loss.
      lambda_prior: weight of the prior loss.
      lambda_landmark: weight of the landmark loss.
      normalised: as in `losses.image.context`.
      saturating: as in `losses.image.prior`.
      landmark: the landmark loss, see `landmark_term`; None leaves it out.
      term: a loss of one's own, added as it is.

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
            prior=losses.image.prior(discriminate(generated), saturating=saturating),
            landmark=None if landmark is None else landmark(key, z, generated),
            term=None if term is None else term(key, z, generated),
        )
        loss = terms.weighted(lambda_context, lambda_prior, lambda_landmark)
        return loss, terms

    return objective
