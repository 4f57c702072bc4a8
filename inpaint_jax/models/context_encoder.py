"""The context encoder (CE) of Pathak et al. (2016): one pass from damaged to whole.

An encoder halves the image down to 4 x 4, a channel-wise fully connected layer carries
what is known across the image (each channel by a matrix of its own, then a 1 x 1
convolution between channels, section 3.1 of the paper), and a decoder doubles it up
again. The paper's network sees no mask, since its hole never moves; this one sees it,
as it is to complete any hole. Its output is the whole image, as in the paper's variant
for random regions.
"""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp

from inpaint_jax import types
from inpaint_jax.models import blocks, dcgan


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What must be known of the network to build it again.

    Attributes:
      image_size: height and width, 64 or 128 (any 4 * 2^n >= 16).
      features: channels next to the image, doubled by each layer away from it.
      kernel_size: side of the square kernels.
    """

    image_size: int = 64
    features: int = 48
    kernel_size: int = 4

    def __post_init__(self) -> None:
        """Refuses what cannot be built."""
        _ = self.body

    @property
    def body(self) -> dcgan.Architecture:
        """The DCGAN whose D and G this network's encoder and decoder are shaped as."""
        return dcgan.Architecture(
            image_size=self.image_size,
            features=self.features,
            kernel_size=self.kernel_size,
        )

    def network(self) -> "ContextEncoder":
        """Returns the network of this architecture, without weights."""
        return ContextEncoder(self)


class ContextEncoder(nn.Module):
    """Maps a damaged image to a whole one."""

    architecture: Architecture

    @nn.compact
    def __call__(
        self, image: types.Image, mask: types.Mask, *, train: bool
    ) -> types.Image:
        """Draws each image anew.

        Args:
          image: `[batch, H, W, 3]`; what lies in the hole is not looked at.
          mask: `[batch, H, W, 1]`, 1 = known.
          train: whether BatchNorm uses the batch's own statistics.

        Returns:
          Images `[batch, H, W, 3]` in [-1, 1], known pixels drawn anew as well.
        """
        body = self.architecture.body
        x = dcgan.downsample(body, dcgan.visible(image, mask), train=train)[-1]
        across = self.param("across", blocks.INITIAL, (x.shape[-1], 16, 16))
        x = jnp.einsum("bpc,cpq->bqc", x.reshape(-1, 16, x.shape[-1]), across)
        x = nn.Dense(x.shape[-1], kernel_init=blocks.INITIAL, name="between")(x)
        x = x.reshape(-1, 4, 4, x.shape[-1])
        return jnp.tanh(dcgan.upsample(body, x, train=train))
