"""The same networks, search step and training step in PyTorch, for comparison."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32, UInt8

from inpaint_jax import runtime
from inpaint_jax.errors import InputError
from inpaint_jax.models import dcgan
from inpaint_jax.training import train_gan

Latent = Float32[np.ndarray, "candidates z_dim"]
Images = UInt8[np.ndarray, "batch height width 3"]
Tensor = Any
"""One of PyTorch's; there is no name for it where PyTorch is not installed."""


def load() -> Any:
    """Returns PyTorch, on as many threads as JAX has.

    Raises:
      InputError: it is not installed, or JAX does not run on CPU.
    """
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            "--peer=torch: PyTorch is not installed; run pip install torch, or leave "
            "it out."
        ) from error
    if jax.default_backend() != "cpu":
        raise InputError("--peer=torch: compares on CPU; set JAX_PLATFORMS=cpu.")
    torch.manual_seed(0)
    torch.set_num_threads(runtime.available_cores())
    return torch


def networks(torch: Any, a: dcgan.Architecture) -> tuple[Any, Any]:
    """Returns G and D with weights of their own.

    Args:
      torch: from `load`.
      a: the architecture; its activation is taken for relu.
    """
    nn, channels = torch.nn, [a.features << level for level in range(a.levels)]
    # Symmetric padding; an odd kernel needs one line of output more.
    down_options = {
        "kernel_size": a.kernel_size,
        "stride": 2,
        "padding": (a.kernel_size - 1) // 2,
    }
    up_options = {**down_options, "output_padding": a.kernel_size % 2}
    up: list[Any] = [
        nn.Linear(a.z_dim, 16 * channels[-1]),
        nn.Unflatten(1, (channels[-1], 4, 4)),
    ]
    for n, m in zip(channels[:0:-1], channels[-2::-1], strict=True):
        up += [nn.BatchNorm2d(n), nn.ReLU(), nn.ConvTranspose2d(n, m, **up_options)]
    up += [nn.BatchNorm2d(channels[0]), nn.ReLU()]
    up += [nn.ConvTranspose2d(channels[0], 3, **up_options), nn.Tanh()]
    down: list[Any] = [nn.Conv2d(3, channels[0], **down_options), nn.LeakyReLU(0.2)]
    for n, m in zip(channels[:-1], channels[1:], strict=True):
        down += [nn.Conv2d(n, m, **down_options), nn.BatchNorm2d(m), nn.LeakyReLU(0.2)]
    down += [nn.Flatten(), nn.Linear(16 * channels[-1], 1), nn.Flatten(0)]
    # On CPU this layout, in which pictures come, is the faster one.
    generator, discriminator = (
        nn.Sequential(*layers).to(memory_format=torch.channels_last)
        for layers in (up, down)
    )
    return generator, discriminator


def search_steps(
    a: dcgan.Architecture,
    image: Float32[np.ndarray, "candidates height width 3"],
    weights: Float32[np.ndarray, "candidates height width 1"],
    *,
    lambda_prior: float,
) -> dict[str, Callable[[], Latent]]:
    """Returns one step of a search with Adam, run as it is written and compiled.

    Args:
      a: the architecture.
      image: the same for all candidates.
      weights: of the context loss.
      lambda_prior: weight of the prior loss.

    Raises:
      InputError: see `load`.
    """
    torch = load()
    generator, discriminator = (
        network.eval().requires_grad_(False) for network in networks(torch, a)
    )
    wanted, importance = (
        torch.from_numpy(np.array(x)).permute(0, 3, 1, 2) for x in (image, weights)
    )

    def losses(z: Tensor) -> Tensor:
        generated = generator(z)
        context = (importance * (generated - wanted).abs()).sum()
        prior = torch.nn.functional.softplus(-discriminator(generated)).sum()
        return context + lambda_prior * prior

    shape = len(image), a.z_dim
    return {
        "torch_eager": _search_step(torch, losses, shape),
        "torch_compiled": _search_step(torch, torch.compile(losses), shape),
    }


def train_step(
    a: dcgan.Architecture,
    config: train_gan.TrainConfig,
    *,
    rates: tuple[float, float],
    beta1: float,
) -> Callable[[Images], float]:
    """Returns a function that takes one training step of G and D.

    Args:
      a: the architecture.
      config: of the training; there is no encoder.
      rates: of G's and of D's Adam.
      beta1: of both.

    Raises:
      InputError: see `load`.
    """
    torch = load()
    generator, discriminator = networks(torch, a)
    g, d = list(generator.parameters()), list(discriminator.parameters())
    average = [p.detach().clone() for p in g]
    adams = [
        torch.optim.Adam(params, lr=rate, betas=(beta1, 0.999))
        for params, rate in zip((g, d), rates, strict=True)
    ]

    def step(images: Images) -> float:
        real = _mirrored(torch, images)
        fake = generator(2.0 * torch.rand(len(real), a.z_dim) - 1.0)
        real_logits, fake_logits = (
            discriminator(_augmented(torch, each)) for each in (real, fake)
        )
        discriminator_loss = _loss(torch, real_logits, config.adversarial.real_label)
        discriminator_loss = discriminator_loss + _loss(torch, fake_logits, 0.0)
        generator_loss = _loss(torch, fake_logits, 1.0)
        gradients = (
            torch.autograd.grad(generator_loss, g, retain_graph=True),
            torch.autograd.grad(discriminator_loss, d),
        )
        for params, gradient, adam in zip((g, d), gradients, adams, strict=True):
            _descend(adam, params, gradient)
        decay = 0.5 ** (len(real) / config.average_images)
        with torch.no_grad():
            for old, new in zip(average, g, strict=True):
                old.lerp_(new, 1.0 - decay)
        return discriminator_loss.item()

    return step


def _search_step(
    torch: Any, loss: Callable[[Tensor], Tensor], shape: tuple[int, int]
) -> Callable[[], Latent]:
    z = (2.0 * torch.rand(*shape) - 1.0).requires_grad_()
    adam = torch.optim.Adam([z], lr=0.01)

    def step() -> Latent:
        (z.grad,) = torch.autograd.grad(loss(z), z)
        adam.step()
        with torch.no_grad():
            z.clamp_(-1.0, 1.0)
        return z.detach().numpy()

    return step


def _descend(adam: Any, params: list[Tensor], gradient: Sequence[Tensor]) -> None:
    for p, its_gradient in zip(params, gradient, strict=True):
        p.grad = its_gradient
    adam.step()


def _mirrored(torch: Any, images: Images) -> Tensor:
    """Pictures as training sees them, each turned over or not."""
    real = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1.0
    mirror = torch.rand(len(real), 1, 1, 1) < 0.5
    return torch.where(mirror, real.flip(3), real)


def _augmented(torch: Any, x: Tensor) -> Tensor:
    """The images, each brighter or darker and moved."""
    x = x + 0.4 * torch.rand(len(x), 1, 1, 1) - 0.2
    reach, size = 6 * x.shape[2] // 64, x.shape[2]
    padded = torch.nn.functional.pad(x, [reach] * 4)
    corners = torch.randint(0, 2 * reach + 1, (len(x), 2)).tolist()
    views = [
        p[:, i : i + size, j : j + size]
        for p, (i, j) in zip(padded, corners, strict=True)
    ]
    return torch.stack(views)


def _loss(torch: Any, logits: Tensor, label: float) -> Tensor:
    target = torch.full_like(logits, label)
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
