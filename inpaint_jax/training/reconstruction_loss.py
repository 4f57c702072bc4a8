"""What G and an encoder E minimise together: the error of G(E(image)).

A search can only find faces that G can generate, and the adversarial loss does not ask
G to generate every face. So G and E must reconstruct the real images, compared by their
pixels and by the features of D's layers (Larsen et al. 2016), while E's codes must be
distributed like z (Kolouri et al. 2019).
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from inpaint_jax import losses, types


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of the reconstruction's losses.

    Attributes:
      weight: of the pixels' error; with 0 there is no encoder.
      error: "squared" or "absolute": of the pixels.
      feature_weight: of the features' error beside the pixels', both times `weight`.
      latent_weight: of `losses.adversarial.sliced_wasserstein` of the codes.
    """

    weight: float = 0.0
    error: str = "squared"
    feature_weight: float = 0.0
    latent_weight: float = 1.0


class Losses(NamedTuple):
    """The loss of each image and its parts.

    Attributes:
      total: the weighted sum of the others, `[batch]`.
      pixels: error of the pixels, `[batch]`.
      feature_matching: error of D's features, `[batch]`; 0 where it has no weight.
      sliced_wasserstein: distance of the code from z's distribution, `[batch]`.
    """

    total: types.PerExample
    pixels: types.PerExample
    feature_matching: types.PerExample
    sliced_wasserstein: types.PerExample


Features = Callable[[types.Image], list[jax.Array]]
"""Images to the features of each of D's layers, `[batch, H', W', channels]`."""


def compute(
    key: types.PRNGKey,
    z: types.Latent,
    real: types.Image,
    code: types.Latent,
    reconstruction: types.Image,
    *,
    features: Features,
    config: LossConfig,
) -> Losses:
    """Computes the loss of each image.

    Args:
      key: of the directions of `losses.adversarial.sliced_wasserstein`.
      z: `[batch, z_dim]`, drawn from the prior.
      real: `[batch, H, W, 3]`.
      code: E(real), `[batch, z_dim]`.
      reconstruction: G(code), `[batch, H, W, 3]`.
      features: D's, which is not trained by this.
      config: the weights.
    """
    pixels = _pixel_error(reconstruction, real, config.error)
    feature_matching = jnp.zeros(real.shape[0])
    if config.feature_weight > 0.0:
        feature_matching = _feature_matching(reconstruction, real, features)
    distance = losses.adversarial.sliced_wasserstein(key, code, z)
    error = pixels + config.feature_weight * feature_matching
    total = config.weight * error + config.latent_weight * distance
    return Losses(total, pixels, feature_matching, distance)


def _pixel_error(
    reconstruction: types.Image, real: types.Image, error: str
) -> types.PerExample:
    difference = reconstruction - real
    each = difference**2 if error == "squared" else jnp.abs(difference)
    return jnp.mean(each, axis=(1, 2, 3))


def _feature_matching(
    reconstruction: types.Image, real: types.Image, features: Features
) -> types.PerExample:
    """Mean over the layers of the absolute error, divided by the features' size."""
    total = jnp.zeros(real.shape[0])
    layers = list(zip(features(reconstruction), features(real), strict=True))
    for found, wanted in layers:
        wanted = jax.lax.stop_gradient(wanted)
        size = jnp.mean(jnp.abs(wanted)) + 1e-6
        total += jnp.mean(jnp.abs(found - wanted), axis=(1, 2, 3)) / size
    return total / len(layers)
