"""The DCGAN: generator and discriminator of Radford et al. (2016), thesis fig. 1.

The generator projects z to 4 x 4 pixels and doubles the size with each stride-2
transposed convolution while halving the channels; the discriminator is its mirror
image. BatchNorm follows every layer but the generator's last and the discriminator's
first. The discriminator ends in one logit, never a probability. The encoder, which
neither paper has, is a discriminator that also sees the mask and ends in a latent
vector.

`train` has no default: with `train=True` BatchNorm uses the batch's own statistics, so
rows interact; with `train=False` it uses the stored ones, and rows are independent, as
a search needs.
"""

import dataclasses
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.models import blocks

Prior = Literal["uniform", "normal"]
"""The distribution of z in training: uniform on [-1, 1], or N(0, 1)."""


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The hyperparameters from which G, D and E are built.

    Attributes:
      image_size: height and width of the images, 64 or 128 (any 4 * 2^n >= 16).
      features: channels of the hidden layer nearest to the image; doubled by each
        layer away from it (64 gives the 512 channels at 4 x 4 of the thesis's fig. 1).
      z_dim: length of the latent vector.
      kernel_size: side of the square kernels (5 in the thesis and in Radford et al.).
      activation: of the generator, "relu" (Radford et al.) or "leaky_relu" (the
        thesis's text); the discriminator always has LeakyReLU with slope 0.2.
      spectral_norm: whether D's convolutions are divided by their largest singular
        value (Miyato et al. 2018), which bounds D's Lipschitz constant.
      generator_norm: normalisation in G, "batch" (BatchNorm) or "none".
      discriminator_norm: normalisation in D, "batch" or "none"; a gradient penalty
        needs "none".
      discriminator_features: `features` of D where it has another width than G and E;
        None for the same.
    """

    image_size: int = 64
    features: int = 64
    z_dim: int = 100
    kernel_size: int = 5
    activation: str = "relu"
    spectral_norm: bool = False
    generator_norm: str = "batch"
    discriminator_norm: str = "batch"
    discriminator_features: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError if no such networks can be built."""
        if self.image_size < 16 or 4 << self.levels != self.image_size:
            raise ValueError(
                "image_size must be 4 times a power of two and at least 16, got "
                f"{self.image_size}"
            )
        if self.activation not in ("relu", "leaky_relu"):
            raise ValueError(
                f"activation must be relu or leaky_relu, got {self.activation!r}"
            )
        for name in ("generator_norm", "discriminator_norm"):
            if getattr(self, name) not in ("batch", "none"):
                raise ValueError(
                    f"{name} must be batch or none, got {getattr(self, name)!r}"
                )

    @property
    def levels(self) -> int:
        """Number of stride-2 layers between 4 x 4 and the image."""
        return (self.image_size // 4).bit_length() - 1

    @property
    def deepest(self) -> int:
        """Number of channels at 4 x 4."""
        return self.features << (self.levels - 1)

    def generator(self, *, compute_dtype: blocks.DType = jnp.float32) -> "Generator":
        """Returns the generator of this architecture, without weights.

        Args:
          compute_dtype: type of the products in convolutions (bfloat16 is "mixed
            precision"); weights, BatchNorm and images are always float32.
        """
        return Generator(self, compute_dtype)

    def discriminator(
        self, *, compute_dtype: blocks.DType = jnp.float32
    ) -> "Discriminator":
        """Returns the discriminator of this architecture; `compute_dtype` as above."""
        return Discriminator(self, compute_dtype)

    def encoder(self, *, compute_dtype: blocks.DType = jnp.float32) -> "Encoder":
        """Returns the encoder of this architecture; `compute_dtype` as above."""
        return Encoder(self, compute_dtype)


class Generator(nn.Module):
    """Maps z to an image in [-1, 1]."""

    architecture: Architecture
    compute_dtype: blocks.DType = jnp.float32

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
        initial = blocks.INITIAL if a.generator_norm == "batch" else blocks.KEEPS_SIZE
        x = nn.Dense(16 * a.deepest, kernel_init=initial, name="project")(z)
        x = x.reshape(-1, 4, 4, a.deepest)
        image = upsample(
            a, x, train=train, compute_dtype=self.compute_dtype, norm=a.generator_norm
        )
        return jnp.tanh(image)


class Discriminator(nn.Module):
    """Maps an image to one logit: high for real images, low for generated ones."""

    architecture: Architecture
    compute_dtype: blocks.DType = jnp.float32

    @nn.compact
    def __call__(
        self, image: types.Image, *, train: bool, features: bool = False
    ) -> types.Logits | list[jax.Array]:
        """Returns the logits, or the activations of the hidden layers.

        Args:
          image: `[batch, image_size, image_size, 3]` in [-1, 1].
          train: whether BatchNorm uses the batch's own statistics.
          features: whether to return the hidden layers' activations.

        Returns:
          Logits `[batch]`; sigmoid(logit) is the probability of being real. With
          `features`, a list of `[batch, H', W', channels]`, one for each layer.
        """
        a = self.architecture
        layers = downsample(
            dataclasses.replace(a, features=a.discriminator_features or a.features),
            image,
            train=train,
            compute_dtype=self.compute_dtype,
            spectral_norm=a.spectral_norm,
            norm=a.discriminator_norm,
        )
        if features:
            return layers
        x = layers[-1].reshape(image.shape[0], -1)
        return nn.Dense(1, kernel_init=blocks.INITIAL, name="to_logit")(x)[:, 0]


class Encoder(nn.Module):
    """Maps an image, damaged or not, to a z with G(z) close to that image."""

    architecture: Architecture
    compute_dtype: blocks.DType = jnp.float32

    @nn.compact
    def __call__(
        self, image: types.Image, mask: types.Mask, *, train: bool
    ) -> types.Latent:
        """Predicts the latent vector of each image.

        Args:
          image: `[batch, image_size, image_size, 3]` in [-1, 1]; any value in the hole
            is ignored, also NaN.
          mask: `[batch, image_size, image_size, 1]`, 1 = known.
          train: whether BatchNorm uses the batch's own statistics.

        Returns:
          z `[batch, z_dim]` in [-1, 1].
        """
        a = self.architecture
        seen = visible(image, mask)
        x = downsample(a, seen, train=train, compute_dtype=self.compute_dtype)[-1]
        x = x.reshape(x.shape[0], -1)
        return jnp.tanh(nn.Dense(a.z_dim, kernel_init=blocks.INITIAL, name="to_z")(x))


def visible(
    image: types.Image, mask: types.Mask
) -> Float[Array, "batch height width 4"]:
    """Returns a network's view of damaged images: known pixels, 0 elsewhere, and mask.

    Args:
      image: `[batch, H, W, 3]`; any value in the hole is ignored, also NaN.
      mask: `[batch, H, W, 1]`, 1 = known.
    """
    return jnp.concatenate([jnp.where(mask > 0, image, 0.0), mask], axis=-1)


def downsample(
    architecture: Architecture,
    x: Float[Array, "batch height width channels_in"],
    *,
    train: bool,
    compute_dtype: blocks.DType = jnp.float32,
    spectral_norm: bool = False,
    norm: str = "batch",
) -> list[jax.Array]:
    """Halves the image down to 4 x 4: the convolutions of D and E, within a module.

    Returns:
      The output of each layer, the last one `[batch, 4, 4, deepest]`.
    """
    initial = blocks.INITIAL if norm == "batch" else blocks.KEEPS_SIZE
    layers = []
    for level in range(architecture.levels):
        conv = blocks.Conv(
            channels=architecture.features << level,
            kernel_size=architecture.kernel_size,
            up=False,
            compute_dtype=compute_dtype,
            spectral_norm=spectral_norm,
            initial=initial,
        )
        x = conv(x, train=train)
        if level > 0 and norm == "batch":
            x = blocks.batch_norm(train)(x)
        x = blocks.leaky_relu(x)
        layers.append(x)
    return layers


def upsample(
    architecture: Architecture,
    x: Float[Array, "batch 4 4 deepest"],
    *,
    train: bool,
    compute_dtype: blocks.DType = jnp.float32,
    channels_out: int = 3,
    norm: str = "batch",
) -> Float[Array, "batch height width channels_out"]:
    """Doubles 4 x 4 pixels up to the image: G's convolutions, within a module."""
    activate = nn.relu if architecture.activation == "relu" else blocks.leaky_relu

    def normalised(x: jax.Array) -> jax.Array:
        return activate(blocks.batch_norm(train)(x) if norm == "batch" else x)

    # A pixel of the output uses only a quarter of the kernel's taps.
    initial = blocks.INITIAL if norm == "batch" else blocks.KEEPS_SIZE_UP
    options: Any = {
        "kernel_size": architecture.kernel_size,
        "up": True,
        "compute_dtype": compute_dtype,
        "initial": initial,
    }
    x = normalised(x)
    for level in reversed(range(1, architecture.levels)):
        conv = blocks.Conv(architecture.features << (level - 1), **options)
        x = normalised(conv(x, train=train))
    last = {
        **options,
        "initial": blocks.INITIAL if norm == "batch" else blocks.INSIDE_TANH,
    }
    return blocks.Conv(channels_out, name="to_image", **last)(x, train=train)
