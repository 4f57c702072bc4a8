"""The context encoder (CE) of Pathak et al. (2016): completes an image in one pass.

An encoder halves the image down to 4 x 4, a channel-wise fully connected layer carries
information across the image (each channel by its own matrix, then a 1 x 1 convolution
between channels, section 3.1 of the paper), and a decoder doubles it up again. The
paper's network sees no mask, since its hole never moves; this one sees the mask, so
that it can complete any hole. Its output is the whole image, as in the paper's variant
for random regions.
"""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp

from inpaint_jax import types
from inpaint_jax.models import blocks, dcgan


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The hyperparameters from which the network is built.

    Attributes:
      image_size: height and width in pixels, 64 or 128 (any 4 * 2^n >= 16).
      features: channels of the layer next to the image, doubled by each layer away
        from it.
      kernel_size: side of the square kernels.
    """

    image_size: int = 64
    features: int = 48
    kernel_size: int = 4

    def __post_init__(self) -> None:
        """Raises ValueError if no such network can be built."""
        _ = self.body

    @property
    def body(self) -> dcgan.Architecture:
        """The DCGAN whose D and G have the shapes of this encoder and decoder."""
        return dcgan.Architecture(
            image_size=self.image_size,
            features=self.features,
            kernel_size=self.kernel_size,
        )

    def network(self) -> "ContextEncoder":
        """Returns the network of this architecture, without weights."""
        return ContextEncoder(self)


class ContextEncoder(nn.Module):
    """Maps a damaged image to a complete one."""

    architecture: Architecture

    @nn.compact
    def __call__(
        self, image: types.Image, mask: types.Mask, *, train: bool
    ) -> types.Image:
        """Predicts the complete images.

        Args:
          image: `[batch, H, W, 3]` in [-1, 1]; any value in the hole is ignored.
          mask: `[batch, H, W, 1]`, 1 = known.
          train: whether BatchNorm uses the batch's own statistics.

        Returns:
          Images `[batch, H, W, 3]` in [-1, 1]; known pixels are predicted as well.
        """
        body = self.architecture.body
        x = dcgan.downsample(body, dcgan.visible(image, mask), train=train)[-1]
        across = self.param("across", blocks.INITIAL, (x.shape[-1], 16, 16))
        x = jnp.einsum("bpc,cpq->bqc", x.reshape(-1, 16, x.shape[-1]), across)
        x = nn.Dense(x.shape[-1], kernel_init=blocks.INITIAL, name="between")(x)
        x = x.reshape(-1, 4, 4, x.shape[-1])
        return jnp.tanh(dcgan.upsample(body, x, train=train))
