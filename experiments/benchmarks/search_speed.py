"""How fast a search is: one step of all candidates, against the same step elsewhere."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks import torch_peer, training_speed
from inpaint_jax import losses, types
from inpaint_jax.images import framing, masks
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.models import dcgan, inference
from inpaint_jax.search import landmark_term, latent, objective, problem
from inpaint_jax.training import train_gan

_LAMBDA_PRIOR, _LAMBDA_LANDMARK, _WINDOW, _CROP = 0.003, 0.05, 7, 108
_OPTIMIZER = optax.adam(0.01)
STEPS = 5  # in one program, as in a search
_CANDIDATES, _STEPS = (8, 16, 32, 64, 128, 256), (5, 20, 80)

Networks = tuple[types.Generate, types.Discriminate]
Landmark = Callable[..., types.PerExample]
"""(key, z, G(z)) -> the landmark loss of each candidate"""


def steps(
    key: types.PRNGKey, a: dcgan.Architecture, *, batch_size: int, peers: Sequence[str]
) -> dict[str, Callable[[], Any]]:
    """Returns steps of a search, each a function without arguments.

    Those named "search_step..." take `STEPS` steps, the others take one.

    Args:
      key: of the weights and of z.
      a: the architecture.
      batch_size: candidates.
      peers: "plain" (XLA's own convolutions, one call for each step, dlib called for
        the landmarks) and "torch", if these are to be compared with.

    Raises:
      InputError: dlib is missing; see `torch_peer.load`.
    """
    generator, discriminator = _variables(key, a)
    networks = _folded(a, generator, discriminator, batch_size)
    image, mask, z = _problem(key, a, batch_size)
    weights = masks.context_weights(mask, window=_WINDOW)
    predictor = dlib_host.Predictor()
    target = _target(predictor, a.image_size)
    term = landmark_term.LandmarkTerm(
        landmark_term.Settings(), jax.tree.map(jnp.asarray, predictor.model)
    )
    scene = problem.Problem(image[:1], mask[:1], target)

    start = functools.partial(latent.init, key, optimizer=_OPTIMIZER)
    soft = jax.tree_util.Partial(_by_term, term, scene, networks[0])

    def ours(landmark: Landmark | None) -> Callable[[Any], Any]:
        return lambda state: _advance(
            state, networks, image, weights, landmark, iterations=STEPS
        )

    runs = {
        "search_step": _going_on(ours(None), start(z)),
        "search_step_with_landmarks": _going_on(ours(soft), start(z)),
    }
    if "plain" in peers:
        plain: tuple[Any, Any] = (
            lambda z: a.generator().apply(generator, z, train=False),
            lambda x: a.discriminator().apply(discriminator, x, train=False),
        )
        called = functools.partial(_count_by_dlib, predictor, target)
        for name, landmark in (("plain", None), ("plain_with_dlib", called)):
            step = jax.jit(
                functools.partial(
                    latent.step,
                    objective=_objective(*plain, image, weights, landmark),
                    optimizer=_OPTIMIZER,
                )
            )
            run = lambda state, step=step: step(state)[0]
            runs[name] = _going_on(
                training_speed.in_plain_form(run, start(z)), start(z)
            )
    if "torch" in peers:
        runs |= torch_peer.search_steps(
            a, np.asarray(image), np.asarray(weights), lambda_prior=_LAMBDA_PRIOR
        )
    return runs


def growth(
    key: types.PRNGKey,
    a: dcgan.Architecture,
    *,
    time_in_turn: Callable[[dict[str, Callable[[], Any]]], dict[str, list[float]]],
) -> dict[str, Any]:
    """Measures how time and memory grow with candidates and with steps.

    Candidates are rows of one batch, restarts of one image or of several.

    Args:
      key: of the weights and of z.
      a: the architecture.
      time_in_turn: {name: run} -> {name: seconds of each round}.

    Returns:
      For "candidates" and "steps": {number: {"ms", "megabytes"}} of a whole search, and
      the "exponent" of the line through the times, both axes logarithmic.
    """
    found = {}
    for name, numbers in (("candidates", _CANDIDATES), ("steps", _STEPS)):
        runs, megabytes = {}, {}
        for number in numbers:
            rows, count = (number, STEPS) if name == "candidates" else (16, number)
            program, arguments = _search_program(key, a, rows, count)
            runs[str(number)] = functools.partial(program, *arguments)
            needed: Any = program.memory_analysis()
            megabytes[str(number)] = needed.temp_size_in_bytes / 1e6
        times = {k: 1e3 * float(np.median(v)) for k, v in time_in_turn(runs).items()}
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
    program, _ = _search_program(key, a, batch_size, 1)
    costs: Any = program.cost_analysis()
    return {
        "counted_gflop": costs.get("flops", 0.0) / 1e9,
        "counted_gbytes": costs.get("bytes accessed", 0.0) / 1e9,
    }


def _search_program(
    key: types.PRNGKey, a: dcgan.Architecture, rows: int, iterations: int
) -> tuple[jax.stages.Compiled, tuple[Any, ...]]:
    """A compiled search without landmarks, and its arguments."""
    image, mask, z = _problem(key, a, rows)
    generator, discriminator = _variables(key, a)
    arguments = (
        latent.init(key, z, optimizer=_OPTIMIZER),
        _folded(a, generator, discriminator, rows),
        image,
        masks.context_weights(mask, window=_WINDOW),
        None,
    )
    return _advance.lower(*arguments, iterations=iterations).compile(), arguments


@functools.partial(jax.jit, static_argnames="iterations")
def _advance(
    state: latent.LatentState,
    networks: Networks,
    image: types.Image,
    weights: types.ContextWeights,
    landmark: Landmark | None,
    *,
    iterations: int,
) -> latent.LatentState:
    """Our search: some steps as one program."""
    generate, discriminate = networks
    return latent.solve(
        state,
        objective=_objective(generate, discriminate, image, weights, landmark),
        optimizer=_OPTIMIZER,
        iterations=iterations,
    )[0]


def _by_term(
    term: landmark_term.LandmarkTerm,
    scene: problem.Problem,
    generate: types.Generate,
    key: types.PRNGKey,
    z: types.Latent,
    generated: types.Image,
) -> types.PerExample:
    return term(key, z, generated, scene, generate)


def step_flops(a: dcgan.Architecture) -> int:
    """Counts the operations of a step for each candidate, as convolutions are defined.

    Two for each multiply-add of G and D, forward and for the gradient to the input.

    Args:
      a: the architecture.
    """
    layers = sum(training_speed.convolutions(a, outer=3))
    last = a.features << (a.levels - 1)
    return 2 * 2 * (2 * layers + 16 * last * (a.z_dim + 1))


def _folded(
    a: dcgan.Architecture,
    generator: types.Variables,
    discriminator: types.Variables,
    batch: int,
) -> Networks:
    return (
        inference.generator(a, generator, batch=batch),
        inference.discriminator(a, discriminator, batch=batch),
    )


def _variables(
    key: types.PRNGKey, a: dcgan.Architecture
) -> tuple[types.Variables, types.Variables]:
    size = a.image_size
    return (
        jax.jit(functools.partial(a.generator().init, train=False))(
            key, jnp.zeros((1, a.z_dim))
        ),
        jax.jit(functools.partial(a.discriminator().init, train=False))(
            key, jnp.zeros((1, size, size, 3))
        ),
    )


def _problem(
    key: types.PRNGKey, a: dcgan.Architecture, batch_size: int
) -> tuple[types.Image, types.Mask, types.Latent]:
    size = a.image_size
    image = jnp.tanh(jax.random.normal(key, (1, size, size, 3)))
    mask = masks.centre(key, (size, size))[None]
    z = train_gan.sample_z(key, batch_size, a.z_dim)
    return image.repeat(batch_size, axis=0), mask.repeat(batch_size, axis=0), z


def _objective(
    generate: types.Generate,
    discriminate: types.Discriminate,
    image: types.Image,
    weights: types.ContextWeights,
    landmark: Landmark | None,
) -> Callable[..., Any]:
    return objective.make(
        generate,
        discriminate,
        image,
        weights,
        lambda_prior=_LAMBDA_PRIOR,
        lambda_landmark=_LAMBDA_LANDMARK,
        landmark=landmark,
    )


def _target(predictor: dlib_host.Predictor, size: int) -> landmark_term.Target:
    """Where the cascade's mean shape lies in the box of an aligned face."""
    box = jnp.asarray(framing.aligned_box(crop=_CROP, size=size), jnp.int32)[None]
    extent = (box[:, 2:] - box[:, :2])[:, None].astype(jnp.float32)
    points = predictor.model.initial[None] * extent + box[:, None, :2]
    return landmark_term.Target(points, jnp.ones(points.shape[:2]), box)


def _count_by_dlib(
    predictor: dlib_host.Predictor,
    target: landmark_term.Target,
    key: types.PRNGKey,
    z: types.Latent,
    generated: types.Image,
) -> types.PerExample:
    """The thesis's count, by a call of dlib for all candidates."""
    del key, z
    box = target.box.repeat(len(generated), axis=0)
    points, _ = dlib_host.predict_in_graph(predictor, generated, box)
    wanted = jnp.broadcast_to(target.landmarks, points.shape)
    return losses.landmark.step(points, wanted, threshold=3.0)


def _going_on(advance: Callable[[Any], Any], state: Any) -> Callable[[], Any]:
    """A search that goes on from where its last call ended."""

    def run() -> types.Latent:
        nonlocal state
        state = advance(state)
        return state.z

    return run
