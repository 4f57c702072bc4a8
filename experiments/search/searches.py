"""The flags of a search, and the search that they describe."""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import options, progress, stopping
from experiments.common.fields import About
from experiments.common.options import option
from inpaint_jax import types
from inpaint_jax.errors import InputError, naming
from inpaint_jax.pretrained import weights
from inpaint_jax.search import completion, driver, program
from inpaint_jax.search.problem import Problem, WeightedTerm
from inpaint_jax.search.settings import Settings

_POSITIVE, _WEIGHT = About(least=1, most=1_000_000), About(least=0.0, most=1_000_000)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The networks of a search."""

    checkpoint: str = option(
        "release",
        "Networks of the search: a --run_dir of experiments.train, a release folder, "
        'or "release" for those of the package.',
    )


@dataclasses.dataclass(frozen=True)
class Search:
    """Options of a search: hyperparameters, precision and blending."""

    settings: Settings = options.nested(
        Settings(),
        restarts=_POSITIVE,
        iterations=_POSITIVE,
        learning_rate=About(above=0.0, most=1000.0),
        init_std=About(least=0.0, most=1000.0),
        restart_schedule=About(
            "Stages in place of --restarts and --iterations: 64x10,16x40 takes 10 "
            "steps with 64 restarts, then 40 steps with the best 16 of them."
        ),
        window=About(least=1, most=999),
        lambda_context=_WEIGHT,
        lambda_prior=_WEIGHT,
        lambda_landmark=_WEIGHT,
        lambda_structure=_WEIGHT,
        lambda_in_domain=_WEIGHT,
        chunk=_POSITIVE,
        patience=About(least=0),
    )
    precision: Literal["auto", "float32", "bfloat16"] = option(
        "auto",
        "Type of the products in convolutions; auto: bfloat16 on accelerators, float32 "
        "on CPU. Sums, losses and z are always float32.",
    )
    blend: Literal["poisson", "paste"] = option(
        "poisson",
        "How the generated hole is blended into the image: poisson: Poisson blending; "
        "paste: its pixels are copied.",
    )

    @property
    def compute_dtype(self) -> jnp.dtype:
        """The type of the products in convolutions."""
        if self.precision != "auto":
            return jnp.dtype(self.precision)
        return jnp.dtype("float32" if jax.default_backend() == "cpu" else "bfloat16")


def load() -> weights.Model:
    """Reads the networks that --checkpoint names.

    Raises:
      InputError: as in `weights.load`.
    """
    path = options.read(Checkpoint).checkpoint
    with naming("--checkpoint", path):
        return weights.load(path)


def prepare(
    model: weights.Model,
    asked: Search,
    terms: Mapping[str, WeightedTerm],
    *,
    images: int,
) -> program.Search:
    """Prepares the search that options describe.

    Args:
      model: the networks.
      asked: options of the search.
      terms: {name: term} beside context and prior, see `guidance.Guidance.terms`.
      images: expected number of images in one program.

    Raises:
      InputError: the search needs an encoder or a discriminator that the model does
        not have.
    """
    _check_encoder(model, asked.settings)
    if asked.settings.lambda_prior > 0 and not model.discriminates:
        raise InputError(
            f"--lambda_prior={asked.settings.lambda_prior}: the model of --checkpoint "
            "has no discriminator; give --lambda_prior=0."
        )
    return completion.prepare(
        model,
        asked.settings,
        terms=terms,
        images=images,
        compute_dtype=asked.compute_dtype,
    )


class Report(NamedTuple):
    """The state of one image's search, among several images in one program.

    Attributes:
      progress: its progress after a chunk; None if its search stopped before.
      seconds: its time so far: the time of a chunk is divided equally among the images
        that are still searched for.
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
    """Searches for some images with one program, and shows the progress.

    Args:
      keys: one random key for each image.
      problems: the damaged images.
      compiled: the search.
      at_once: number of images that the program holds. Fewer images are filled up with
        copies, so that all groups use one program with the same rounding.
      name: name of the search in the progress line.

    Yields:
      The report of each image after each chunk.

    Raises:
      InputError: the memory is too small.
    """
    stopping.check()  # now, and not after the compilation
    compiled.check_memory(keys[0], problems[0], images=at_once)
    missing = at_once - len(problems)
    job = progress.Progress(name, unit="steps", silent_seconds=15.0)
    seconds, then = np.zeros(at_once), time.perf_counter()
    for found in driver.search_together(
        [*keys, *[keys[-1]] * missing],
        [*problems, *[problems[-1]] * missing],
        compiled=compiled,
    ):
        stopping.check()
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
    needs = settings.init != "random" or settings.lambda_in_domain > 0
    if not needs or model.encodes == "damaged faces":
        return
    flag, otherwise = f"--init={settings.init}", "--init=random --iterations=200"
    if settings.init == "random":
        flag = f"--lambda_in_domain={settings.lambda_in_domain:g}"
        otherwise = "--lambda_in_domain=0"
    has = "no encoder"
    if model.encodes != "nothing":
        has = f"an encoder of {model.encodes}"
    raise InputError(
        f"{flag}: the model of --checkpoint has {has}; train one "
        f"with experiments.train --model=encoder, or give {otherwise}."
    )
