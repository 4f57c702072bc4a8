"""The compiled pieces of a search: start, advance, keep the best restarts, evaluate.

Each is a pure function of one image, and compiled once for several that share the
networks. Weights are arguments and no constants of the programs.

As pure functions they can be mapped and differentiated like any other, here over faces:

>>> import inpaint_jax
>>> from inpaint_jax import Problem, Settings, masks
>>> from inpaint_jax.search import problem, program
>>> model = inpaint_jax.load("release")
>>> networks = problem.Networks(model.generate, model.discriminate)
>>> few = Settings(restarts=2, init="random")
>>> def search(key, image, mask):
...     asked = Problem(image[None], mask[None])
...     state = program.start(key, networks, asked, z_dim=128, settings=few)
...     state, info = program.advance(
...         networks, state, asked, iterations=2, settings=few
...     )
...     return state.best_z, info.loss
>>> keys = jax.random.split(jax.random.key(0), 3)
>>> masked = jax.vmap(lambda key: masks.free_form(key, (64, 64)))(keys)
>>> best_z, loss = jax.jit(jax.vmap(search))(keys, jnp.zeros((3, 64, 64, 3)), masked)
>>> best_z.shape, loss.shape
((3, 2, 128), (3, 2, 2))
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from inpaint_jax import types
from inpaint_jax.search import latent
from inpaint_jax.search import problem as problems
from inpaint_jax.search.problem import (
    LandmarkLoss,
    Networks,
    Problem,
    Settings,
    Term,
)

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


class Search(NamedTuple):
    """A search that is ready to run: its pieces for several images, see `prepare`.

    Attributes:
      settings: stages, chunks and patience.
      networks: what the pieces ask.
      pieces: the compiled pieces, each of which takes the networks first.
    """

    settings: Settings
    networks: Networks
    pieces: "Pieces"

    def generate(self, z: types.Latent) -> types.Image:
        """Returns G(z)."""
        return _GENERATE(self.networks.generate, z)

    def start(
        self, keys: Key[Array, " images"], problems: Problem
    ) -> latent.LatentState:
        """As `start`, a row each."""
        return self.pieces.start(self.networks, keys, problems)

    def advance(
        self, states: latent.LatentState, problems: Problem, *, iterations: int
    ) -> tuple[latent.LatentState, latent.LatentInfo]:
        """As `advance`, a row each; takes the memory of the states."""
        return self.pieces.advance(
            self.networks, states, problems, iterations=iterations
        )

    def keep(self, states: latent.LatentState, *, restarts: int) -> latent.LatentState:
        """As `keep`, a row each."""
        return self.pieces.keep(states, restarts=restarts)

    def evaluate(
        self, z: Float[Array, "images restarts z_dim"], problems: Problem
    ) -> tuple[Any, Any, Any]:
        """As `evaluate`, a row each."""
        return self.pieces.evaluate(self.networks, z, problems)

    def memory(self, key: types.PRNGKey, problem: Problem) -> int:
        """Returns how many bytes the search for one image takes, without searching.

        Those of several images at once take as many times as much, or a little less.

        Args:
          key: of the search.
          problem: the image.
        """
        together = stacked([problem])
        states = jax.eval_shape(self.start, key[None], together)
        program = self.pieces.advance.lower(
            self.networks, states, together, iterations=1
        )
        needed = program.compile().memory_analysis()
        return needed.temp_size_in_bytes + 2 * needed.output_size_in_bytes


class Pieces(NamedTuple):
    """`start`, `advance`, `keep` and `evaluate`, compiled for several images."""

    start: Any
    advance: Any
    keep: Any
    evaluate: Any


def prepare(
    generate: types.Generate,
    discriminate: types.Discriminate,
    *,
    z_dim: int,
    settings: Settings,
    landmark: LandmarkLoss | None = None,
    encode: types.Encode | None = None,
    term: Term | None = None,
) -> Search:
    """Prepares a search: compiled for the first image, used again for all others.

    Args:
      generate: G with its weights.
      discriminate: D with its weights.
      z_dim: length of z.
      settings: of the search.
      landmark: the landmark loss; None leaves the term out.
      encode: E with its weights; needed unless `settings.init` is "random".
      term: a loss of one's own, added to eq. 20.

    Raises:
      ValueError: `settings.init` needs an encoder and there is none.
    """
    if settings.init != "random" and encode is None:
        raise ValueError(f"init={settings.init!r} needs an encoder")
    moves, of = (landmark.moves, landmark.of) if landmark else (False, None)
    networks = Networks(*map(_as_tree, (generate, discriminate, encode, of, term)))
    pieces = _pieces(settings, z_dim=z_dim, with_landmark=moves)
    return Search(settings, networks, pieces)


@functools.cache
def _pieces(settings: Settings, *, z_dim: int, with_landmark: bool) -> Pieces:
    """Two searches of the same settings share their programs."""

    def begin(networks: Networks, key: Any, problem: Problem) -> latent.LatentState:
        return start(key, networks, problem, z_dim=z_dim, settings=settings)

    go_on = functools.partial(advance, settings=settings, with_landmark=with_landmark)
    weigh = functools.partial(evaluate, settings=settings)
    return Pieces(
        start=_for_images(begin, shared=1),
        advance=_for_images(go_on, "iterations", shared=1, donated=1),
        keep=_for_images(keep, "restarts"),
        evaluate=_for_images(weigh, shared=1),
    )


def stacked(problems: Any) -> Any:
    """Returns one tree for several images, a row each."""
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *problems)


def _for_images(
    of_one: Callable[..., Any],
    *static: str,
    shared: int = 0,
    donated: int | tuple[int, ...] = (),
) -> Any:
    """Compiles a function of one image for several, which share the first arguments."""

    @functools.partial(jax.jit, static_argnames=static, donate_argnums=donated)
    def of_several(*arguments: Any, **options: Any) -> Any:
        common, rows = arguments[:shared], arguments[shared:]
        return jax.vmap(lambda *one: of_one(*common, *one, **options))(*rows)

    return of_several


def _as_tree(network: Any) -> Any:
    """A function without leaves becomes a pytree; one with leaves is one already."""
    leaf = jax.tree_util.all_leaves([network])
    return jax.tree_util.Partial(network) if leaf else network


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


_GENERATE = jax.jit(lambda generate, z: generate(z))
