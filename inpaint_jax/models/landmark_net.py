"""Landmarks of a damaged face, each with its uncertainty, from what is visible.

A small residual network sees the known pixels and the mask. For each point it returns
a place and a lower triangular matrix A that whitens the error there: u = A (truth -
place) has a circular distribution, so the ellipse of radius s has the axes of A^-1.
Where the face is hidden A is small and the ellipse is wide.
"""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.ops import dense, strided

# Residual blocks at a half, a quarter and an eighth of the size. At half size one would
# cost as much as all the others.
_BLOCKS = (0, 1, 2)

LAPLACE_DEVIATION = 3.0**0.5

Landmarks = Float[Array, "batch points 2"]
Whitening = Float[Array, "batch points 2 2"]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What must be known of the network to build it again.

    Attributes:
      image_size: height and width of the images, a multiple of 16.
      features: channels at half size; doubled at a quarter and at an eighth.
      hidden: width of the layer before the points.
      points: number of landmarks.
    """

    image_size: int = 64
    features: int = 32
    hidden: int = 256
    points: int = 68

    def __post_init__(self) -> None:
        """Refuses what cannot be built."""
        if self.image_size < 16 or self.image_size % 16:
            raise ValueError(
                f"image_size must be a multiple of 16, got {self.image_size}"
            )

    def network(self) -> "LandmarkNet":
        """Returns the network of this architecture, without weights."""
        return LandmarkNet(self)


class LandmarkNet(nn.Module):
    """Maps a damaged face to its landmarks and how sure each of them is."""

    architecture: Architecture

    @nn.compact
    def __call__(
        self,
        image: types.Image,
        mask: types.Mask,
        *,
        train: bool,
        features: bool = False,
    ) -> tuple[Landmarks, Whitening] | Float[Array, "batch hidden"]:
        """Places the landmarks.

        Args:
          image: `[batch, H, W, 3]`; what lies in the hole is not looked at.
          mask: `[batch, H, W, 1]`, 1 = known.
          train: whether BatchNorm uses the batch's own statistics.
          features: return the last hidden layer in place of what follows from it.

        Returns:
          Points (x, y) in pixels, and the matrices A in 1 / pixels.
        """
        a = self.architecture
        known = jnp.where(mask > 0, image, 0.0)
        x = jnp.concatenate([known, mask], axis=-1)
        for level, blocks in enumerate(_BLOCKS):
            x = _Down(a.features << level)(x, train=train)
            for _ in range(blocks):
                x = _Residual()(x, train=train)
        x = _Down(5 * a.features)(x, train=train)
        x = nn.Dense(a.hidden)(x.reshape(x.shape[0], -1))
        x = nn.relu(_norm(train)(x))
        if features:
            return x
        place = nn.Dense(2 * a.points, kernel_init=_near_zero, name="to_points")(x)
        shape = nn.Dense(3 * a.points, kernel_init=_near_zero, name="to_whitening")(x)
        points = a.image_size * place.reshape(-1, a.points, 2)
        return points, _triangular(shape.reshape(-1, a.points, 3))


class _Down(nn.Module):
    """Halves the image."""

    channels: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels_in"], *, train: bool
    ) -> Float[Array, "batch height//2 width//2 channels_out"]:
        kernel = self.param("kernel", _he, (4, 4, x.shape[-1], self.channels))
        return nn.relu(_norm(train)(strided.conv(x, kernel)))


class _Residual(nn.Module):
    """Two 3 x 3 convolutions around which the input passes (He et al. 2016)."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool
    ) -> Float[Array, "batch height width channels"]:
        change = x
        for layer in range(2):
            if layer:
                change = nn.relu(change)
            kernel = self.param(f"kernel_{layer}", _he, (3, 3, *[x.shape[-1]] * 2))
            around = ((0, 0), (1, 1), (1, 1), (0, 0))
            change = _norm(train)(dense.conv(jnp.pad(change, around), kernel))
        return nn.relu(x + change)


_he = nn.initializers.he_normal()
_near_zero = nn.initializers.normal(stddev=1e-3)


def _norm(train: bool) -> nn.BatchNorm:
    return nn.BatchNorm(use_running_average=not train, momentum=0.97)


def _triangular(numbers: Float[Array, "batch points 3"]) -> Whitening:
    # Bounded, so that no single point can take over a likelihood.
    diagonal = jnp.exp(jnp.clip(numbers[..., :2], -4.0, 4.0))
    zero = jnp.zeros_like(diagonal[..., 0])
    rows = [diagonal[..., 0], zero, numbers[..., 2], diagonal[..., 1]]
    return jnp.stack(rows, axis=-1).reshape(*zero.shape, 2, 2)


def whiten(error: Landmarks, whitening: Whitening) -> Landmarks:
    """Returns A times the error of each point, `[batch, points, 2]`."""
    return jnp.einsum("bpij,bpj->bpi", whitening, error)


def covariance(whitening: Whitening) -> Float[Array, "batch points 2 2"]:
    """Returns (A^T A)^-1, in square pixels: the ellipse of radius 1 as a matrix."""
    a, c, b = whitening[..., 0, 0], whitening[..., 1, 0], whitening[..., 1, 1]
    zero = jnp.zeros_like(a)
    inverse = jnp.stack([1 / a, zero, -c / (a * b), 1 / b], axis=-1)
    inverse = inverse.reshape(*a.shape, 2, 2)
    return inverse @ jnp.swapaxes(inverse, -1, -2)


def negative_log_likelihood(
    landmarks: Landmarks, whitening: Whitening, truth: Landmarks
) -> Float[Array, "batch points"]:
    """Computes -log of a circular Laplace density of the whitened errors.

    The density is exp(-|u|) / (2 pi), its tails long enough for labels that are now and
    then wrong. E|u|^2 = 6, hence `LAPLACE_DEVIATION` along each axis.

    Args:
      landmarks: predicted, `[batch, points, 2]`.
      whitening: the matrices A.
      truth: `[batch, points, 2]`.

    Returns:
      `[batch, points]`.
    """
    u = whiten(truth - landmarks, whitening)
    # Inside the root a little is added: the norm has no gradient at 0.
    length = jnp.sqrt(jnp.sum(u**2, axis=-1) + 1e-6)
    determinant = whitening[..., 0, 0] * whitening[..., 1, 1]
    return length - jnp.log(determinant) + jnp.log(2 * jnp.pi)
