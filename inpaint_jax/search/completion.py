"""Completing a face: search, rank, blend (thesis 3.2.4; algorithm of Yeh et al. 2017).

`prepare` compiles the pieces once for a model; `search` runs them on one image, all its
restarts as one batch, and reports after each chunk; `finish` orders the restarts and
puts the hole in. Each image is searched on its own, so what comes out does not depend
on which other images are completed beside it. `search_together` runs several such
searches as one program, which a large processor needs to be kept busy; how sums are
rounded then depends on their number, and on nothing else.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.images import blending, masks
from inpaint_jax.search import latent, objective


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a search runs; the defaults are those of `landmark.flags`.

    Attributes:
      restarts: number of starting points for each image.
      iterations: steps of each.
      restart_schedule: in place of these two, pairs of them: search from so many points
        for so many steps, then go on with the best of them only, and so forth.
      learning_rate: of the optimizer of z.
      decay: whether that rate falls to nothing along half a cosine, which ends nearer
        to a minimum after the same number of steps.
      optimizer: "adam", "nesterov" (momentum 0.9, as the code of Yeh et al.), or
        "lbfgs", whose steps are the inverse Hessian's times the rate.
      z_prior: how random points are drawn: "uniform" on [-1, 1], as the generator was
        trained, or "normal", clipped.
      init: where the restarts begin: at "random" points; at the "encoder"'s guess, the
        first exactly, the others around it; or "mixed", one half each.
      init_std: standard deviation of the restarts around the guess.
      window: of the context weights, eq. 15.
      lambda_context: weight of eq. 16.
      lambda_prior: weight of eq. 19.
      lambda_landmark: weight of the landmark loss.
      normalised: divide eq. 16 by its weights, so that masks can be compared.
      saturating: eq. 19 as printed, log(1 - D(G(z))), in place of -log D(G(z)).
      chunk: steps in one compiled call; between chunks there is a report.
      patience: stop after this many chunks in which no restart's best loss fell by
        0.1 %; 0 never stops early.
    """

    restarts: int = 16
    iterations: int = 50
    learning_rate: float = 0.05
    decay: bool = True
    restart_schedule: tuple[tuple[int, int], ...] = ()
    optimizer: Literal["adam", "nesterov", "lbfgs"] = "adam"
    z_prior: Literal["uniform", "normal"] = "uniform"
    init: Literal["random", "encoder", "mixed"] = "encoder"
    init_std: float = 0.3
    window: int = 21
    lambda_context: float = 1.0
    lambda_prior: float = 0.003
    lambda_landmark: float = 0.05
    normalised: bool = True
    saturating: bool = False
    chunk: int = 25
    patience: int = 2

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """How many restarts take how many steps, one stage after the other."""
        return self.restart_schedule or ((self.restarts, self.iterations),)

    @property
    def all_iterations(self) -> int:
        """Steps of a restart that stays to the end."""
        return sum(iterations for _, iterations in self.stages)


class Progress(NamedTuple):
    """Where a search stands after a chunk.

    Attributes:
      iteration: steps taken.
      loss: `[restarts]`, at the last step.
      best_loss: `[restarts]`, lowest so far.
      state: to go on from.
    """

    iteration: int
    loss: Float[np.ndarray, " restarts"]
    best_loss: Float[np.ndarray, " restarts"]
    state: latent.LatentState

    @property
    def best_z(self) -> Float[Array, " z_dim"]:
        """Where the best restart was; one of them must have had a finite loss."""
        return self.state.best_z[int(np.nanargmin(self.best_loss))]


class Scene(NamedTuple):
    """All that a search knows of one image; arrays, so that images share a program.

    Attributes:
      image: `[1, H, W, 3]`; its hole does not matter.
      mask: `[1, H, W, 1]`, 1 = known.
      guide: what the landmark loss knows of it, see `landmark_term.Target`; None
        without it.
    """

    image: types.Image
    mask: types.Mask
    guide: Any = None


