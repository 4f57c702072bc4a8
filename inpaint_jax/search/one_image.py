"""The parts of a search for one image: start, advance, keep the best, evaluate.

The optimizer step itself is `latent_descent.step`.

They are pure functions, which can be mapped and differentiated, here over faces:

>>> import inpaint_jax, jax, jax.numpy as jnp
>>> from inpaint_jax import Problem, Settings, masks
>>> from inpaint_jax.search import problem, one_image
>>> model = inpaint_jax.load("release")
>>> networks = problem.Networks(model.generate, model.discriminate)
>>> few = Settings(restarts=2, init="random")
>>> def search(key, image, mask):
...     damaged = Problem(image[None], mask[None])
...     state = one_image.start(key, networks, damaged, z_dim=256, settings=few)
...     state, info = one_image.advance(
...         networks, state, damaged, iterations=2, settings=few
...     )
...     return state.best_z, info.loss
>>> keys = jax.random.split(jax.random.key(0), 3)
>>> masked = jax.vmap(lambda key: masks.free_form(key, (64, 64)))(keys)
>>> best_z, loss = jax.jit(jax.vmap(search))(keys, jnp.zeros((3, 64, 64, 3)), masked)
>>> best_z.shape, loss.shape
((3, 2, 256), (3, 2, 2))
"""

from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.search import latent_descent
from inpaint_jax.search import problem as problems
from inpaint_jax.search.problem import Networks, Problem
from inpaint_jax.search.settings import Settings

_LBFGS_MEMORY = 10  # number of past steps from which L-BFGS estimates the Hessian


def start(
    key: types.PRNGKey,
    networks: Networks,
    problem: Problem,
    *,
    z_dim: int,
    settings: Settings,
) -> latent_descent.LatentState:
    """Returns the initial state of the search for one image.

    Args:
      key: random key of the starting points and of the objective.
      networks: the networks; only the encoder is used, unless `settings.init` is
        "random".
      problem: the damaged image.
      z_dim: length of z.
      settings: hyperparameters of the search.
    """
    guess = None
    if networks.encode is not None and settings.init != "random":
        guess = networks.encode(problem.image, problem.mask)
    z = starting_points(key, guess, z_dim=z_dim, settings=settings)
    return latent_descent.init(
        jax.random.fold_in(key, 1), z, optimizer=_optimizer(settings)
    )


def advance(
    networks: Networks,
    state: latent_descent.LatentState,
    problem: Problem,
    *,
    iterations: int,
    settings: Settings,
    without: Collection[str] = (),
    fading: Collection[str] = (),
) -> tuple[latent_descent.LatentState, latent_descent.LatentInfo]:
    """Takes a number of steps with all restarts of one image.

    Args:
      networks: the networks.
      state: from `start` or from an earlier `advance`.
      problem: the damaged image.
      iterations: number of steps.
      settings: hyperparameters of the search.
      without: names of terms that are left out, as they have no gradient.
      fading: names of terms whose weight falls to 0 until the last step.

    Returns:
      (next state, info of all steps, `[iterations, restarts]`).
    """
    return latent_descent.solve(
        state,
        objective=problems.loss(
            networks,
            problem,
            settings,
            restarts=len(state.z),
            without=without,
            fading=fading,
        ),
        optimizer=_optimizer(settings),
        iterations=iterations,
    )


def keep(
    state: latent_descent.LatentState, *, restarts: int
) -> latent_descent.LatentState:
    """Returns the state with only the best restarts of one image."""
    return latent_descent.take(
        state, latent_descent.rank(state.best_loss[None])[0, :restarts]
    )


def evaluate(
    networks: Networks,
    z: types.Latent,
    problem: Problem,
    *,
    settings: Settings,
    fading: Collection[str] = (),
) -> tuple[types.Image, types.PerExample, Any]:
    """Returns (G(z), loss with all terms of eq. 20, the terms) after the last step.

    Args:
      networks: the networks.
      z: `[restarts, z_dim]`.
      problem: the damaged image.
      settings: hyperparameters of the search.
      fading: as in `advance`; these terms are not in the loss any more.
    """
    restarts = len(z)
    objective = problems.loss(
        networks, problem, settings, restarts=restarts, fading=fading
    )
    ended = jnp.full(restarts, settings.all_iterations, jnp.int32)
    loss, terms = objective(jax.random.key(0), z, ended)
    return networks.generate(z), loss, terms


def starting_points(
    key: types.PRNGKey,
    guess: types.Latent | None,
    *,
    z_dim: int,
    settings: Settings,
) -> Float[Array, "restarts z_dim"]:
    """Returns the initial z of each restart of one image, `[restarts, z_dim]`.

    Args:
      key: random key of the points.
      guess: the encoder's prediction, `[1, z_dim]`; None for random points only.
      z_dim: length of z.
      settings: hyperparameters of the search.
    """
    restarts, _ = settings.stages[0]
    shape = (restarts, z_dim)
    if settings.z_prior == "normal":
        points = jnp.clip(jax.random.normal(key, shape), -1.0, 1.0)
    else:
        points = jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
    if guess is None:
        return points
    nearby = restarts
    if settings.init == "mixed":
        nearby = (restarts + 1) // 2
    key_spread = jax.random.fold_in(key, 2)
    around = settings.init_std * jax.random.normal(key_spread, (nearby, z_dim))
    around = jnp.clip(guess + around.at[0].set(0.0), -1.0, 1.0)
    return points.at[:nearby].set(around)


def _optimizer(settings: Settings) -> optax.GradientTransformation:
    """Returns the optimizer that `settings` describe, for one z."""
    rate: Any = settings.learning_rate
    if settings.decay:
        rate = optax.cosine_decay_schedule(rate, settings.all_iterations)
    if settings.optimizer == "nesterov":
        return optax.sgd(rate, momentum=0.9, nesterov=True)
    if settings.optimizer == "lbfgs":
        return optax.lbfgs(rate, memory_size=_LBFGS_MEMORY, linesearch=None)
    return optax.adam(rate)
