"""Completing a face: search, rank, blend (thesis 3.2.4; algorithm of Yeh et al. 2017).

`complete` does it all for one image; the others are its parts. `program.prepare`
compiles the pieces once for a model; `driver.search` runs them on one image, all its
restarts as one batch, and reports after each chunk; `finish` orders the restarts and
puts the hole in. Each image is searched on its own, so what comes out does not depend
on which other images are completed beside it. `driver.search_together` runs several
such searches as one program, which a large processor needs to be kept busy; how sums
are rounded then depends on their number, and on nothing else.

A face with a hole, by the networks that come with the package:

>>> import inpaint_jax, jax
>>> from inpaint_jax import Settings, files, framing, masks
>>> photo = files.read_picture(files.ASSETS / "portrait.png")
>>> face = framing.frame(photo, crop=128, size=64)
>>> mask = masks.centre(jax.random.key(0), (64, 64))
>>> quick = Settings(restarts=2, iterations=4, chunk=4)
>>> found = inpaint_jax.complete(face, mask, settings=quick)
>>> found.picture.shape, found.generated.shape, found.landmarks.shape
((64, 64, 3), (2, 64, 64, 3), (68, 2))

With a loss of one's own, here for a dark picture:

>>> def darkness(key, z, generated, problem):
...     return 0.1 * generated.mean(axis=(1, 2, 3))
>>> dark = inpaint_jax.complete(face, mask, settings=quick, term=darkness)
>>> sorted(dark.terms)
['context', 'landmark', 'prior', 'term']
"""

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.images import blending, pixels
from inpaint_jax.pretrained import landmark_predictor, networks, weights
from inpaint_jax.search import driver, landmark_term, latent, program
from inpaint_jax.search.problem import (
    Known,
    LandmarkLoss,
    Picture,
    Problem,
    Settings,
    Term,
    problem_of,
)

Blend = Literal["poisson", "paste"]

_BLENDS = {"poisson": jax.jit(blending.poisson), "paste": jax.jit(blending.paste)}
_BY_NET = landmark_term.Settings(term="net")


class Completion(NamedTuple):
    """The restarts of one image, best first.

    Attributes:
      completed: `[1, H, W, 3]`, the best restart's face in the hole of the image.
      generated: `[restarts, H, W, 3]`, G at the best point of each restart.
      z: `[restarts, z_dim]`.
      score: `[restarts]`, by which they are ordered: eq. 20.
      terms: the terms of eq. 20 without their weights, each `[restarts]`.
      iterations: steps taken.
      landmarks: `[68, 2]`, (x, y) in pixels: where the search wanted them; None
        without the landmark loss.
    """

    completed: types.Image
    generated: types.Image
    z: types.Latent
    score: types.PerExample
    terms: dict[str, types.PerExample]
    iterations: int
    landmarks: Float[Array, "68 2"] | None = None

    @property
    def picture(self) -> UInt8[np.ndarray, "height width 3"]:
        """The completed face in bytes."""
        return np.asarray(pixels.to_bytes(self.completed[0]))


def complete(
    image: Picture,
    mask: Known,
    *,
    model: weights.Model | None = None,
    settings: Settings = Settings(),
    key: types.PRNGKey | None = None,
    term: Term | None = None,
    blend: Blend = "poisson",
) -> Completion:
    """Completes one face.

    Args:
      image: `[H, W, 3]` as the model's images are (64 x 64 for the released one, see
        `framing.frame`): bytes, or numbers in [-1, 1]. Its hole may hold anything.
      mask: `[H, W]` or `[H, W, 1]`: True or 1 where the pixel is known.
      model: the networks; by default the released ones.
      settings: of the search. The landmark loss is that of the released landmark net;
        `lambda_landmark=0` leaves it out.
      key: of the starting points; by default the same ones at each call.
      term: a loss of one's own, see `problem.Term`; defined once, it is compiled once.
      blend: how the hole is put in.

    Returns:
      The completed face, with all restarts, the best first.

    Raises:
      InputError: image and mask do not fit each other or the model, or the search
        diverged.
    """
    model = model or _released_model()
    _check(model, key, blend)
    asked = problem_of(image, mask, size=model.architecture.image_size)
    landmark = None
    if settings.lambda_landmark > 0:
        asked, landmark = _guided(asked, model)
    if term is not None:
        _check_term(term, asked, model)
    compiled = prepare(model, settings, landmark=landmark, term=term)
    key = jax.random.key(0) if key is None else key
    *_, last = driver.search(key, asked, compiled=compiled)
    found = finish(last, asked, compiled=compiled, blend=blend)
    if landmark is None:
        return found
    return found._replace(landmarks=asked.target.landmarks[0])