class LandmarkLoss(NamedTuple):
    """The landmark loss of a search.

    Attributes:
      of: (key, z, G(z), scene, G) -> `[restarts]`.
      moves: whether it has a gradient; otherwise it only ranks the restarts, and is
        left out until the search is over.
    """

    of: Callable[..., types.PerExample]
    moves: bool


class Networks(NamedTuple):
    """What a search asks, as pytrees, so that weights are no constants of a program.

    Attributes:
      generate: G with its weights.
      discriminate: D with its weights.
      encode: E with its weights; None without it.
      landmark: `LandmarkLoss.of`; None without it.
    """

    generate: Any
    discriminate: Any
    encode: Any
    landmark: Any


class Search(NamedTuple):
    """The compiled pieces of a search, each for several images; see `prepare`.

    Attributes:
      settings: of the search.
      generate: G, compiled.
      start: (keys, scenes) -> states.
      advance: (states, scenes, iterations=) -> (states, info `[images, steps, ...]`);
        takes the memory of the states that it is given.
      keep: (states, restarts=) -> states of the best restarts of each image.
      evaluate: (z, scenes) -> (G(z), loss, LossTerms).
    """

    settings: Settings
    generate: types.Generate
    start: Callable[..., latent.LatentState]
    advance: Any
    keep: Callable[..., latent.LatentState]
    evaluate: Callable[..., tuple[types.Image, types.PerExample, Any]]


class Completion(NamedTuple):
    """The restarts of one image, best first.

    Attributes:
      completed: `[1, H, W, 3]`, the best restart's face in the hole of the image.
      generated: `[restarts, H, W, 3]`, G at the best point of each restart.
      z: `[restarts, z_dim]`.
      score: `[restarts]`, by which they are ordered: eq. 20.
      terms: the terms of eq. 20 without their weights, each `[restarts]`.
      iterations: steps taken.
    """

    completed: types.Image
    generated: types.Image
    z: types.Latent
    score: types.PerExample
    terms: dict[str, types.PerExample]
    iterations: int


def prepare(
    generate: types.Generate,
    discriminate: types.Discriminate,
    *,
    z_dim: int,
    settings: Settings,
    landmark: LandmarkLoss | None = None,
    encode: types.Encode | None = None,
) -> Search:
    """Prepares a search: compiled for the first image, used again for all others.

    Args:
      generate: G with its weights.
      discriminate: D with its weights.
      z_dim: length of z.
      settings: of the search.
      landmark: the landmark loss; None leaves the term out.
      encode: E with its weights; needed unless `settings.init` is "random".

    Returns:
      What `search` needs.

    Raises:
      ValueError: `settings.init` needs an encoder and there is none.
    """
    if settings.init != "random" and encode is None:
        raise ValueError(f"init={settings.init!r} needs an encoder")
    optimizer = _optimizer(settings)
    moves, of = (landmark.moves, landmark.of) if landmark else (False, None)
    networks = Networks(
        *(_as_tree(network) for network in (generate, discriminate, encode, of))
    )

    def start(networks, key, scene):
        guess = None
        if networks.encode is not None and settings.init != "random":
            guess = networks.encode(scene.image, scene.mask)
        z = starting_points(key, guess, z_dim=z_dim, settings=settings)
        return latent.init(jax.random.fold_in(key, 1), z, optimizer=optimizer)

    def advance(networks, state, scene, *, iterations):
        return latent.solve(
            state,
            objective=_objective(
                networks, scene, len(state.z), settings, with_landmark=moves
            ),
            optimizer=optimizer,
            iterations=iterations,
        )

    def keep(networks, state, *, restarts):
        del networks
        return latent.take(state, latent.rank(state.best_loss[None])[0, :restarts])

    def evaluate(networks, z, scene):
        objective = _objective(networks, scene, len(z), settings, with_landmark=True)
        loss, terms = objective(jax.random.key(0), z)
        return networks.generate(z), loss, terms

    return Search(
        settings,
        functools.partial(_GENERATE, networks.generate),
        _for_images(start, networks),
        _for_images(advance, networks, "iterations", donated=1),
        _for_images(keep, networks, "restarts"),
        _for_images(evaluate, networks),
    )


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


