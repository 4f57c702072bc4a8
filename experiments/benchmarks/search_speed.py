"""How fast a search is: one step of all candidates, against the same step elsewhere."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.benchmarks import search_step, timing, torch_peer, training_speed
from inpaint_jax import types
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.models import dcgan
from inpaint_jax.search import latent

_CANDIDATES, _STEPS = (8, 16, 32, 64, 128, 256), (5, 20, 80)


def steps(
    key: types.PRNGKey, a: dcgan.Architecture, *, batch_size: int, peers: Sequence[str]
) -> timing.Runs:
    """Returns steps of a search, each a function without arguments.

    Those named "search_step..." take `search_step.STEPS` steps, the others take one.

    Args:
      key: of the weights and of z.
      a: the architecture.
      batch_size: candidates.
      peers: "plain" (XLA's own convolutions, one call for each step, dlib called for
        the landmarks) and "torch", if these are to be compared with.

    Raises:
      InputError: dlib is missing; see `torch_peer.load`.
    """
    setup = search_step.setup(key, a, batch_size=batch_size)
    predictor = dlib_host.Predictor()
    networks = search_step.fused(setup)
    soft = search_step.soft(setup, predictor, networks[0])
    runs: timing.Runs = {}
    for name, landmark in (
        ("search_step", None),
        ("search_step_with_landmarks", soft),
    ):
        advance = search_step.together(setup, networks, landmark)
        runs[name] = _going_on(advance, setup.start)
    if "plain" in peers:
        networks = search_step.unfused(setup)
        called = search_step.by_dlib(setup, predictor)
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


def growth(key: types.PRNGKey, a: dcgan.Architecture, *, rounds: int) -> dict[str, Any]:
    """Measures how time and memory grow with candidates and with steps.

    Candidates are rows of one batch, restarts of one image or of several.

    Args:
      key: of the weights and of z.
      a: the architecture.
      rounds: repetitions of each measurement.

    Returns:
      For "candidates" and "steps": {number: {"ms", "megabytes"}} of a whole search, and
      the "exponent" of the line through the times, both axes logarithmic.
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
    """Counts what one step really computes and moves, from the compiled program.

    Args:
      key: of the weights and of z.
      a: the architecture.
      batch_size: candidates.

    Returns:
      "counted_gflop" and "counted_gbytes"; products that the back end hands to a
      library may be missing.
    """
    setup = search_step.setup(key, a, batch_size=batch_size)
    program, _ = search_step.compiled(setup, iterations=1)
    costs: Any = program.cost_analysis()
    return {
        "counted_gflop": costs.get("flops", 0.0) / 1e9,
        "counted_gbytes": costs.get("bytes accessed", 0.0) / 1e9,
    }


def step_flops(a: dcgan.Architecture) -> int:
    """Counts the operations of a step for each candidate, as convolutions are defined.

    Two for each multiply-add of G and D, forward and for the gradient to the input.

    Args:
      a: the architecture.
    """
    layers = sum(training_speed.convolutions(a, outer=3))
    last = a.features << (a.levels - 1)
    return 2 * 2 * (2 * layers + 16 * last * (a.z_dim + 1))


def _going_on(
    advance: search_step.Advance, state: latent.LatentState
) -> Callable[[], types.Latent]:
    """A search that goes on from where its last call ended."""

    def run() -> types.Latent:
        nonlocal state
        state = advance(state)
        return state.z

    return run
