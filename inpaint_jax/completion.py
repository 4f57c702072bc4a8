"""Completing a face: search, rank, blend (thesis 3.2.4; algorithm of Yeh et al. 2017).

`prepare` compiles the pieces once for a model; `search` runs them on one image and
reports after each chunk; `finish` orders the restarts and puts the hole in. Each image
is searched on its own, with all its restarts as one batch, so what comes out does not
depend on which other images are completed beside it.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from inpaint_jax import blending, latent, masks, objective, types
from inpaint_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a search runs; the defaults are those of `landmark.flags`.

    Attributes:
      restarts: number of starting points for each image.
      iterations: steps of each.
      learning_rate: of the optimizer of z.
      decay: whether that rate falls to nothing along half a cosine, which ends nearer
        to a minimum after the same number of steps.
      optimizer: "adam", or "nesterov" (momentum 0.9, as the code of Yeh et al.).
      start: how random points are drawn: "uniform" on [-1, 1], as the generator was
        trained, or "normal", clipped.
      init: where the restarts begin: at "random" points; at the "encoder"'s guess, the
        first exactly, the others `spread` around it; or "mixed", one half each.
      spread: standard deviation of the restarts around the guess.
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
    optimizer: Literal["adam", "nesterov"] = "adam"
    start: Literal["uniform", "normal"] = "uniform"
    init: Literal["random", "encoder", "mixed"] = "encoder"
    spread: float = 0.3
    window: int = 21
    lambda_context: float = 1.0
    lambda_prior: float = 0.003
    lambda_landmark: float = 0.05
    normalised: bool = True
    saturating: bool = False
    chunk: int = 25
    patience: int = 2


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


class Scene(NamedTuple):
    """All that a search knows of one image; arrays, so that images share a program.

    Attributes:
      image: `[1, H, W, 3]`; its hole does not matter.
      mask: `[1, H, W, 1]`, 1 = known.
      guide: what the landmark loss knows, see `landmark_term.Guide`; None without it.
    """

    image: types.Image
    mask: types.Mask
    guide: Any = None


class LandmarkLoss(NamedTuple):
    """The landmark loss of a search.

    Attributes:
      of: (key, z, G(z), scene) -> `[restarts]`.
      moves: whether it has a gradient; otherwise it only ranks the restarts, and is
        left out until the search is over.
    """

    of: Callable[[types.PRNGKey, types.Latent, types.Image, Scene], types.PerExample]
    moves: bool


class Search(NamedTuple):
    """The compiled pieces of a search; see `prepare`.

    Attributes:
      settings: of the search.
      generate: G, compiled.
      start: (key, scene) -> state of all restarts.
      advance: (state, scene, iterations=) -> (state, info of all steps).
      evaluate: (z, scene) -> (G(z), loss `[restarts]`, LossTerms).
    """

    settings: Settings
    generate: types.Generate
    start: Callable[..., latent.LatentState]
    advance: Callable[..., tuple[latent.LatentState, latent.LatentInfo]]
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

    def objective_of(scene, landmark):
        weights = masks.context_weights(scene.mask, window=settings.window)
        return objective.make(
            generate,
            discriminate,
            scene.image.repeat(settings.restarts, axis=0),
            weights.repeat(settings.restarts, axis=0),
            lambda_context=settings.lambda_context,
            lambda_prior=settings.lambda_prior,
            lambda_landmark=settings.lambda_landmark,
            normalised=settings.normalised,
            saturating=settings.saturating,
            landmark=landmark and functools.partial(_on, scene, landmark.of),
        )

    @jax.jit
    def start(key, scene):
        guess = None
        if encode is not None and settings.init != "random":
            guess = encode(scene.image, scene.mask)
        z = starting_points(key, guess, z_dim=z_dim, settings=settings)
        return latent.init(jax.random.fold_in(key, 1), z, optimizer=optimizer)

    @functools.partial(jax.jit, static_argnames="iterations")
    def advance(state, scene, *, iterations):
        moving = landmark if landmark and landmark.moves else None
        return latent.solve(
            state,
            objective=objective_of(scene, moving),
            optimizer=optimizer,
            iterations=iterations,
        )

    @jax.jit
    def evaluate(z, scene):
        loss, terms = objective_of(scene, landmark)(jax.random.key(0), z)
        return generate(z), loss, terms

    return Search(settings, jax.jit(generate), start, advance, evaluate)


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
    shape = (settings.restarts, z_dim)
    if settings.start == "normal":
        points = jnp.clip(jax.random.normal(key, shape), -1.0, 1.0)
    else:
        points = jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
    if guess is None:
        return points
    nearby = settings.restarts
    if settings.init == "mixed":
        nearby = (settings.restarts + 1) // 2
    key_spread = jax.random.fold_in(key, 2)
    around = settings.spread * jax.random.normal(key_spread, (nearby, z_dim))
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
    settings = compiled.settings
    state = compiled.start(key, scene)
    done, stalled = 0, 0
    before = np.full(settings.restarts, np.inf)
    while done < settings.iterations:
        count = min(settings.chunk, settings.iterations - done)
        state, info = compiled.advance(state, scene, iterations=count)
        done += count
        best = np.asarray(info.best_loss[-1])
        yield Progress(done, np.asarray(info.loss[-1]), best, state)
        if not np.isfinite(best).any():
            raise InputError(
                "the search diverged: no restart has a finite loss; lower "
                "--learning_rate."
            )
        # Losses can be negative (log(1 - D)), so the fall is measured against their
        # size.
        fell = before > best + 1e-3 * np.abs(best)
        stalled = 0 if fell.any() else stalled + 1
        if settings.patience and stalled >= settings.patience:
            return
        before = best


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
    generated, score, terms = compiled.evaluate(z, scene)
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


def _on(scene, loss, key, z, generated):
    return loss(key, z, generated, scene)


_BLENDS = {"poisson": jax.jit(blending.poisson), "paste": jax.jit(blending.paste)}


def _optimizer(settings):
    rate = settings.learning_rate
    if settings.decay:
        rate = optax.cosine_decay_schedule(rate, settings.iterations)
    if settings.optimizer == "nesterov":
        return optax.sgd(rate, momentum=0.9, nesterov=True)
    return optax.adam(rate)
