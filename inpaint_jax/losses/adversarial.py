"""Losses of G, D and the encoder: logits or codes in, one number per example out.

Nothing is averaged over the batch here; the one reduction is the caller's. Terms with
log D are computed from logits, with log D = -softplus(-logit) and
log(1 - D) = -softplus(logit), which stay finite where D is certain.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax import types


def discriminator(
    real_logits: types.Logits, fake_logits: types.Logits, *, real_label: float = 1.0
) -> types.PerExample:
    """Computes D's cross entropy on one real and one generated image each (eq. 13).

    Args:
      real_logits: `[batch]`.
      fake_logits: `[batch]`.
      real_label: target for real images in (0, 1]; below 1 it keeps D from growing
        certain ("one-sided label smoothing", Salimans et al. 2016).

    Returns:
      `[batch]`, at least 0.
    """
    real = real_label * jax.nn.softplus(-real_logits)
    smoothing = (1.0 - real_label) * jax.nn.softplus(real_logits)
    return real + smoothing + jax.nn.softplus(fake_logits)


def generator(
    fake_logits: types.Logits, *, saturating: bool = False
) -> types.PerExample:
    """Computes what G minimises when it fools D.

    Args:
      fake_logits: `[batch]`, D's logits of generated images.
      saturating: log(1 - D(G(z))), as eq. 13 is printed; its gradient vanishes where D
        rejects the image. Otherwise -log D(G(z)) (Goodfellow et al. 2014, section 3).

    Returns:
      `[batch]`.
    """
    if saturating:
        return -jax.nn.softplus(fake_logits)
    return jax.nn.softplus(-fake_logits)


def relativistic(logits: types.Logits, others: types.Logits) -> types.PerExample:
    """Computes the relativistic paired loss (Jolicoeur-Martineau 2018).

    D minimises it with the real images first, G with the generated ones first: only the
    difference of a pair counts, so the logits have no zero of their own.

    Args:
      logits: `[batch]`, of the images that are to look more real.
      others: `[batch]`, of the images that they are compared with.

    Returns:
      `[batch]`, at least 0.
    """
    return jax.nn.softplus(others - logits)


def gradient_penalty(
    discriminate: Callable[[types.Image], types.Logits], image: types.Image
) -> types.PerExample:
    """Computes the squared gradient of D by each image (R1, Mescheder et al. 2018).

    Args:
      discriminate: images to logits `[batch]`; rows must be independent, so D must not
        normalise by the batch.
      image: `[batch, H, W, 3]`: real images (R1) or generated ones (R2).

    Returns:
      `[batch]`: the squared norm of the gradient of each logit by its image.
    """
    gradient = jax.grad(lambda x: jnp.sum(discriminate(x)))(image)
    return jnp.sum(gradient**2, axis=(1, 2, 3))


def sliced_wasserstein(
    key: types.PRNGKey, code: types.Latent, z: types.Latent
) -> types.PerExample:
    """Computes the sliced Wasserstein distance of codes from z (Kolouri et al. 2019).

    Codes and z are projected on each axis and on random directions. There the distance
    is squared between the n-th smallest code and the n-th smallest z.

    Args:
      key: of the directions, as many as z is long.
      code: `[batch, z_dim]`, encoded images.
      z: drawn from the prior, same shape; no gradient flows to it.

    Returns:
      `[batch]`: mean squared distance over the directions. Its mean is 0 if code and z
      are the same points in any order.
    """
    directions = jax.random.normal(key, (z.shape[1], z.shape[1]))
    directions = directions / jnp.linalg.norm(directions, axis=0, keepdims=True)

    def projected(points: types.Latent) -> Float[Array, "batch directions"]:
        return jnp.concatenate([points, points @ directions], axis=1)

    along = projected(code)
    rank = jnp.argsort(jnp.argsort(along, axis=0), axis=0)
    goal = jnp.take_along_axis(jnp.sort(projected(z), axis=0), rank, axis=0)
    return jnp.mean((along - jax.lax.stop_gradient(goal)) ** 2, axis=1)
