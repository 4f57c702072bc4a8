"""Names for the arrays that travel through the library, with their shapes.

Images are float32, NHWC, RGB in [-1, 1] unless a name says bytes. A mask is 1 where
the pixel is known and 0 in the hole. z is the latent vector, drawn from the prior:
uniform on [-1, 1], or normal.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

Image = Float[Array, "batch height width 3"]
ImageBytes = UInt8[Array, "batch height width 3"] | UInt8[np.ndarray, "..."]
Mask = Float[Array, "batch height width 1"]
ContextWeights = Float[Array, "batch height width 1"]
Latent = Float[Array, "batch z_dim"]
Logits = Float[Array, " batch"]
PerExample = Float[Array, " batch"]
PRNGKey = Key[Array, ""]

Variables = Mapping[str, Any]
"""A network's nested dict of arrays: {"params": ..., "batch_stats": ...}."""

Generate = Callable[[jax.Array], jax.Array]
"""z [batch, z_dim] -> image [batch, H, W, 3] in [-1, 1]; rows do not interact."""

Discriminate = Callable[[jax.Array], jax.Array]
"""image [batch, H, W, 3] -> logit [batch], large where it looks real; rows alone."""

Encode = Callable[[jax.Array, jax.Array], jax.Array]
"""(image, mask) -> z [batch, z_dim] to start a search from; rows do not interact."""
