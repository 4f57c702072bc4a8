"""What several tests draw at random: pictures and the variables of networks."""

import jax
import jax.numpy as jnp
import numpy as np


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def variables(template, *, seed=0):
    """Weights and statistics from N(0, 0.2), variances and scales around 1."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        values = 0.2 * rng.normal(size=leaf.shape)
        centred = path[-1].key in ("var", "scale")
        return jnp.asarray(values + 1.0 if centred else values, jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, template)
