"""A structural prior: the hole should look, coarsely, as a network expects it.

The known pixels say little about the hole, so many faces fit them, and a search drifts
away from a good start. A coarse prediction of the hole by a network in one pass is a
target that keeps it there (Lahiri et al. 2020 regularise a search so), while G and the
prior loss keep the picture a face. Where several networks disagree it pulls less. Its
weight may fade in the course of a search (`problem.WeightedTerm`): then it says where
to begin.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from inpaint_jax import losses, types
from inpaint_jax.errors import InputError
from inpaint_jax.search.problem import Networks, Problem

NAME = "structure"
"""Of the term, and of its target in `Problem.targets`."""

Draw = Callable[[types.Image, types.Mask], types.Image]
"""(damaged image, mask) -> a face `[1, H, W, 3]`, of which the hole is used."""


class Target(NamedTuple):
    """What the hole of one image should look like.

    Attributes:
      image: `[1, H, W, 3]` in [-1, 1].
      weights: `[1, H, W, 1]` in [0, 1], how sure it is.
    """

    image: types.Image
    weights: Float[jax.Array, "1 height width 1"]


def target(
    draw: Sequence[Draw],
    image: types.Image,
    mask: types.Mask,
    *,
    tolerance: float = 0.0,
) -> Target:
    """Returns the mean of what networks expect in the hole of one image.

    Args:
      draw: the networks.
      image: the damaged image, `[1, H, W, 3]`; values in the hole are ignored.
      mask: `[1, H, W, 1]`, 1 = known.
      tolerance: where the networks differ by so much, as a mean over colours of the
        standard deviation, the target weighs half; 0 for 1 everywhere.
    """
    drawn = jnp.stack([each(image * mask, mask) for each in draw])
    weights = jnp.ones_like(mask)
    if tolerance > 0:
        apart = jnp.std(drawn, axis=0).mean(axis=-1, keepdims=True)
        weights = 1.0 / (1.0 + (apart / tolerance) ** 2)
    return Target(drawn.mean(axis=0), weights)


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=[], meta_fields=["blur"]
)
@dataclasses.dataclass(frozen=True)
class StructureTerm:
    """The distance to the `Target` of a problem.

    Attributes:
      blur: side in pixels, odd, of the square over which the difference is averaged; 1
        compares pixels.
    """

    blur: int = 5

    def __post_init__(self) -> None:
        """Raises InputError if the square has no middle."""
        if self.blur % 2 == 0 or self.blur < 1:
            raise InputError(f"blur={self.blur}: must be odd, as 9.")

    def __call__(
        self,
        key: types.PRNGKey,
        z: types.Latent,
        generated: types.Image,
        problem: Problem,
        networks: Networks,
    ) -> types.PerExample:
        """Returns the distance of each restart, see `problem.Term`."""
        del key, z, networks
        wanted, weights = problem.targets[NAME]
        return losses.image.structure(
            generated,
            jnp.broadcast_to(wanted, generated.shape),
            jnp.repeat((1.0 - problem.mask) * weights, len(generated), axis=0),
            blur=self.blur,
        )
