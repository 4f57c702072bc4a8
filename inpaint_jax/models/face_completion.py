"""Generative face completion (GFC) of Li et al. (2017): the completer and its parser.

The completer is an encoder and a decoder around a fully connected layer. The parser
classifies each pixel by the part of the face that it belongs to; with fixed weights, it
makes the completer draw the parts where the true face has them ("semantic
regularisation", section 3.3 of the paper). The paper's networks are a VGG-19 and a
pretrained parser of eleven classes, for 128 pixels; these have the DCGAN's shape, and
the parser's classes are those of `landmarks.parsing`.
"""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.models import blocks, dcgan

ClassLogits = Float[Array, "batch height width classes"]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The hyperparameters from which the completer is built.

    Attributes:
      image_size: height and width in pixels, 64 or 128 (any 4 * 2^n >= 16).
      features: channels of the layer next to the image, doubled by each layer away
        from it.
      kernel_size: side of the square kernels.
      bottleneck: width of the fully connected layer.
    """

    image_size: int = 64
    features: int = 48
    kernel_size: int = 4
    bottleneck: int = 256

    def __post_init__(self) -> None:
        """Raises ValueError if no such network can be built."""
        _ = self.body

    @property
    def body(self) -> dcgan.Architecture:
        """The DCGAN whose D and G have the shapes of this encoder and decoder."""
        return dcgan.Architecture(
            image_size=self.image_size,
            features=self.features,
            z_dim=self.bottleneck,
            kernel_size=self.kernel_size,
        )

    def network(self) -> "Completer":
        """Returns the network of this architecture, without weights."""
        return Completer(self)


class Completer(nn.Module):
    """Maps a damaged face to a complete one."""

    architecture: Architecture

    @nn.compact
    def __call__(
        self, image: types.Image, mask: types.Mask, *, train: bool
    ) -> types.Image:
        """Predicts the complete faces.

        Args:
          image: `[batch, H, W, 3]` in [-1, 1]; any value in the hole is ignored.
          mask: `[batch, H, W, 1]`, 1 = known.
          train: whether BatchNorm uses the batch's own statistics.

        Returns:
          Images `[batch, H, W, 3]` in [-1, 1]; known pixels are predicted as well.
        """
        body = self.architecture.body
        x = dcgan.downsample(body, dcgan.visible(image, mask), train=train)[-1]
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(body.z_dim, kernel_init=blocks.INITIAL, name="gather")(x)
        x = blocks.leaky_relu(blocks.batch_norm(train)(x))
        x = nn.Dense(16 * body.deepest, kernel_init=blocks.INITIAL, name="spread")(x)
        x = x.reshape(-1, 4, 4, body.deepest)
        return jnp.tanh(dcgan.upsample(body, x, train=train))


@dataclasses.dataclass(frozen=True)
class ParserArchitecture:
    """The hyperparameters from which the parser is built.

    Attributes:
      image_size: height and width in pixels, as the completer's.
      features: channels of the layer next to the image, doubled by each layer away
        from it.
      classes: number of classes of `landmarks.parsing`, the background included.
    """

    image_size: int = 64
    features: int = 16
    classes: int = 6

    def __post_init__(self) -> None:
        """Raises ValueError if no such network can be built."""
        _ = self.body

    @property
    def body(self) -> dcgan.Architecture:
        """The DCGAN whose D and G have the shapes of this encoder and decoder."""
        return dcgan.Architecture(
            image_size=self.image_size, features=self.features, kernel_size=4
        )

    def network(self) -> "Parser":
        """Returns the network of this architecture, without weights."""
        return Parser(self)


class Parser(nn.Module):
    """Maps an undamaged face to logits of the part that each pixel belongs to."""

    architecture: ParserArchitecture

    @nn.compact
    def __call__(self, image: types.Image, *, train: bool) -> ClassLogits:
        """Classifies each pixel of each face.

        Args:
          image: `[batch, H, W, 3]` in [-1, 1].
          train: whether BatchNorm uses the batch's own statistics.

        Returns:
          Logits `[batch, H, W, classes]`.
        """
        a = self.architecture
        x = dcgan.downsample(a.body, image, train=train)[-1]
        return dcgan.upsample(a.body, x, train=train, channels_out=a.classes)
