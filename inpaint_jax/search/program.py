"""The compiled search: the functions of `one_image` for several images at once.

Weights are arguments of the programs, not constants, so searches with the same settings
share their programs.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from inpaint_jax import runtime, types
from inpaint_jax.errors import InputError
from inpaint_jax.search import latent_descent, objective, one_image
from inpaint_jax.search.problem import Networks, Problem, WeightedTerm
from inpaint_jax.search.settings import Settings


class Pieces(NamedTuple):
    """The functions of `one_image`, compiled for several images."""

    start: Any
    advance: Any
    keep: Any
    evaluate: Any


class Search(NamedTuple):
    """A compiled search for several images, see `prepare`.

    Attributes:
      settings: hyperparameters of the search.
      networks: the networks.
      pieces: the compiled functions, whose first argument is the networks.
    """

    settings: Settings
    networks: Networks
    pieces: Pieces

    @property
    def asked_restarts(self) -> str:
        """The setting that says how many restarts there are, as `restarts=16`."""
        if not self.settings.restart_schedule:
            return f"restarts={self.settings.restarts}"
        pairs = ",".join(f"{a}x{b}" for a, b in self.settings.restart_schedule)
        return f"restart_schedule={pairs}"

    def generate(self, z: types.Latent) -> types.Image:
        """Returns G(z)."""
        return _GENERATE(self.networks.generate, z)

    def start(
        self, keys: Key[Array, " images"], problems: Problem
    ) -> latent_descent.LatentState:
        """Runs `one_image.start` for each image; arrays have one row for each image."""
        return self.pieces.start(self.networks, keys, problems)

    def advance(
        self, states: latent_descent.LatentState, problems: Problem, *, iterations: int
    ) -> tuple[latent_descent.LatentState, latent_descent.LatentInfo]:
        """Runs `one_image.advance` for each image; the memory of `states` is reused."""
        return self.pieces.advance(
            self.networks, states, problems, iterations=iterations
        )

    def keep(
        self, states: latent_descent.LatentState, *, restarts: int
    ) -> latent_descent.LatentState:
        """Runs `one_image.keep` for each image."""
        return self.pieces.keep(states, restarts=restarts)

    def evaluate(
        self, z: Float[Array, "images restarts z_dim"], problems: Problem
    ) -> tuple[Any, Any, Any]:
        """Runs `one_image.evaluate` for each image."""
        return self.pieces.evaluate(self.networks, z, problems)

    def memory(self, key: types.PRNGKey, problem: Problem, *, images: int = 1) -> int:
        """Returns about how many bytes the search for some images needs.

        Nothing is searched or compiled.

        Args:
          key: random key of the search of an image.
          problem: the damaged image.
          images: their number.

        Raises:
          InputError: the restarts are too many for any memory.
        """
        _, iterations = self.settings.stages[0]
        several = functools.partial(jax.tree.map, lambda x: jnp.stack([x] * images))
        keys, together = jax.eval_shape(several, (key, problem))
        try:
            states = jax.eval_shape(self.start, keys, together)
            # As in the first call of a search, which then need not be traced again.
            count = min(self.settings.chunk, iterations)
            advance = self.pieces.advance.trace(
                self.networks, states, together, iterations=count
            )
        except OverflowError as error:
            raise InputError(
                f"{self.asked_restarts}: are too many for one program, which "
                "counts the elements of an array with 32 bits; give fewer."
            ) from error
        return runtime.peak_memory(advance.jaxpr.jaxpr)

    def check_memory(
        self, key: types.PRNGKey, problem: Problem, *, images: int = 1
    ) -> None:
        """Checks that there is memory for a search, see `memory`.

        Raises:
          InputError: there is not.
        """
        runtime.check_memory(
            self.memory(key, problem, images=images),
            what=f"{self.asked_restarts}: a search for images={images}",
            give="give fewer of them",
        )


def prepare(
    generate: types.Generate,
    discriminate: types.Discriminate | None,
    *,
    z_dim: int,
    settings: Settings,
    encode: types.Encode | None = None,
    terms: Mapping[str, WeightedTerm] | None = None,
) -> Search:
    """Prepares a search, which is compiled at its first image and reused for others.

    Args:
      generate: G with its weights.
      discriminate: D with its weights; needed unless `settings.lambda_prior` is 0.
      z_dim: length of z.
      settings: hyperparameters of the search.
      encode: E with its weights; needed unless `settings.init` is "random".
      terms: {name: term} that eq. 20 has beside context and prior.

    Raises:
      ValueError: the settings need an encoder or a discriminator and there is none, or
        a term has the name of another.
    """
    if settings.lambda_prior > 0 and discriminate is None:
        raise ValueError(f"lambda_prior={settings.lambda_prior} needs a discriminator")
    if settings.init != "random" and encode is None:
        raise ValueError(f"init={settings.init!r} needs an encoder")
    terms = terms or {}
    if taken := set(terms) & {*objective.OWN_TERMS}:
        raise ValueError(f"terms: {min(taken)!r} is the name of another term")
    networks = Networks(
        _as_tree(generate),
        _as_tree(discriminate),
        _as_tree(encode),
        {name: (each.weight, _as_tree(each.term)) for name, each in terms.items()},
    )
    pieces = _pieces(
        settings,
        z_dim=z_dim,
        ranking=frozenset(n for n, each in terms.items() if not each.has_gradient),
        fading=frozenset(name for name, each in terms.items() if each.fades),
    )
    return Search(settings, networks, pieces)


@functools.cache
def _pieces(
    settings: Settings, *, z_dim: int, ranking: frozenset[str], fading: frozenset[str]
) -> Pieces:
    """Returns the compiled functions; searches with the same settings share them."""

    def start(
        networks: Networks, key: Any, problem: Problem
    ) -> latent_descent.LatentState:
        return one_image.start(key, networks, problem, z_dim=z_dim, settings=settings)

    each: Any = {"settings": settings, "fading": fading}
    advance = functools.partial(one_image.advance, without=ranking, **each)
    evaluate = functools.partial(one_image.evaluate, **each)
    return Pieces(
        start=_for_images(start, shared=1),
        advance=_for_images(advance, "iterations", shared=1, donated=1),
        keep=_for_images(one_image.keep, "restarts"),
        evaluate=_for_images(evaluate, shared=1),
    )


def stacked(problems: Any) -> Any:
    """Stacks the problems of several images into one, with a row for each image."""
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *problems)


def _for_images(
    of_one: Callable[..., Any],
    *static: str,
    shared: int = 0,
    donated: int | tuple[int, ...] = (),
) -> Any:
    """Maps a function of one image over several, which share the first arguments."""

    @functools.partial(jax.jit, static_argnames=static, donate_argnums=donated)
    def of_several(*arguments: Any, **options: Any) -> Any:
        common, rows = arguments[:shared], arguments[shared:]
        if len(jax.tree.leaves(rows)[0]) > 1:
            return jax.vmap(lambda *one: of_one(*common, *one, **options))(*rows)
        # `vmap` takes as long as the rest of tracing, and brings one image nothing.
        only = jax.tree.map(lambda array: array[0], rows)
        found = of_one(*common, *only, **options)
        return jax.tree.map(lambda array: array[None], found)

    return of_several


def _as_tree(network: Any) -> Any:
    """Makes a pytree of a plain function; a network with weights already is one."""
    leaf = jax.tree_util.all_leaves([network])
    return jax.tree_util.Partial(network) if leaf else network


_GENERATE = jax.jit(lambda generate, z: generate(z))
