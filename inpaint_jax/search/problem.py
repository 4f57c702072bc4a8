"""What a search is asked: its settings, one damaged image, and eq. 20 for the two."""

import dataclasses
import itertools
import math
import zlib
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from inpaint_jax import losses, types
from inpaint_jax.errors import InputError
from inpaint_jax.images import pixels
from inpaint_jax.search import latent, objective

Picture = (
    UInt8[np.ndarray, "height width 3"]
    | UInt8[Array, "height width 3"]
    | Float[np.ndarray, "height width 3"]
    | Float[Array, "height width 3"]
)
Known = (
    Bool[np.ndarray, "rows columns *one"]
    | Bool[Array, "rows columns *one"]
    | Float[np.ndarray, "rows columns *one"]
    | Float[Array, "rows columns *one"]
)


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

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
          InputError: a value is none that a search can have.
        """
        for field in dataclasses.fields(self):
            _check_value(field, getattr(self, field.name))
        if self.window % 2 == 0:
            raise InputError(f"window={self.window}: must be odd, as 7.")
        for before, after in itertools.pairwise(self.restart_schedule):
            if after[0] > before[0]:
                given = ",".join(f"{a}x{b}" for a, b in self.restart_schedule)
                raise InputError(
                    f"restart_schedule={given}: restarts can only become fewer, as "
                    "64x10,8x40."
                )

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """How many restarts take how many steps, one stage after the other."""
        return self.restart_schedule or ((self.restarts, self.iterations),)

    @property
    def all_iterations(self) -> int:
        """Steps of a restart that stays to the end."""
        return sum(iterations for _, iterations in self.stages)


class Problem(NamedTuple):
    """All that a search knows of one image; arrays, so that images share a program.

    Attributes:
      image: `[1, H, W, 3]`; its hole does not matter.
      mask: `[1, H, W, 1]`, 1 = known.
      target: where its landmarks should be, see `landmark_term.Target`; None without
        the landmark loss.
    """

    image: types.Image
    mask: types.Mask
    target: Any = None


Term = Callable[[types.PRNGKey, types.Latent, types.Image, Problem], types.PerExample]
"""A loss of one's own: (key, z, G(z), problem) -> `[restarts]`, rows apart.

It is added to eq. 20 as it is, with a fresh key at each step.
"""


class LandmarkLoss(NamedTuple):
    """The landmark loss of a search.

    Attributes:
      fn: (key, z, G(z), problem, G) -> `[restarts]`.
      has_gradient: otherwise it only ranks the restarts, and is left
        out until the search is over.
    """

    fn: Callable[..., types.PerExample]
    has_gradient: bool


class Networks(NamedTuple):
    """What a search asks, as pytrees, so that weights are no constants of a program.

    Attributes:
      generate: G with its weights.
      discriminate: D with its weights.
      encode: E with its weights; None without it.
      landmark: `LandmarkLoss.fn`; None without it.
      term: a loss of one's own; None without it.
    """

    generate: Any
    discriminate: Any
    encode: Any = None
    landmark: Any = None
    term: Any = None


def problem_of(image: Picture, mask: Known, *, size: int) -> Problem:
    """Returns what the search for one image knows, its hole grey.

    Args:
      image: see `completion.complete`.
      mask: see `completion.complete`.
      size: height and width of the model's images.

    Raises:
      InputError: image and mask do not fit each other or the model, a known pixel lies
        outside [-1, 1], or nothing is known or nothing hidden.
    """
    if image.shape != (size, size, 3):
        raise InputError(
            f"image: is {list(image.shape)}, but this model completes "
            f"[{size}, {size}, 3]; framing.frame cuts such a square out of a picture."
        )
    if mask.shape not in ((size, size), (size, size, 1)):
        raise InputError(
            f"mask: is {list(mask.shape)}; give [{size}, {size}], 1 where the pixel is "
            "known."
        )
    stencil = np.asarray(mask).reshape(1, size, size, 1)
    known = stencil > 0
    if not np.isin(stencil, (0, 1)).all() or known.all() or not known.any():
        found = np.unique(stencil)
        raise InputError(
            f"mask: holds values from {found[0]:g} to {found[-1]:g}; give 1 where the "
            "pixel is known and 0 in the hole, and some of both."
        )
    shown = jnp.asarray(image)
    if shown.dtype == jnp.uint8:
        shown = pixels.from_bytes(shown)
    if not jnp.issubdtype(shown.dtype, jnp.floating):
        raise InputError(f"image: is of {shown.dtype}; give uint8, or floats.")
    shown = jnp.where(known, shown.astype(jnp.float32)[None], 0.0)
    if not bool(jnp.all(jnp.abs(shown) <= 1.0)):
        raise InputError(
            "image: known pixels lie outside [-1, 1]; give bytes, or scale."
        )
    return Problem(shown, jnp.asarray(known, jnp.float32))


def image_key(key: types.PRNGKey, name: str) -> types.PRNGKey:
    """Derives the key of one image from its name, whatever else is being completed."""
    return jax.random.fold_in(key, zlib.crc32(name.encode("utf-8")))


def loss(
    networks: Networks,
    problem: Problem,
    settings: Settings,
    *,
    restarts: int,
    with_landmark: bool,
) -> latent.Objective:
    """Returns eq. 20 for the restarts of one image.

    Args:
      networks: what it asks.
      problem: the image.
      settings: with the weights of the terms.
      restarts: how many rows z will have.
      with_landmark: whether the landmark loss counts, if there is one.
    """
    weights = losses.image.context_weights(problem.mask, window=settings.window)

    def landmark(
        key: types.PRNGKey, z: types.Latent, generated: types.Image
    ) -> types.PerExample:
        return networks.landmark(key, z, generated, problem, networks.generate)

    def term(
        key: types.PRNGKey, z: types.Latent, generated: types.Image
    ) -> types.PerExample:
        return networks.term(jax.random.fold_in(key, 1), z, generated, problem)

    has_landmark = with_landmark and networks.landmark is not None
    return objective.make(
        networks.generate,
        networks.discriminate,
        problem.image.repeat(restarts, axis=0),
        weights.repeat(restarts, axis=0),
        lambda_context=settings.lambda_context,
        lambda_prior=settings.lambda_prior,
        lambda_landmark=settings.lambda_landmark,
        normalised=settings.normalised,
        saturating=settings.saturating,
        landmark=landmark if has_landmark else None,
        term=term if networks.term is not None else None,
    )


def _check_value(field: dataclasses.Field[Any], value: Any) -> None:
    """Refuses a word that a field does not have, and a number below its least one."""
    words, least = get_args(field.type), 0 if field.name == "patience" else 1
    if type(field.default) is str and value not in words:
        raise InputError(f"{field.name}={value!r}: must be one of {', '.join(words)}.")
    if field.type is int and value < least:
        raise InputError(f"{field.name}={value}: must be at least {least}.")
    if field.type is float and not (math.isfinite(value) and value >= 0.0):
        raise InputError(f"{field.name}={value}: must be a finite number, 0 or more.")
