"""How fast training is: images a second, use of the processor, waiting for data.

The networks and rules are those of `flags/train_release.flags`. Another framework plays
the same game of two in the same process, if that is asked for and it is installed.
"""

import functools
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import training
from inpaint_jax import adversarial, runtime
from inpaint_jax.errors import InputError
from inpaint_jax.models import dcgan

ARCHITECTURE = dcgan.Architecture(features=48, z_dim=128, kernel_size=4)
_RATE_G, _RATE_D, _BETA1 = 2e-4, 1e-4, 0.5
_RULES = adversarial.Rules(
    real_label=0.9, augment=True, lambda_reconstruction=100.0, lambda_latent=20.0
)
_FACES = 8500
_SIDE = 3072  # of the matrices whose product shows what the processor can do
Runs = dict[str, Callable[[], Any]]


def measure(
    key: jax.Array,
    *,
    batch_size: int,
    steps: int,
    time_in_turn: Callable[[Runs], dict[str, list[float]]],
    with_torch: bool,
) -> dict[str, Any]:
    """Measures whole training steps on noise.

    Args:
      key: of the weights and of the steps.
      batch_size: images of a step.
      steps: to be taken with data from each kind of source.
      time_in_turn: {name: run} -> {name: seconds of each round}.
      with_torch: whether PyTorch takes its turns too.

    Returns:
      "peak_gflops", of the fastest large float32 matrix product; for each game its
      "images_per_s", "ms", "gflop" of a step (see `step_flops`) and "utilisation", the
      share of the peak; "speed_vs_torch", the median over the rounds; and
      "waiting_for_data", from memory and from a file that no one has read yet.

    Raises:
      InputError: PyTorch is asked for, and is not installed or JAX is not on CPU.
    """
    shape = (max(_FACES, batch_size), *[ARCHITECTURE.image_size] * 2, 3)
    faces = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    images = faces[:batch_size]
    games = {"two_players": False, "with_encoder": True}
    steppers = {name: _game(key, encoder=encoder) for name, encoder in games.items()}
    runs: Runs = {
        name: functools.partial(step, images) for name, step in steppers.items()
    }
    matrix = jnp.ones((_SIDE, _SIDE))
    runs["matrix_product"] = functools.partial(jax.jit(jnp.matmul), matrix, matrix)
    if with_torch:
        runs["torch"] = functools.partial(_torch_game(), images)
    times = time_in_turn(runs)
    peak = 2 * _SIDE**3 / min(times.pop("matrix_product"))
    found: dict[str, Any] = {"peak_gflops": peak / 1e9}
    for name, seconds in times.items():
        median = float(np.median(seconds))
        flops = batch_size * step_flops(encoder=games.get(name, False))
        found[name] = {
            "images_per_s": batch_size / median,
            "ms": 1e3 * median,
            "spread_ms": 1e3 * float(np.subtract(*np.percentile(seconds, [75, 25]))),
            "gflop": flops / 1e9,
            "utilisation": flops / median / peak,
        }
    if with_torch:
        ratio = np.divide(times["torch"], times["two_players"])
        found["two_players"]["speed_vs_torch"] = float(np.median(ratio))
    step = steppers["two_players"]
    found["waiting_for_data"] = {
        "memory": _waiting(step, faces, batch_size, steps),
        "cache": _waiting_for_file(step, faces, batch_size, steps),
    }
    return found


def step_flops(*, encoder: bool) -> int:
    """Counts the floating-point operations of a training step, for each real image.

    Two for each multiply-add of the convolutions and dense layers, k x k taps for each
    pixel of the smaller side, forward and for the gradients to weights and inputs that
    the step needs. What an implementation computes beyond that does not count.

    Args:
      encoder: whether E plays too.
    """
    a = ARCHITECTURE
    channels = [a.features << level for level in range(a.levels)]
    last = 16 * channels[-1]

    def convolutions(outer):
        sides = [a.image_size >> (level + 1) for level in range(a.levels)]
        pairs = zip([outer, *channels], channels, sides, strict=False)
        return [side**2 * a.kernel_size**2 * n * m for n, m, side in pairs]

    project, up = a.z_dim * last, sum(convolutions(3))
    down = sum(convolutions(3)) + last
    # D sees real and generated images and learns from both, and G learns through it; a
    # gradient to the pixels is only needed there.
    judging = 7 * down - 2 * convolutions(3)[0]
    if not encoder:
        return 2 * (judging + 3 * up + 2 * project)
    encoding = 3 * (sum(convolutions(4)) + last * a.z_dim) - convolutions(4)[0]
    return 2 * (judging + 2 * 3 * (up + project) + encoding)


