"""In-domain search: z stays where the encoder would see the face that it draws."""

import jax.numpy as jnp

from inpaint_jax import types
from inpaint_jax.search.problem import Networks, Problem

NAME = "in_domain"
"""Name of the term."""


def in_domain(
    key: types.PRNGKey,
    z: types.Latent,
    generated: types.Image,
    problem: Problem,
    networks: Networks,
) -> types.PerExample:
    """Returns the mean square of z - E(G(z) under the mask) (Zhu et al. 2020, eq. 4).

    Args:
      key: is not used.
      z: `[restarts, z_dim]`.
      generated: G(z), `[restarts, H, W, 3]`.
      problem: the damaged image.
      networks: with the encoder of damaged faces.

    Returns:
      `[restarts]`.
    """
    del key
    mask = problem.mask.repeat(len(generated), axis=0)
    return jnp.mean((z - networks.encode(generated * mask, mask)) ** 2, axis=1)
