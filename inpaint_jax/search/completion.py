"""Completes a face: search, rank, blend (thesis 3.2.4; algorithm of Yeh et al. 2017).

`complete` does all of it for one image; the other functions are its parts.
`program.prepare` compiles the search once for a model; `driver.search` runs it on one
image, with all restarts as one batch, and reports after each chunk; `finish` ranks the
restarts and blends the best one into the image. Images are searched independently, so
a result does not depend on the other images. `driver.search_together` runs several
searches as one program, which large processors need; the rounding of sums then depends
on the number of images, and nothing else does.

Completing a face with the networks that come with the package:

>>> import inpaint_jax, jax
>>> from inpaint_jax import Settings, files, framing, masks, picture_files
>>> photo = picture_files.read(files.ASSETS / "portrait.png")
>>> face = framing.frame(photo, crop=128, size=64)
>>> mask = masks.centre(jax.random.key(0), (64, 64))
>>> quick = Settings(restarts=2, iterations=4, chunk=4)
>>> found = inpaint_jax.complete(face, mask, settings=quick)
>>> found.picture.shape, found.generated.shape, found.landmarks.shape
((64, 64, 3), (2, 64, 64, 3), (68, 2))

With a loss of your own, here for a dark picture:

>>> def darkness(key, z, generated, problem, networks):
...     return generated.mean(axis=(1, 2, 3))
>>> terms = {"darkness": (0.1, darkness)}
>>> dark = inpaint_jax.complete(face, mask, settings=quick, terms=terms)
>>> sorted(dark.terms)
['context', 'darkness', 'landmark', 'prior', 'structure']
"""

import functools
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.images import blending, pixels
from inpaint_jax.pretrained import weights
from inpaint_jax.search import (
    arguments,
    driver,
    in_domain_term,
    landmark_term,
    latent_descent,
    objective,
    own_terms,
    program,
    released_terms,
)
from inpaint_jax.search.problem import (
    Known,
    Picture,
    Problem,
    Term,
    WeightedTerm,
    problem_of,
)
from inpaint_jax.search.settings import Settings

Blend = Literal["poisson", "paste"]

_BLENDS = {"poisson": jax.jit(blending.poisson), "paste": jax.jit(blending.paste)}


