"""Functions of a trained landmark net: its predictions, and its features."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.models import landmark_net
from inpaint_jax.pretrained import networks


def predict(net: networks.Pretrained) -> jax.tree_util.Partial:
    """Returns a function that predicts the landmarks of faces; rows are independent.

    Args:
      net: a landmark net.

    Returns:
      A pytree (see `model_files.function`) that maps (image `[batch, H, W, 3]`, mask
      `[batch, H, W, 1]`, 1 = known) to (points (x, y) in pixels, matrices that whiten
      their errors to unit variance along each axis). It ignores the pixels in the hole.
    """
    apply = _Predict(net.architecture.network(), net.spread)
    return jax.tree_util.Partial(apply, net.variables)


def features(
    net: networks.Pretrained, image: types.Image
) -> Float[Array, "batch hidden"]:
    """Returns the activations of the net's last hidden layer for undamaged faces."""
    options: Any = {"train": False, "features": True}
    everything = jnp.ones_like(image[..., :1])
    network = net.architecture.network()
    return network.apply(net.variables, image, everything, **options)


@dataclasses.dataclass(frozen=True)
class _Predict:
    network: nn.Module
    spread: float

    def __call__(
        self, variables: types.Variables, image: types.Image, mask: types.Mask
    ) -> tuple[landmark_net.Landmarks, landmark_net.Whitening]:
        points, whitening = self.network.apply(variables, image, mask, train=False)  # pyright: ignore[reportGeneralTypeIssues]
        return points, whitening / (self.spread * landmark_net.LAPLACE_DEVIATION)