def prepare(
    model: weights.Model,
    settings: Settings,
    *,
    landmark: LandmarkLoss | None = None,
    term: Term | None = None,
    images: int = 1,
    compute_dtype: Any = jnp.float32,
) -> program.Search:
    """Prepares the search in the latent space of a model, see `program.prepare`.

    Args:
      model: the networks.
      settings: of the search.
      landmark: the landmark loss; None leaves the term out.
      term: a loss of one's own.
      images: how many will be searched for together.
      compute_dtype: the type in which convolutions multiply.

    Raises:
      InputError: `settings.init` needs an encoder that the model does not have.
    """
    encode = None
    if settings.init != "random":
        if model.encodes != "damaged faces":
            raise InputError(
                f"settings: init={settings.init!r} needs a model with an encoder of "
                "damaged faces; give init='random' and more iterations."
            )
        encode = model.encode
    # Most steps are taken by the restarts of the last stage.
    generate, discriminate = model.fused(
        batch=images * settings.stages[-1][0], compute_dtype=compute_dtype
    )
    return program.prepare(
        generate,
        discriminate,
        z_dim=model.architecture.z_dim,
        settings=settings,
        landmark=landmark,
        encode=encode,
        term=term,
    )


def finish(
    last: driver.Progress, problem: Problem, *, compiled: program.Search, blend: str
) -> Completion:
    """Orders the restarts by eq. 20 and blends the best into the image.

    Args:
      last: the end of `driver.search`.
      problem: the image.
      compiled: from `program.prepare`.
      blend: how the hole is put in: "poisson" or "paste".

    Returns:
      The restarts, best first; one whose loss is NaN comes last.
    """
    z = last.state.best_z
    generated, score, terms = jax.tree.map(
        lambda array: array[0], compiled.evaluate(z[None], program.stacked([problem]))
    )
    score = jnp.where(jnp.isfinite(last.state.best_loss), score, jnp.nan)
    order: Int[Array, " restarts"] = latent.rank(score[None])[0]
    generated = generated[order]
    return Completion(
        completed=_BLENDS[blend](generated[:1], problem.image, problem.mask),
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


def _check(model: object, key: object, blend: str) -> None:
    if not isinstance(model, weights.Model):
        raise InputError(
            f"model: is a {type(model).__name__}; give inpaint_jax.load(...)."
        )
    if key is not None and not hasattr(key, "dtype"):
        raise InputError(f"key={key!r}: is no key; give jax.random.key(0).")
    if blend not in _BLENDS:
        raise InputError(f"blend={blend!r}: must be one of {', '.join(_BLENDS)}.")


def _check_term(term: Term, problem: Problem, model: weights.Model) -> None:
    """Refuses a loss that is not one number for each restart."""
    z = jax.ShapeDtypeStruct((2, model.architecture.z_dim), jnp.float32)
    drawn = jax.ShapeDtypeStruct((2, *problem.image.shape[1:]), jnp.float32)
    found = jax.eval_shape(term, jax.random.key(0), z, drawn, problem)
    shape = getattr(found, "shape", None)
    if shape != (2,):
        raise InputError(
            f"term: returns {shape} for two restarts; give one loss for each, (2,)."
        )


def _guided(problem: Problem, model: weights.Model) -> tuple[Problem, LandmarkLoss]:
    """Returns the problem with its landmarks, and the loss that pulls there."""
    net = _released_landmark_net()
    known = net.architecture.image_size, net.crop
    if known != (model.architecture.image_size, model.crop):
        raise InputError(
            f"settings: the landmark net knows images of {known[0]} pixels and crops "
            f"of {known[1]}, this model draws others; give lambda_landmark=0."
        )
    predict = landmark_predictor.predict(net)
    target = _target(predict, problem.image, problem.mask)
    loss = landmark_term.LandmarkTerm(_BY_NET, predict=predict)
    return problem._replace(target=target), LandmarkLoss(loss, _BY_NET.has_gradient)


@jax.jit
def _target(
    predict: landmark_term.Predict, image: types.Image, mask: types.Mask
) -> landmark_term.Target:
    return landmark_term.target_of_net(*predict(image, mask), model=None)


@functools.cache
def _released_model() -> weights.Model:
    return weights.load("release")


@functools.cache
def _released_landmark_net() -> networks.Pretrained:
    return networks.load("release", model="landmark_net")
