"""The compiled search: its steps for several images that share the networks.

Weights are arguments and no constants of the programs, and searches of the same
settings share their programs.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from inpaint_jax import types
from inpaint_jax.search import latent, steps
from inpaint_jax.search.problem import (
    LandmarkLoss,
    Networks,
    Problem,
    Settings,
    Term,
)


class Pieces(NamedTuple):
    """The functions of `steps`, compiled for several images."""

    start: Any
    advance: Any
    keep: Any
    evaluate: Any


class Search(NamedTuple):
    """A search that is ready to run: its pieces for several images, see `prepare`.

    Attributes:
      settings: stages, chunks and patience.
      networks: what the pieces ask.
      pieces: the compiled pieces, each of which takes the networks first.
    """

    settings: Settings
    networks: Networks
    pieces: Pieces

    def generate(self, z: types.Latent) -> types.Image:
        """Returns G(z)."""
        return _GENERATE(self.networks.generate, z)

    def start(
        self, keys: Key[Array, " images"], problems: Problem
    ) -> latent.LatentState:
        """As `steps.start`, a row each."""
        return self.pieces.start(self.networks, keys, problems)

    def advance(
        self, states: latent.LatentState, problems: Problem, *, iterations: int
    ) -> tuple[latent.LatentState, latent.LatentInfo]:
        """As `steps.advance`, a row each; takes the memory of the states."""
        return self.pieces.advance(
            self.networks, states, problems, iterations=iterations
        )

    def keep(self, states: latent.LatentState, *, restarts: int) -> latent.LatentState:
        """As `steps.keep`, a row each."""
        return self.pieces.keep(states, restarts=restarts)

    def evaluate(
        self, z: Float[Array, "images restarts z_dim"], problems: Problem
    ) -> tuple[Any, Any, Any]:
        """As `steps.evaluate`, a row each."""
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
    has_gradient, fn = (
        (landmark.has_gradient, landmark.fn) if landmark else (False, None)
    )
    networks = Networks(*map(_as_tree, (generate, discriminate, encode, fn, term)))
    pieces = _pieces(settings, z_dim=z_dim, with_landmark=has_gradient)
    return Search(settings, networks, pieces)


@functools.cache
def _pieces(settings: Settings, *, z_dim: int, with_landmark: bool) -> Pieces:
    """Two searches of the same settings share their programs."""

    def begin(networks: Networks, key: Any, problem: Problem) -> latent.LatentState:
        return steps.start(key, networks, problem, z_dim=z_dim, settings=settings)

    go_on = functools.partial(
        steps.advance, settings=settings, with_landmark=with_landmark
    )
    weigh = functools.partial(steps.evaluate, settings=settings)
    return Pieces(
        start=_for_images(begin, shared=1),
        advance=_for_images(go_on, "iterations", shared=1, donated=1),
        keep=_for_images(steps.keep, "restarts"),
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
    """Makes a pytree of a plain function; what holds weights is a pytree already."""
    leaf = jax.tree_util.all_leaves([network])
    return jax.tree_util.Partial(network) if leaf else network


_GENERATE = jax.jit(lambda generate, z: generate(z))
