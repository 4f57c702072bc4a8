"""The landmark net: predicts the landmarks of a damaged face with their uncertainty.

A small residual network sees the known pixels and the mask. For each landmark it
predicts a place and a lower triangular matrix A that whitens the error there: u = A
(truth - place) has a circular distribution, so the ellipse of radius s has the axes of
A^-1. Where the face is hidden A is small and the ellipse is wide.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.ops import dense, strided

# Number of residual blocks at a half, a quarter and an eighth of the size. One block at
# half size would cost as much as all the others.
_BLOCKS = (0, 1, 2)

_FARTHEST = 16.0  # deviations from the mean that a normalised value may have

LAPLACE_DEVIATION = 3.0**0.5

Landmarks = Float[Array, "batch points 2"]
Whitening = Float[Array, "batch points 2 2"]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The hyperparameters from which the network is built.

    Attributes:
      image_size: height and width of the images, a multiple of 16.
      features: channels at half size; doubled at a quarter and at an eighth.
      hidden: width of the last hidden layer.
      points: number of landmarks.
    """

    image_size: int = 64
    features: int = 32
    hidden: int = 256
    points: int = 68

    def __post_init__(self) -> None:
        """Raises ValueError if no such network can be built."""
        if self.image_size < 16 or self.image_size % 16:
            raise ValueError(
                f"image_size must be a multiple of 16, got {self.image_size}"
            )

    def network(self) -> "LandmarkNet":
        """Returns the network of this architecture, without weights."""
        return LandmarkNet(self)


class LandmarkNet(nn.Module):
    """Maps a damaged face to its landmarks and the uncertainty of each."""

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
        """Predicts the landmarks, or returns the last hidden layer.

        Args:
          image: `[batch, H, W, 3]`; any value in the hole is ignored.
          mask: `[batch, H, W, 1]`, 1 = known.
          train: whether BatchNorm uses the batch's own statistics.
          features: whether to return the activations of the last hidden layer.

        Returns:
          (points (x, y) in pixels, matrices A in 1 / pixels); with `features`, `[batch,
          hidden]`.
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
    """A stride-2 convolution, which halves the image, with BatchNorm and ReLU."""

    channels: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels_in"], *, train: bool
    ) -> Float[Array, "batch height//2 width//2 channels_out"]:
        kernel = self.param("kernel", _he, (4, 4, x.shape[-1], self.channels))
        return nn.relu(_norm(train)(strided.conv(x, kernel)))


class _Residual(nn.Module):
    """A residual block of two 3 x 3 convolutions (He et al. 2016)."""

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


class BatchNorm(nn.BatchNorm):
    """BatchNorm that sees no value farther out than it can be in training.

    There a value is one of the batch whose deviation it is divided by, so it is less
    than the root of their number away from the mean. With stored statistics a face
    that is unlike all others could be hundreds of deviations away.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "*batch channels"]) -> Any:
        """Normalises; see `nn.BatchNorm`."""
        if self.use_running_average and self.has_variable("batch_stats", "mean"):
            stored = self.variables["batch_stats"]
            reach = _FARTHEST * jnp.sqrt(stored["var"] + self.epsilon)
            low, high = (stored["mean"] + sign * reach for sign in (-1, 1))
            shape = (*[1] * (x.ndim - 1), -1)
            x = jnp.clip(x, low.reshape(shape), high.reshape(shape))
        return super().__call__(x)


def _norm(train: bool) -> nn.BatchNorm:
    return BatchNorm(use_running_average=not train, momentum=0.97)


def _triangular(numbers: Float[Array, "batch points 3"]) -> Whitening:
    # Bounded, so that no single point can dominate a likelihood.
    diagonal = jnp.exp(jnp.clip(numbers[..., :2], -4.0, 4.0))
    zero = jnp.zeros_like(diagonal[..., 0])
    rows = [diagonal[..., 0], zero, numbers[..., 2], diagonal[..., 1]]
    return jnp.stack(rows, axis=-1).reshape(*zero.shape, 2, 2)


def whiten(error: Landmarks, whitening: Whitening) -> Landmarks:
    """Returns the whitened errors: A times each point's error, `[batch, points, 2]`."""
    return jnp.einsum("bpij,bpj->bpi", whitening, error)


def covariance(whitening: Whitening) -> Float[Array, "batch points 2 2"]:
    """Returns the matrix (A^T A)^-1 of each ellipse of radius 1, in square pixels."""
    a, c, b = whitening[..., 0, 0], whitening[..., 1, 0], whitening[..., 1, 1]
    zero = jnp.zeros_like(a)
    inverse = jnp.stack([1 / a, zero, -c / (a * b), 1 / b], axis=-1)
    inverse = inverse.reshape(*a.shape, 2, 2)
    return inverse @ jnp.swapaxes(inverse, -1, -2)


def negative_log_likelihood(
    landmarks: Landmarks, whitening: Whitening, truth: Landmarks
) -> Float[Array, "batch points"]:
    """Computes the negative log-likelihood of the true points under the prediction.

    The whitened errors u have the circular Laplace density exp(-|u|) / (2 pi), whose
    tails are long enough for labels that are sometimes wrong. E|u|^2 = 6, hence
    `LAPLACE_DEVIATION` along each axis.

    Args:
      landmarks: predicted, `[batch, points, 2]` in pixels.
      whitening: the matrices A, `[batch, points, 2, 2]` in 1 / pixels.
      truth: `[batch, points, 2]` in pixels.

    Returns:
      `[batch, points]`.
    """
    u = whiten(truth - landmarks, whitening)
    # A small number is added inside the root: the norm has no gradient at 0.
    length = jnp.sqrt(jnp.sum(u**2, axis=-1) + 1e-6)
    determinant = whitening[..., 0, 0] * whitening[..., 1, 1]
    return length - jnp.log(determinant) + jnp.log(2 * jnp.pi)
