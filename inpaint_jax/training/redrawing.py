"""What it costs an encoder and G to redraw real images badly.

A search can only find faces that G can draw, and nothing in the game of two asks G to
draw every face. So E and G must redraw the real images, judged by their pixels and by
what D's layers see in them (Larsen et al. 2016), while E must spread its codes as z is
spread (Kolouri et al. 2019).
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax import losses, types


@dataclasses.dataclass(frozen=True)
class Rules:
    """What E and G minimise together.

    Attributes:
      weight: of the pixels' error; with 0 there is no encoder.
      error: "squared" or "absolute": of the pixels.
      features: weight of the features' error beside the pixels', both times `weight`.
      latent_weight: of `losses.adversarial.latent_match` of the codes.
    """

    weight: float = 0.0
    error: str = "squared"
    features: float = 0.0
    latent_weight: float = 1.0


class Redrawn(NamedTuple):
    """How well images were redrawn.

    Attributes:
      error: of the pixels, `[batch]`.
      features: of the features, `[batch]`; 0 where they have no weight.
      latent_match: `[batch]`.
    """

    error: types.PerExample
    features: types.PerExample
    latent_match: types.PerExample


Features = Callable[[types.Image], list[jax.Array]]
"""Images to the features of each of D's layers, `[batch, H', W', channels]`."""


def gradient(
    key: types.PRNGKey,
    z: types.Latent,
    real: types.Image,
    code: types.Latent,
    rebuilt: types.Image,
    *,
    features: Features,
    rules: Rules,
) -> tuple[tuple[types.Latent, types.Image], Redrawn]:
    """Computes the gradient of the mean cost by the codes and the redrawn images.

    Args:
      key: of the directions of `losses.adversarial.latent_match`.
      z: drawn from the prior, as the codes are to be spread.
      real: `[batch, H, W, 3]`.
      code: E(real), `[batch, z_dim]`.
      rebuilt: G(code).
      features: what D sees; D does not learn from this.
      rules: the weights.

    Returns:
      (gradient by the codes, gradient by the redrawn images), and the parts.
    """

    def objective(
        code: types.Latent, rebuilt: types.Image
    ) -> tuple[Float[Array, ""], Redrawn]:
        parts = Redrawn(
            error=_pixels(rebuilt, real, rules.error),
            features=_seen(rebuilt, real, features)
            if rules.features > 0.0
            else jnp.zeros(real.shape[0]),
            latent_match=losses.adversarial.latent_match(key, code, z),
        )
        each = rules.weight * (parts.error + rules.features * parts.features)
        return jnp.mean(each + rules.latent_weight * parts.latent_match), parts

    return jax.grad(objective, argnums=(0, 1), has_aux=True)(code, rebuilt)


def _pixels(rebuilt: types.Image, real: types.Image, error: str) -> types.PerExample:
    difference = rebuilt - real
    each = difference**2 if error == "squared" else jnp.abs(difference)
    return jnp.mean(each, axis=(1, 2, 3))


def _seen(
    rebuilt: types.Image, real: types.Image, features: Features
) -> types.PerExample:
    """Mean over the layers of the features' absolute error over their own size."""
    total = jnp.zeros(real.shape[0])
    layers = list(zip(features(rebuilt), features(real), strict=True))
    for found, wanted in layers:
        wanted = jax.lax.stop_gradient(wanted)
        size = jnp.mean(jnp.abs(wanted)) + 1e-6
        total += jnp.mean(jnp.abs(found - wanted), axis=(1, 2, 3)) / size
    return total / len(layers)
