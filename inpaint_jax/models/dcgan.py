"""The DCGAN: generator and discriminator of Radford et al. (2016), thesis fig. 1.

The generator projects z to 4 x 4 pixels and doubles the size with each stride-2
transposed convolution while halving the channels; the discriminator is its mirror
image. BatchNorm stands everywhere but on the generator's output and the
discriminator's input. The discriminator ends in one logit, never a probability.

`train` has no default: with `train=True` BatchNorm uses the batch's own statistics and
couples its rows; with `train=False` it uses the stored ones, and every row is on its
own, as a search needs.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.ops import strided

_INITIAL = nn.initializers.normal(stddev=0.02)
_BATCH_NORM_EPSILON = 1e-5
_LEAK = 0.2


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What must be known of a pair of networks to build them again.

    Attributes:
      image_size: height and width of the images, 64 or 128 (any 4 * 2^n >= 16).
      features: channels of the hidden layer nearest to the image; doubled by each
        layer away from it (64 gives the 512 channels at 4 x 4 of the thesis's fig. 1).
      z_dim: length of the latent vector.
      kernel_size: side of the square kernels (5 in the thesis and in Radford et al.).
      activation: the generator's, "relu" (Radford et al.) or "leaky_relu" (the
        thesis's text); the discriminator always has LeakyReLU with slope 0.2.
    """

    image_size: int = 64
    features: int = 64
    z_dim: int = 100
    kernel_size: int = 5
    activation: str = "relu"

    def __post_init__(self):
        """Refuses what cannot be built."""
        if self.image_size < 16 or 4 << self.levels != self.image_size:
            raise ValueError(
                "image_size must be 4 times a power of two and at least 16, got "
                f"{self.image_size}"
            )
        if self.activation not in ("relu", "leaky_relu"):
            raise ValueError(
                f"activation must be relu or leaky_relu, got {self.activation!r}"
            )

    @property
    def levels(self) -> int:
        """Number of stride-2 layers between 4 x 4 and the image."""
        return (self.image_size // 4).bit_length() - 1

    def generator(self) -> "Generator":
        """Returns the generator of this architecture, without weights."""
        return Generator(self)

    def discriminator(self) -> "Discriminator":
        """Returns the discriminator of this architecture, without weights."""
        return Discriminator(self)


class Conv(nn.Module):
    """A stride-2 convolution with bias, down (halves the image) or up (doubles it)."""

    channels: int
    kernel_size: int
    up: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels_in"]
    ) -> Float[Array, "batch height_out width_out channels_out"]:
        """Returns the convolved batch `[batch, H', W', channels]`."""
        k = self.kernel_size
        kernel = self.param("kernel", _INITIAL, (k, k, x.shape[-1], self.channels))
        bias = self.param("bias", nn.initializers.zeros, (self.channels,))
        convolve = strided.conv_transpose if self.up else strided.conv
        return convolve(x, kernel) + bias[None, None, None]


def _batch_norm(train: bool) -> nn.BatchNorm:
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=_BATCH_NORM_EPSILON,
        scale_init=lambda key, shape, dtype: 1.0 + _INITIAL(key, shape, dtype),
    )


class Generator(nn.Module):
    """Maps z to an image in [-1, 1]."""

    architecture: Architecture

    @nn.compact
    def __call__(self, z: types.Latent, *, train: bool) -> types.Image:
        """Generates one image for each latent vector.

        Args:
          z: `[batch, z_dim]` in [-1, 1].
          train: whether BatchNorm uses the batch's own statistics.

        Returns:
          Images `[batch, image_size, image_size, 3]` in [-1, 1].
        """
        a = self.architecture
        activate = nn.relu if a.activation == "relu" else _leaky_relu
        channels = a.features << (a.levels - 1)
        x = nn.Dense(16 * channels, kernel_init=_INITIAL, name="project")(z)
        x = activate(_batch_norm(train)(x.reshape(-1, 4, 4, channels)))
        for level in reversed(range(1, a.levels)):
            x = Conv(a.features << (level - 1), a.kernel_size, up=True)(x)
            x = activate(_batch_norm(train)(x))
        return jnp.tanh(Conv(3, a.kernel_size, up=True, name="to_image")(x))


class Discriminator(nn.Module):
    """Maps an image to one logit: large where it looks real."""

    architecture: Architecture

    @nn.compact
    def __call__(self, image: types.Image, *, train: bool) -> types.Logits:
        """Judges each image.

        Args:
          image: `[batch, image_size, image_size, 3]` in [-1, 1].
          train: whether BatchNorm uses the batch's own statistics.

        Returns:
          Logits `[batch]`; sigmoid(logit) is the probability of being real.
        """
        a = self.architecture
        x = _leaky_relu(Conv(a.features, a.kernel_size, up=False)(image))
        for level in range(1, a.levels):
            x = Conv(a.features << level, a.kernel_size, up=False)(x)
            x = _leaky_relu(_batch_norm(train)(x))
        x = x.reshape(x.shape[0], -1)
        return nn.Dense(1, kernel_init=_INITIAL, name="to_logit")(x)[:, 0]


def _leaky_relu(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, _LEAK)
