"""Flags of a search, and the search that they ask for."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import options, progress
from experiments.common.fields import About
from experiments.common.options import option
from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.pretrained import weights
from inpaint_jax.search import completion, driver, program
from inpaint_jax.search.problem import LandmarkLoss, Problem, Settings

_POSITIVE, _WEIGHT = About(least=1, most=1_000_000), About(least=0.0)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Whose faces a search looks for."""

    checkpoint: str = option(
        "release", "A --run_dir of experiments.train, or a release folder."
    )


@dataclasses.dataclass(frozen=True)
class Search:
    """How a search runs, and what is made of its end."""

    settings: Settings = options.nested(
        Settings(),
        restarts=_POSITIVE,
        iterations=_POSITIVE,
        learning_rate=About(above=0.0),
        init_std=_WEIGHT,
        restart_schedule=About(
            "In place of --restarts and --iterations, as 64x10,16x40: restarts x "
            "steps, then 16 are left."
        ),
        window=About("Side of eq. 15's neighbourhood, in pixels; odd.", least=1),
        lambda_context=_WEIGHT,
        lambda_prior=_WEIGHT,
        lambda_landmark=_WEIGHT,
        chunk=_POSITIVE,
        patience=About(least=0),
    )
    precision: Literal["auto", "float32", "bfloat16"] = option(
        "auto",
        "In which type convolutions multiply; auto: bfloat16 on accelerators. Sums, "
        "losses and z are float32.",
    )
    blend: Literal["poisson", "paste"] = option(
        "poisson", "How the hole is put in, see blending."
    )

    @property
    def compute_dtype(self) -> jnp.dtype:
        """The type in which convolutions multiply."""
        if self.precision != "auto":
            return jnp.dtype(self.precision)
        return jnp.dtype("float32" if jax.default_backend() == "cpu" else "bfloat16")


def prepare(
    model: weights.Model,
    asked: Search,
    landmark: LandmarkLoss | None,
    *,
    images: int,
) -> program.Search:
    """Prepares the search.

    Args:
      model: the networks.
      asked: how to search.
      landmark: the landmark loss.
      images: how many will be searched for together.

    Raises:
      InputError: the model cannot say where to start.
    """
    _check_encoder(model, asked.settings)
    return completion.prepare(
        model,
        asked.settings,
        landmark=landmark,
        images=images,
        compute_dtype=asked.compute_dtype,
    )


class Report(NamedTuple):
    """How the search for one image of several stands.

    Attributes:
      progress: after a chunk; None if it is over already.
      seconds: its own so far: each chunk's are shared by the images that it moved.
    """

    progress: driver.Progress | None
    seconds: float


def together(
    keys: Sequence[types.PRNGKey],
    problems: Sequence[Problem],
    compiled: program.Search,
    *,
    at_once: int,
    name: str,
) -> Iterator[list[Report]]:
    """Searches for some images in one program, as `driver.search_together`.

    Args:
      keys: one for each image.
      problems: the images.
      compiled: the search.
      at_once: how many images the program holds. Fewer are filled up with copies, so
        that all share it and how it is rounded.
      name: of the search, for whoever waits for it.

    Yields:
      How each image stands after each chunk.
    """
    missing = at_once - len(problems)
    job = progress.Progress(name, unit="steps", silent_seconds=15.0)
    seconds, then = np.zeros(at_once), time.perf_counter()
    for found in driver.search_together(
        [*keys, *[keys[-1]] * missing],
        [*problems, *[problems[-1]] * missing],
        compiled=compiled,
    ):
        moved = np.array([one is not None for one in found])
        seconds += moved * (time.perf_counter() - then) / moved.sum()
        _tell(job, [one for one in found if one], compiled.settings.all_iterations)
        yield [Report(*each) for each in zip(found, seconds.tolist(), strict=True)][
            : len(problems)
        ]
        then = time.perf_counter()
    job.close()


def _tell(job: progress.Progress, moved: list[driver.Progress], steps: int) -> None:
    best = min(float(one.best_loss.min()) for one in moved)
    taken = max(one.iteration for one in moved)
    job.update(taken, taken / steps, {"best loss": best})


def _check_encoder(model: weights.Model, settings: Settings) -> None:
    if settings.init == "random" or model.encodes == "damaged faces":
        return
    has = "no encoder"
    if model.encodes != "nothing":
        has = f"an encoder of {model.encodes}"
    raise InputError(
        f"--init={settings.init}: the model of --checkpoint has {has}; train one "
        "with experiments.train --model=encoder, or give --init=random "
        "--iterations=200."
    )
