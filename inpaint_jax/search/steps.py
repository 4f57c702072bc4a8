"""What a search does to one image: start, advance, keep the best restarts, evaluate.

As pure functions they can be mapped and differentiated like any other, here over faces:

>>> import inpaint_jax, jax, jax.numpy as jnp
>>> from inpaint_jax import Problem, Settings, masks
>>> from inpaint_jax.search import problem, steps
>>> model = inpaint_jax.load("release")
>>> networks = problem.Networks(model.generate, model.discriminate)
>>> few = Settings(restarts=2, init="random")
>>> def search(key, image, mask):
...     asked = Problem(image[None], mask[None])
...     state = steps.start(key, networks, asked, z_dim=128, settings=few)
...     state, info = steps.advance(
...         networks, state, asked, iterations=2, settings=few
...     )
...     return state.best_z, info.loss
>>> keys = jax.random.split(jax.random.key(0), 3)
>>> masked = jax.vmap(lambda key: masks.free_form(key, (64, 64)))(keys)
>>> best_z, loss = jax.jit(jax.vmap(search))(keys, jnp.zeros((3, 64, 64, 3)), masked)
>>> best_z.shape, loss.shape
((3, 2, 128), (3, 2, 2))
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.search import latent
from inpaint_jax.search import problem as problems
from inpaint_jax.search.problem import Networks, Problem, Settings

_LBFGS_MEMORY = 10  # steps that L-BFGS remembers


def start(
    key: types.PRNGKey,
    networks: Networks,
    problem: Problem,
    *,
    z_dim: int,
    settings: Settings,
) -> latent.LatentState:
    """Returns the state in which the search for one image begins.

    Args:
      key: of the starting points and of what the objective draws.
      networks: the encoder, if `settings.init` wants its guess.
      problem: the image.
      z_dim: length of z.
      settings: of the search.
    """
    guess = None
    if networks.encode is not None and settings.init != "random":
        guess = networks.encode(problem.image, problem.mask)
    z = starting_points(key, guess, z_dim=z_dim, settings=settings)
    return latent.init(jax.random.fold_in(key, 1), z, optimizer=_optimizer(settings))


def advance(
    networks: Networks,
    state: latent.LatentState,
    problem: Problem,
    *,
    iterations: int,
    settings: Settings,
    with_landmark: bool = True,
) -> tuple[latent.LatentState, latent.LatentInfo]:
    """Takes a number of steps, all restarts of one image at once.

    Args:
      networks: what eq. 20 asks.
      state: from `start` or from an earlier `advance`.
      problem: the image.
      iterations: number of steps.
      settings: of the search.
      with_landmark: whether the landmark loss counts, if there is one.

    Returns:
      The next state, and the info of all steps, `[iterations, restarts]`.
    """
    return latent.solve(
        state,
        objective=problems.loss(
            networks,
            problem,
            settings,
            restarts=len(state.z),
            with_landmark=with_landmark,
        ),
        optimizer=_optimizer(settings),
        iterations=iterations,
    )


def keep(state: latent.LatentState, *, restarts: int) -> latent.LatentState:
    """Returns the state of the best restarts of one image."""
    return latent.take(state, latent.rank(state.best_loss[None])[0, :restarts])


def evaluate(
    networks: Networks, z: types.Latent, problem: Problem, *, settings: Settings
) -> tuple[types.Image, types.PerExample, Any]:
    """Returns G(z), eq. 20 with all its terms, and the terms, for one image.

    Args:
      networks: what eq. 20 asks.
      z: `[restarts, z_dim]`.
      problem: the image.
      settings: of the search.
    """
    objective = problems.loss(
        networks, problem, settings, restarts=len(z), with_landmark=True
    )
    loss, terms = objective(jax.random.key(0), z)
    return networks.generate(z), loss, terms


def starting_points(
    key: types.PRNGKey,
    guess: types.Latent | None,
    *,
    z_dim: int,
    settings: Settings,
) -> Float[Array, "restarts z_dim"]:
    """Returns where each restart of one image begins, `[restarts, z_dim]`.

    Args:
      key: of the points.
      guess: the encoder's, `[1, z_dim]`; None to begin at random points only.
      z_dim: length of z.
      settings: of the search.
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
    """Returns the optimizer of one z."""
    rate: Any = settings.learning_rate
    if settings.decay:
        rate = optax.cosine_decay_schedule(rate, settings.all_iterations)
    if settings.optimizer == "nesterov":
        return optax.sgd(rate, momentum=0.9, nesterov=True)
    if settings.optimizer == "lbfgs":
        return optax.lbfgs(rate, memory_size=_LBFGS_MEMORY, linesearch=None)
    return optax.adam(rate)
