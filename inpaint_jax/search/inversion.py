"""GAN inversion: finds the z of an undamaged face, the best that G can generate."""

import jax.numpy as jnp
import optax

from inpaint_jax import types
from inpaint_jax.search import latent_descent


def invert(
    key: types.PRNGKey,
    image: types.Image,
    z: types.Latent,
    *,
    generate: types.Generate,
    iterations: int = 300,
    learning_rate: float = 0.05,
) -> tuple[types.Latent, types.PerExample]:
    """Searches for the z whose G(z) has the least squared error to each image.

    Args:
      key: random key of the search; not used here.
      image: `[batch, H, W, 3]` in [-1, 1].
      z: initial z of each image, `[batch, z_dim]`.
      generate: G with its weights.
      iterations: steps of Adam; its learning rate falls to 0 along half a cosine.
      learning_rate: at the start.

    Returns:
      (best z of each image, `[batch, z_dim]`; its mean squared error, `[batch]`).
    """
    rate = optax.cosine_decay_schedule(learning_rate, iterations)
    optimizer = optax.adam(rate)

    def objective(
        key: types.PRNGKey, z: types.Latent, taken: latent_descent.Taken
    ) -> tuple[types.PerExample, None]:
        del key, taken
        return jnp.mean((generate(z) - image) ** 2, axis=(1, 2, 3)), None

    state, _ = latent_descent.solve(
        latent_descent.init(key, z, optimizer=optimizer),
        objective=objective,
        optimizer=optimizer,
        iterations=iterations,
    )
    return state.best_z, state.best_loss