class Completion(NamedTuple):
    """The restarts of one image, best first.

    Attributes:
      completed: `[1, H, W, 3]`, the image with the best restart's face in the hole.
      generated: `[restarts, H, W, 3]`, G(z) of each restart's best z.
      z: `[restarts, z_dim]`, the best z of each restart.
      score: `[restarts]`, the loss by which they are ranked (eq. 20).
      terms: {name: term of the loss without its weight, `[restarts]`}.
      iterations: number of steps taken.
      landmarks: `[68, 2]`, (x, y) in pixels, the target landmarks; None without the
        landmark loss.
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
    terms: Mapping[str, tuple[float, Term]] | None = None,
    blend: Blend = "poisson",
) -> Completion:
    """Completes one face.

    Args:
      image: `[H, W, 3]` in the model's size (64 x 64 for the released model, see
        `framing.frame`), bytes or floats in [-1, 1]; any value in the hole is ignored.
      mask: `[H, W]` or `[H, W, 1]`: True or 1 where the pixel is known.
      model: the networks; None for the released ones.
      settings: hyperparameters of the search. The landmark loss uses the released
        landmark net, the structural prior the released GFC; a weight of 0 leaves
        either out.
      key: random key of the starting points; None for the same ones at each call.
      terms: {name: (weight, loss)} of losses of your own, see `problem.Term`; define
        each once, so that it is compiled once.
      blend: "poisson" for Poisson blending, or "paste" to copy the hole's pixels.

    Returns:
      The completed face, and all restarts, best first.

    Raises:
      InputError: an argument is of another type, image and mask do not fit each other
        or the model, or the search diverged.
    """
    model = _released_model() if model is None else model
    _check(model, settings, key, blend)
    problem = problem_of(image, mask, size=model.architecture.image_size)
    problem, weighted = released_terms.guide(problem, model, settings=settings)
    taken = {*objective.OWN_TERMS, *weighted, in_domain_term.NAME}
    own = own_terms.weighted({} if terms is None else terms, taken=taken)
    compiled = prepare(model, settings, terms=weighted | own)
    z_dim = model.architecture.z_dim
    own_terms.check(own, problem, compiled.networks, z_dim=z_dim)
    key = jax.random.key(0) if key is None else key
    compiled.check_memory(key, problem)
    last = _search(key, problem, compiled, own)
    found = finish(last, problem, compiled=compiled, blend=blend)
    if landmark_term.NAME not in problem.targets:
        return found
    return found._replace(landmarks=problem.targets[landmark_term.NAME].landmarks[0])


def prepare(
    model: weights.Model,
    settings: Settings,
    *,
    terms: Mapping[str, WeightedTerm] | None = None,
    images: int = 1,
    compute_dtype: Any = jnp.float32,
) -> program.Search:
    """Prepares the search in the latent space of a model, see `program.prepare`.

    Args:
      model: the networks.
      settings: hyperparameters of the search.
      terms: {name: term} beside context and prior; the in-domain term is added here if
        it has a weight.
      images: expected number of images in one program.
      compute_dtype: type of the products in convolutions.

    Raises:
      InputError: the settings need an encoder or a discriminator that the model does
        not have.
    """
    _check_networks(model, settings)
    terms = dict(terms or {})
    if settings.lambda_in_domain > 0:
        weight = settings.lambda_in_domain
        terms[in_domain_term.NAME] = WeightedTerm(weight, in_domain_term.in_domain)
    encodes = settings.init != "random" or settings.lambda_in_domain > 0
    # Most steps are taken by the restarts of the last stage.
    generate, discriminate = model.fused(
        batch=images * settings.stages[-1][0], compute_dtype=compute_dtype
    )
    return program.prepare(
        generate,
        discriminate,
        z_dim=model.architecture.z_dim,
        settings=settings,
        encode=model.encode if encodes else None,
        terms=terms,
    )


def finish(
    last: driver.Progress, problem: Problem, *, compiled: program.Search, blend: str
) -> Completion:
    """Ranks the restarts by their loss (eq. 20) and blends the best into the image.

    Args:
      last: the last progress of `driver.search`.
      problem: the damaged image.
      compiled: from `program.prepare`.
      blend: "poisson" or "paste", as in `complete`.

    Returns:
      The restarts, best first; restarts whose loss is NaN come last.
    """
    z = last.state.best_z
    generated, score, terms = jax.tree.map(
        lambda array: array[0], compiled.evaluate(z[None], program.stacked([problem]))
    )
    score = jnp.where(jnp.isfinite(last.state.best_loss), score, jnp.nan)
    order: Int[Array, " restarts"] = latent_descent.rank(score[None])[0]
    generated = generated[order]
    return Completion(
        completed=blended(generated[:1], problem, blend=blend),
        generated=generated,
        z=z[order],
        score=score[order],
        terms={name: value[order] for name, value in terms.items()},
        iterations=last.iteration,
    )


def blended(generated: types.Image, problem: Problem, *, blend: str) -> types.Image:
    """Blends generated faces into the damaged image.

    Args:
      generated: `[restarts, H, W, 3]`, as in `Completion`.
      problem: the damaged image.
      blend: "poisson" or "paste", as in `complete`.

    Returns:
      `[restarts, H, W, 3]`, the image with each of the faces in its hole.
    """
    image, mask = (
        jnp.repeat(array, len(generated), axis=0)
        for array in (problem.image, problem.mask)
    )
    return _BLENDS[blend](generated, image, mask)


def _search(
    key: types.PRNGKey,
    problem: Problem,
    compiled: program.Search,
    own: Mapping[str, WeightedTerm],
) -> driver.Progress:
    """Returns the last progress; of a search that diverged it names the term."""
    try:
        *_, last = driver.search(key, problem, compiled=compiled)
    except InputError:
        together = program.stacked([problem])
        z = compiled.start(jnp.stack([key]), together).z
        _, _, values = compiled.evaluate(z, together)
        own_terms.check_finite({name: values[name] for name in own})
        raise
    return last


def _check(model: object, settings: object, key: object, blend: object) -> None:
    arguments.check_is("model", model, weights.Model, give="inpaint_jax.load(...)")
    arguments.check_is("settings", settings, Settings, give="inpaint_jax.Settings(...)")
    if key is not None:
        arguments.check_key(key)
    if not isinstance(blend, str) or blend not in _BLENDS:
        raise InputError(f"blend={blend!r}: must be one of {', '.join(_BLENDS)}.")


def _check_networks(model: weights.Model, settings: Settings) -> None:
    """Raises InputError if a model has not all networks that settings ask for."""
    if settings.lambda_prior > 0 and not model.discriminates:
        raise InputError(
            f"settings: lambda_prior={settings.lambda_prior} needs a discriminator, "
            "and this model has none; give lambda_prior=0."
        )
    if model.encodes == "damaged faces":
        return
    needs = "needs a model with an encoder of damaged faces"
    if settings.init != "random":
        raise InputError(
            f"settings: init={settings.init!r} {needs}; give init='random' and more "
            "iterations."
        )
    if settings.lambda_in_domain > 0:
        raise InputError(
            f"settings: lambda_in_domain={settings.lambda_in_domain:g} {needs}; give "
            "lambda_in_domain=0."
        )


@functools.cache
def _released_model() -> weights.Model:
    return weights.load("release")