def _game(key, *, encoder):
    """A function that takes one step on the images given to it."""
    a, rate = ARCHITECTURE, optax.adam(_RATE_G, b1=_BETA1)
    players = adversarial.Players(
        a.generator(),
        a.discriminator(),
        rate,
        optax.adam(_RATE_D, b1=_BETA1),
        a.encoder() if encoder else None,
        rate if encoder else None,
    )
    state = jax.jit(functools.partial(adversarial.init, players=players))(key)
    advance = jax.jit(
        functools.partial(adversarial.train_step, players=players, rules=_RULES),
        donate_argnums=1,
    )

    def step(images):
        nonlocal state
        state, info = advance(jax.random.fold_in(key, state.step), state, images)
        return info

    return step


def _waiting(step, faces, batch_size, steps):
    batches = training.batches(faces, batch_size=batch_size, seed=0, first=0)
    started, waited = time.perf_counter(), 0.0
    for _ in range(steps):
        asked = time.perf_counter()
        (images,) = next(batches)
        waited += time.perf_counter() - asked
        jax.block_until_ready(step(images))
    elapsed = time.perf_counter() - started
    return {"share": waited / elapsed, "images_per_s": steps * batch_size / elapsed}


def _waiting_for_file(step, faces, batch_size, steps):
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, faces)
        file.flush()
        os.fsync(file.fileno())
        # Otherwise what was just written would be read from memory.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        mapped = np.load(file.name, mmap_mode="r")
        return _waiting(step, mapped, batch_size, steps)


def _torch_game():
    """The game of two in PyTorch, on as many threads as JAX has."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            "--torch: PyTorch is not installed; run pip install torch, or leave it out."
        ) from error
    if jax.default_backend() != "cpu":
        raise InputError("--torch: compares on CPU; set JAX_PLATFORMS=cpu.")
    torch.manual_seed(0)
    torch.set_num_threads(runtime.available_cores())
    functional = torch.nn.functional
    # On CPU this layout, in which pictures come, is the faster one.
    generator, discriminator = (
        net.to(memory_format=torch.channels_last) for net in _torch_networks(torch.nn)
    )
    g, d = list(generator.parameters()), list(discriminator.parameters())
    average = [p.detach().clone() for p in g]
    adams = [
        torch.optim.Adam(params, lr=rate, betas=(_BETA1, 0.999))
        for params, rate in ((g, _RATE_G), (d, _RATE_D))
    ]

    def view(x):
        x = x + 0.4 * torch.rand(len(x), 1, 1, 1) - 0.2
        reach, size = 6 * x.shape[2] // 64, x.shape[2]
        padded = functional.pad(x, [reach] * 4)
        corners = torch.randint(0, 2 * reach + 1, (len(x), 2)).tolist()
        return torch.stack(
            [p[:, i : i + size, j : j + size] for p, (i, j) in zip(padded, corners)]  # noqa: B905
        )

    def loss(logits, label):
        target = torch.full_like(logits, label)
        return functional.binary_cross_entropy_with_logits(logits, target)

    def step(images):
        real = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1.0
        mirror = torch.rand(len(real), 1, 1, 1) < 0.5
        real = torch.where(mirror, real.flip(3), real)
        fake = generator(2.0 * torch.rand(len(real), ARCHITECTURE.z_dim) - 1.0)
        real_logits, fake_logits = discriminator(view(real)), discriminator(view(fake))
        toward_real = loss(real_logits, _RULES.real_label) + loss(fake_logits, 0.0)
        gradients = (
            torch.autograd.grad(loss(fake_logits, 1.0), g, retain_graph=True),
            torch.autograd.grad(toward_real, d),
        )
        for params, gradient, adam in zip((g, d), gradients, adams, strict=True):
            for p, its_gradient in zip(params, gradient, strict=True):
                p.grad = its_gradient
            adam.step()
        with torch.no_grad():
            for old, new in zip(average, g, strict=True):
                old.lerp_(new, 1.0 - _RULES.average_decay)
        return toward_real.item()

    return step


def _torch_networks(nn):
    a = ARCHITECTURE
    channels = [a.features << level for level in range(a.levels)]
    options = {"kernel_size": a.kernel_size, "stride": 2, "padding": 1}
    up: list[Any] = [
        nn.Linear(a.z_dim, 16 * channels[-1]),
        nn.Unflatten(1, (channels[-1], 4, 4)),
    ]
    for n, m in zip(channels[:0:-1], channels[-2::-1], strict=True):
        up += [nn.BatchNorm2d(n), nn.ReLU(), nn.ConvTranspose2d(n, m, **options)]
    up += [nn.BatchNorm2d(channels[0]), nn.ReLU()]
    up += [nn.ConvTranspose2d(channels[0], 3, **options), nn.Tanh()]
    down: list[Any] = [nn.Conv2d(3, channels[0], **options), nn.LeakyReLU(0.2)]
    for n, m in zip(channels[:-1], channels[1:], strict=True):
        down += [nn.Conv2d(n, m, **options), nn.BatchNorm2d(m), nn.LeakyReLU(0.2)]
    down += [nn.Flatten(), nn.Linear(16 * channels[-1], 1), nn.Flatten(0)]
    return nn.Sequential(*up), nn.Sequential(*down)