def image_key(key: types.PRNGKey, name: str) -> types.PRNGKey:
    """Derives the key of one image from its name, whatever else is being completed."""
    return jax.random.fold_in(key, zlib.crc32(name.encode("utf-8")))


def search(key: types.PRNGKey, scene: Scene, *, compiled: Search) -> Iterator[Progress]:
    """Searches for one image, all restarts at once, and yields after each chunk.

    Args:
      key: of the starting points and of what the objective draws.
      scene: the image.
      compiled: from `prepare`.

    Yields:
      Progress; the last one is the result.

    Raises:
      InputError: no restart ever had a finite loss.
    """
    for (progress,) in search_together([key], [scene], compiled=compiled):
        assert progress is not None
        check(progress)
        yield progress


def search_together(
    keys: Sequence[types.PRNGKey], scenes: Sequence[Scene], *, compiled: Search
) -> Iterator[list[Progress | None]]:
    """Searches for several images in one program, and yields after each chunk.

    Images whose search is over early leave the program when half of its images have.

    Args:
      keys: as in `search`, one for each image.
      scenes: the images, all of one size.
      compiled: from `prepare`.

    Yields:
      Progress of each image, None where its search was over before; the last that is
      not None is the result. See `check`.
    """
    settings = compiled.settings
    together = _stacked(scenes)
    states = compiled.start(jnp.stack(list(keys)), together)
    inside = list(range(len(scenes)))  # which images the program holds
    stalled = {image: 0 for image in inside}  # those whose search is not over
    before = np.full((len(scenes), settings.stages[0][0]), np.inf)
    done = 0
    for restarts, iterations in settings.stages:
        if restarts < before.shape[1]:
            states = compiled.keep(states, restarts=restarts)
            before = np.sort(before, axis=1)[:, :restarts]
        for count in _chunks(iterations, settings.chunk):
            if 2 * len(stalled) <= len(inside):
                rows, inside = _halved(inside, stalled)
                states, together, before = jax.tree.map(
                    lambda array, rows=rows: array[rows], (states, together, before)
                )
            states, info = compiled.advance(states, together, iterations=count)
            done += count
            loss, best = (np.asarray(x[:, -1]) for x in (info.loss, info.best_loss))
            reports: list[Progress | None] = [None] * len(scenes)
            for row, image in enumerate(inside):
                if image in stalled:
                    state = jax.tree.map(lambda array, row=row: array[row], states)
                    reports[image] = Progress(done, loss[row], best[row], state)
                    # Losses can be negative (log(1 - D)), so the fall is measured
                    # against their size.
                    fell = before[row] > best[row] + 1e-3 * np.abs(best[row])
                    stalled[image] = 0 if fell.any() else stalled[image] + 1
                    lost = not np.isfinite(best[row]).any()
                    if lost or (0 < settings.patience <= stalled[image]):
                        del stalled[image]
            before = best
            yield reports
            if not stalled:
                return


def check(progress: Progress) -> None:
    """Refuses a search that no restart survived.

    Raises:
      InputError: no restart ever had a finite loss.
    """
    if not np.isfinite(progress.best_loss).any():
        raise InputError(
            "the search diverged: no restart has a finite loss; lower --learning_rate."
        )


def memory(key: types.PRNGKey, scene: Scene, *, compiled: Search) -> int:
    """Returns how many bytes the search for one image takes, without searching.

    Those of several images at once take as many times as much, or a little less.

    Args:
      key: as in `search`.
      scene: the image.
      compiled: from `prepare`.
    """
    together = _stacked([scene])
    states = jax.eval_shape(compiled.start, key[None], together)
    program = compiled.advance.func.lower(
        *compiled.advance.args, states, together, iterations=1
    )
    needed = program.compile().memory_analysis()
    return needed.temp_size_in_bytes + 2 * needed.output_size_in_bytes


