"""The step of a search that is measured, in several implementations."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from inpaint_jax import losses, types
from inpaint_jax.images import framing, masks
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.models import dcgan, inference
from inpaint_jax.search import landmark_term, latent_descent, objective, problem
from inpaint_jax.training import train_gan

LAMBDA_PRIOR = 0.003
STEPS = 5
"""The number of steps in one program, as in a search."""

_LAMBDA_LANDMARK, _WINDOW, _CROP = 0.05, 7, 108
_OPTIMIZER = optax.adam(0.01)

Networks = tuple[types.Generate, types.Discriminate]
Advance = Callable[[latent_descent.LatentState], latent_descent.LatentState]
Landmark = Callable[..., types.PerExample]
"""(key, z, G(z)) -> the landmark loss of each candidate"""


class Setup(NamedTuple):
    """Networks with initial weights, and a problem for a search.

    Attributes:
      architecture: of the networks.
      generator: variables of G.
      discriminator: variables of D.
      image: `[batch, H, W, 3]`, the same for all candidates.
      mask: `[batch, H, W, 1]`, the same for all candidates.
      weights: context weights, `[batch, H, W, 1]`.
      start: initial state of the search.
    """

    architecture: dcgan.Architecture
    generator: types.Variables
    discriminator: types.Variables
    image: types.Image
    mask: types.Mask
    weights: types.ContextWeights
    start: latent_descent.LatentState


def setup(key: types.PRNGKey, a: dcgan.Architecture, *, batch_size: int) -> Setup:
    """Draws initial weights, a random image and starting points.

    Args:
      key: random key of weights, image and z.
      a: the architecture.
      batch_size: number of candidates.
    """
    size = a.image_size
    one = jnp.tanh(jax.random.normal(key, (1, size, size, 3)))
    hole = masks.centre(key, (size, size))[None]
    image, mask = (x.repeat(batch_size, axis=0) for x in (one, hole))
    generator, discriminator = (
        jax.jit(functools.partial(network.init, train=False))(key, jnp.zeros(shape))
        for network, shape in (
            (a.generator(), (1, a.z_dim)),
            (a.discriminator(), (1, size, size, 3)),
        )
    )
    weights = losses.image.context_weights(mask, window=_WINDOW)
    z = train_gan.sample_z(key, batch_size, a.z_dim)
    start = latent_descent.init(key, z, optimizer=_OPTIMIZER)
    return Setup(a, generator, discriminator, image, mask, weights, start)


def fused(setup: Setup) -> Networks:
    """Returns G and D for inference, with BatchNorm fused, as searches run them."""
    a, batch = setup.architecture, len(setup.image)
    return (
        inference.generator(a, setup.generator, batch=batch),
        inference.discriminator(a, setup.discriminator, batch=batch),
    )


def unfused(setup: Setup) -> Networks:
    """Returns G and D as plain flax modules."""
    a = setup.architecture
    plain: tuple[Any, Any] = (
        lambda z: a.generator().apply(setup.generator, z, train=False),
        lambda x: a.discriminator().apply(setup.discriminator, x, train=False),
    )
    return plain


def together(setup: Setup, networks: Networks, landmark: Landmark | None) -> Advance:
    """Returns a function that takes `STEPS` steps in one program."""
    arguments = networks, setup.image, setup.weights, landmark
    return lambda state: _advance(state, *arguments, iterations=STEPS)


def alone(setup: Setup, networks: Networks, landmark: Landmark | None) -> Advance:
    """Returns a function that takes one step, a program of its own."""
    loss = _objective(networks, setup.image, setup.weights, landmark)
    step = jax.jit(
        functools.partial(latent_descent.step, objective=loss, optimizer=_OPTIMIZER)
    )
    return lambda state: step(state)[0]


def compiled(
    setup: Setup, *, iterations: int
) -> tuple[jax.stages.Compiled, tuple[Any, ...]]:
    """Returns (compiled search without landmarks, its arguments).

    Args:
      setup: networks and problem.
      iterations: number of steps.
    """
    arguments = (setup.start, fused(setup), setup.image, setup.weights, None)
    return _advance.lower(*arguments, iterations=iterations).compile(), arguments


SOFT = landmark_term.Settings()
"""The default landmark loss of searches, by the soft cascade."""

COUNTS = {
    "cascade": landmark_term.Settings(term="step", detector="cascade", threshold=3.0),
    "dlib": landmark_term.Settings(term="step", detector="dlib", threshold=3.0),
}
"""{who places the points: the thesis's count}."""


def by_landmarks(
    setup: Setup,
    predictor: dlib_host.Predictor,
    generate: types.Generate,
    settings: landmark_term.Settings,
) -> Landmark:
    """Returns a landmark loss as searches have it.

    Args:
      setup: networks and problem.
      predictor: dlib's model, with the cascade.
      generate: G.
      settings: of the loss.
    """
    cascade = jax.tree.map(jnp.asarray, predictor.model)
    called = predictor if settings.detector == "dlib" else None
    term = landmark_term.LandmarkTerm(settings, cascade, None, called)
    target = _target(setup, predictor)
    targets = {landmark_term.NAME: target}
    known = problem.Problem(setup.image[:1], setup.mask[:1], targets)
    networks = problem.Networks(jax.tree_util.Partial(generate), None)
    # Their arrays are arguments of the program.
    return jax.tree_util.Partial(_by_term, term, known, networks)


@functools.partial(jax.jit, static_argnames="iterations")
def _advance(
    state: latent_descent.LatentState,
    networks: Networks,
    image: types.Image,
    weights: types.ContextWeights,
    landmark: Landmark | None,
    *,
    iterations: int,
) -> latent_descent.LatentState:
    return latent_descent.solve(
        state,
        objective=_objective(networks, image, weights, landmark),
        optimizer=_OPTIMIZER,
        iterations=iterations,
    )[0]


def _objective(
    networks: Networks,
    image: types.Image,
    weights: types.ContextWeights,
    landmark: Landmark | None,
) -> latent_descent.Objective:
    terms = {}
    if landmark is not None:
        terms[landmark_term.NAME] = objective.Weighted(_LAMBDA_LANDMARK, landmark)
    return objective.make(
        *networks, image, weights, lambda_prior=LAMBDA_PRIOR, terms=terms
    )


def _target(setup: Setup, predictor: dlib_host.Predictor) -> landmark_term.Target:
    """Returns the cascade's mean shape in the box of an aligned face as the target."""
    size = setup.architecture.image_size
    box = jnp.asarray(framing.aligned_box(crop=_CROP, size=size), jnp.int32)[None]
    extent = (box[:, 2:] - box[:, :2])[:, None].astype(jnp.float32)
    points = predictor.model.initial[None] * extent + box[:, None, :2]
    return landmark_term.Target(points, jnp.ones(points.shape[:2]), box)


def _by_term(
    term: landmark_term.LandmarkTerm,
    setup: problem.Problem,
    networks: problem.Networks,
    key: types.PRNGKey,
    z: types.Latent,
    generated: types.Image,
) -> types.PerExample:
    return term(key, z, generated, setup, networks)
