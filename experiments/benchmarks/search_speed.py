"""Speed of a search step, compared with plain JAX and PyTorch."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.benchmarks import search_step, timing, torch_peer, training_speed
from inpaint_jax import types
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.models import dcgan
from inpaint_jax.search import latent_descent

_CANDIDATES, _STEPS = (8, 16, 32, 64, 128, 256), (5, 20, 80)


def steps(
    key: types.PRNGKey, a: dcgan.Architecture, *, batch_size: int, peers: Sequence[str]
) -> timing.Runs:
    """Returns functions that take steps of a search, to be timed.

    Those named "search_step..." take `search_step.STEPS` steps, the others take one.

    Args:
      key: random key of the weights and of z.
      a: the architecture.
      batch_size: number of candidates.
      peers: implementations to compare with: "plain" (XLA's own convolutions, one call
        for each step, dlib called for the landmarks) and "torch".

    Raises:
      InputError: dlib is missing; see `torch_peer.load`.
    """
    setup = search_step.setup(key, a, batch_size=batch_size)
    predictor = dlib_host.Predictor()
    networks = search_step.fused(setup)
    by_landmarks = functools.partial(search_step.by_landmarks, setup, predictor)
    losses = {"search_step": None, "search_step_with_landmarks": search_step.SOFT}
    for who, settings in search_step.COUNTS.items():
        losses[f"search_step_counting_by_{who}"] = settings
    runs: timing.Runs = {}
    for name, settings in losses.items():
        landmark = settings and by_landmarks(networks[0], settings)
        advance = search_step.together(setup, networks, landmark)
        runs[name] = _going_on(advance, setup.start)
    if "plain" in peers:
        networks = search_step.unfused(setup)
        called = by_landmarks(networks[0], search_step.COUNTS["dlib"])
        for name, landmark in (("plain", None), ("plain_with_dlib", called)):
            advance = search_step.alone(setup, networks, landmark)
            advance = training_speed.in_plain_form(advance, setup.start)
            runs[name] = _going_on(advance, setup.start)
    if "torch" in peers:
        runs |= torch_peer.search_steps(
            a,
            np.asarray(setup.image),
            np.asarray(setup.weights),
            lambda_prior=search_step.LAMBDA_PRIOR,
        )
    return runs


def scaling(
    key: types.PRNGKey, a: dcgan.Architecture, *, rounds: int
) -> dict[str, Any]:
    """Measures how time and memory of a search grow with candidates and with steps.

    Candidates are the rows of a batch: restarts of one image or of several.

    Args:
      key: random key of the weights and of z.
      a: the architecture.
      rounds: number of repetitions of each measurement.

    Returns:
      For "candidates" and "steps": {number: {"ms", "megabytes"}} of a whole search, and
      the "exponent" of the time: its slope on logarithmic axes.
    """
    found = {}
    for name, numbers in (("candidates", _CANDIDATES), ("steps", _STEPS)):
        runs, megabytes = {}, {}
        for number in numbers:
            by_rows = name == "candidates"
            rows, count = (number, search_step.STEPS) if by_rows else (16, number)
            setup = search_step.setup(key, a, batch_size=rows)
            program, arguments = search_step.compiled(setup, iterations=count)
            runs[str(number)] = functools.partial(program, *arguments)
            needed: Any = program.memory_analysis()
            megabytes[str(number)] = needed.temp_size_in_bytes / 1e6
        seconds = timing.time_in_turn(runs, rounds)
        times = {k: 1e3 * float(np.median(v)) for k, v in seconds.items()}
        slope, _ = np.polyfit(np.log(numbers), np.log(list(times.values())), 1)
        found[name] = {k: {"ms": times[k], "megabytes": megabytes[k]} for k in runs} | {
            "exponent": float(slope)
        }
    return found


def counted(
    key: types.PRNGKey, a: dcgan.Architecture, *, batch_size: int
) -> dict[str, float]:
    """Returns operations and memory traffic of one step, by the compiled program.

    Args:
      key: random key of the weights and of z.
      a: the architecture.
      batch_size: number of candidates.

    Returns:
      {"counted_gflop", "counted_gbytes"}; products that a library computes may be
      missing.
    """
    setup = search_step.setup(key, a, batch_size=batch_size)
    program, _ = search_step.compiled(setup, iterations=1)
    costs: Any = program.cost_analysis()
    return {
        "counted_gflop": costs.get("flops", 0.0) / 1e9,
        "counted_gbytes": costs.get("bytes accessed", 0.0) / 1e9,
    }


def step_flops(a: dcgan.Architecture) -> int:
    """Returns the operations of a step for one candidate, by plain convolutions.

    There are two for each multiply-add of G and D, in the forward pass and again in the
    gradient with respect to the input.

    Args:
      a: the architecture.
    """
    layers = sum(training_speed.convolutions(a, outer=3))
    last = a.features << (a.levels - 1)
    return 2 * 2 * (2 * layers + 16 * last * (a.z_dim + 1))


def _going_on(
    advance: search_step.Advance, state: latent_descent.LatentState
) -> Callable[[], types.Latent]:
    """Returns a function that continues a search from its last call."""

    def run() -> types.Latent:
        nonlocal state
        state = advance(state)
        return state.z

    return run
