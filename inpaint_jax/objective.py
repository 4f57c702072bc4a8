"""What a completion minimises over z: eq. 20 of the thesis, networks meeting losses."""

from typing import NamedTuple

from inpaint_jax import latent, losses, types


class LossTerms(NamedTuple):
    """The terms of eq. 20 before they are weighted, each `[batch]`.

    Attributes:
      context: eq. 16.
      prior: eq. 19, without its lambda.
    """

    context: types.PerExample
    prior: types.PerExample


def make(
    generate: types.Generate,
    discriminate: types.Discriminate,
    image: types.Image,
    weights: types.ContextWeights,
    *,
    lambda_context: float = 1.0,
    lambda_prior: float,
    normalised: bool = False,
    saturating: bool = False,
) -> latent.Objective:
    """Returns the part of eq. 20 that has a gradient: context and prior loss.

    The landmark count of eqs. 17 and 18 is a step function. It cannot move z, so it is
    no part of this: it enters the score by which restarts are ranked.

    Args:
      generate: G.
      discriminate: D.
      image: `[batch, H, W, 3]`; only pixels with a weight matter.
      weights: `masks.context_weights`, `[batch, H, W, 1]`.
      lambda_context: weight of the context loss.
      lambda_prior: weight of the prior loss.
      normalised: as in `losses.context`.
      saturating: as in `losses.prior`.

    Returns:
      z `[batch, z_dim]` -> (loss `[batch]`, LossTerms).
    """

    def objective(z):
        generated = generate(z)
        terms = LossTerms(
            context=losses.context(generated, image, weights, normalised=normalised),
            prior=losses.prior(discriminate(generated), saturating=saturating),
        )
        return lambda_context * terms.context + lambda_prior * terms.prior, terms

    return objective