def finish(last: Progress, scene: Scene, *, compiled: Search, blend: str) -> Completion:
    """Orders the restarts by eq. 20 and blends the best into the image.

    Args:
      last: the end of `search`.
      scene: the image.
      compiled: from `prepare`.
      blend: how the hole is put in: "poisson" or "paste".

    Returns:
      The restarts, best first; one whose loss is NaN comes last.
    """
    z = last.state.best_z
    generated, score, terms = jax.tree.map(
        lambda array: array[0], compiled.evaluate(z[None], _stacked([scene]))
    )
    score = jnp.where(jnp.isfinite(last.state.best_loss), score, jnp.nan)
    order: Int[Array, " restarts"] = latent.rank(score[None])[0]
    generated = generated[order]
    return Completion(
        completed=_BLENDS[blend](generated[:1], scene.image, scene.mask),
        generated=generated,
        z=z[order],
        score=score[order],
        terms={
            name: value[order]
            for name, value in terms._asdict().items()
            if value is not None
        },
        iterations=last.iteration,
    )


def _objective(networks, scene, restarts, settings, *, with_landmark):
    weights = masks.context_weights(scene.mask, window=settings.window)

    def landmark(key, z, generated):
        return networks.landmark(key, z, generated, scene, networks.generate)

    has_landmark = with_landmark and networks.landmark is not None
    return objective.make(
        networks.generate,
        networks.discriminate,
        scene.image.repeat(restarts, axis=0),
        weights.repeat(restarts, axis=0),
        lambda_context=settings.lambda_context,
        lambda_prior=settings.lambda_prior,
        lambda_landmark=settings.lambda_landmark,
        normalised=settings.normalised,
        saturating=settings.saturating,
        landmark=landmark if has_landmark else None,
    )


def _for_images(of_one, networks, *static, donated=()):
    """Compiles a function of one image for several, which share the networks."""

    @functools.partial(jax.jit, static_argnames=static, donate_argnums=donated)
    def of_several(networks, *per_image, **options):
        return jax.vmap(lambda *one: of_one(networks, *one, **options))(*per_image)

    return functools.partial(of_several, networks)


def _as_tree(network):
    """A function without leaves becomes a pytree; one with leaves is one already."""
    leaf = jax.tree_util.all_leaves([network])
    return jax.tree_util.Partial(network) if leaf else network


def _stacked(scenes):
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *scenes)


def _chunks(iterations, chunk):
    whole, rest = divmod(iterations, chunk)
    return [chunk] * whole + [rest] * (rest > 0)


def _halved(inside, going_on):
    """Which rows to keep of a program, half as many until those that go on just fit."""
    size = len(inside)
    while size > 1 and size // 2 >= len(going_on):
        size //= 2
    rows = sorted(range(len(inside)), key=lambda row: inside[row] not in going_on)
    rows = np.array(sorted(rows[:size]))
    return rows, [inside[row] for row in rows]


_LBFGS_MEMORY = 10  # steps that L-BFGS remembers
_GENERATE = jax.jit(lambda generate, z: generate(z))
_BLENDS = {"poisson": jax.jit(blending.poisson), "paste": jax.jit(blending.paste)}


def _optimizer(settings):
    rate = settings.learning_rate
    if settings.decay:
        rate = optax.cosine_decay_schedule(rate, settings.all_iterations)
    if settings.optimizer == "nesterov":
        return optax.sgd(rate, momentum=0.9, nesterov=True)
    if settings.optimizer == "lbfgs":
        return optax.lbfgs(rate, memory_size=_LBFGS_MEMORY, linesearch=None)
    return optax.adam(rate)
