"""Flags of a search, and the search that they ask for."""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

from experiments.common import application
from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.pretrained import weights
from inpaint_jax.search import driver, problem, program

_DEFAULTS = problem.Settings()
CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "release", "A --run_dir of experiments.train, or a release folder."
)
_PRECISION = flags.DEFINE_enum(
    "precision",
    "auto",
    ["auto", "float32", "bfloat16"],
    "In which type convolutions multiply; auto: bfloat16 on accelerators. Sums, losses "
    "and z are float32.",
)
BLEND = flags.DEFINE_enum("blend", "poisson", ["poisson", "paste"], "See blending.")
_SEARCH = {
    "restarts": flags.DEFINE_integer(
        "restarts", _DEFAULTS.restarts, "Starting points for each image.", 1
    ),
    "iterations": flags.DEFINE_integer(
        "iterations", _DEFAULTS.iterations, "Steps of each restart.", 1
    ),
    "restart_schedule": flags.DEFINE_string(
        "restart_schedule",
        "",
        "In place of these two, as 64x10,16x40: restarts x steps, then 16 are left.",
    ),
    "learning_rate": flags.DEFINE_float(
        "learning_rate", _DEFAULTS.learning_rate, "Of the optimizer of z.", 0.0
    ),
    "decay": flags.DEFINE_bool(
        "decay", _DEFAULTS.decay, "Let that rate fall to nothing along half a cosine."
    ),
    "optimizer": flags.DEFINE_enum(
        "optimizer", _DEFAULTS.optimizer, ["adam", "nesterov", "lbfgs"], "Of z."
    ),
    "z_prior": flags.DEFINE_enum(
        "z_prior", _DEFAULTS.z_prior, ["uniform", "normal"], "How z is drawn."
    ),
    "init": flags.DEFINE_enum(
        "init",
        _DEFAULTS.init,
        ["random", "encoder", "mixed"],
        "Where restarts begin: anywhere, around the encoder's guess, or half and half.",
    ),
    "init_std": flags.DEFINE_float(
        "init_std",
        _DEFAULTS.init_std,
        "Standard deviation of the restarts around that guess.",
        0.0,
    ),
    "window": flags.DEFINE_integer(
        "window", _DEFAULTS.window, "Side of eq. 15's neighbourhood, odd.", 1
    ),
    "lambda_context": flags.DEFINE_float(
        "lambda_context", _DEFAULTS.lambda_context, "Weight of eq. 16.", 0.0
    ),
    "lambda_prior": flags.DEFINE_float(
        "lambda_prior", _DEFAULTS.lambda_prior, "Weight of eq. 19.", 0.0
    ),
    "lambda_landmark": flags.DEFINE_float(
        "lambda_landmark", _DEFAULTS.lambda_landmark, "Of the landmark loss.", 0.0
    ),
    "normalised": flags.DEFINE_bool(
        "normalised", _DEFAULTS.normalised, "Divide eq. 16 by its weights."
    ),
    "saturating": flags.DEFINE_bool(
        "saturating", _DEFAULTS.saturating, "Prior log(1 - D), as printed."
    ),
    "chunk": flags.DEFINE_integer(
        "chunk", _DEFAULTS.chunk, "Steps between reports.", 1
    ),
    "patience": flags.DEFINE_integer(
        "patience", _DEFAULTS.patience, "Idle chunks before stopping; 0: never.", 0
    ),
}


def settings() -> problem.Settings:
    """Returns what the flags say.

    Raises:
      InputError: a value makes no sense.
    """
    values: dict[str, Any] = {name: flag.value for name, flag in _SEARCH.items()}
    if values["window"] % 2 == 0:
        raise InputError(f"--window={values['window']}: must be odd, as 7.")
    application.check_numbers(*_SEARCH.values())
    values["restart_schedule"] = _stages(values["restart_schedule"])
    return problem.Settings(**values)


def prepare(
    model: weights.Model,
    settings: problem.Settings,
    landmark: problem.LandmarkLoss | None,
    *,
    images: int,
) -> program.Search:
    """Prepares the search.

    Args:
      model: the networks.
      settings: of the search.
      landmark: the landmark loss.
      images: how many will be searched for together.

    Raises:
      InputError: the model cannot say where to start.
    """
    products = _PRECISION.value
    if products == "auto":
        products = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    generate, discriminate = model.folded(
        batch=images * settings.stages[-1][0], products=jnp.dtype(products)
    )
    return program.prepare(
        generate,
        discriminate,
        z_dim=model.architecture.z_dim,
        settings=settings,
        landmark=landmark,
        encode=_encode(model, settings),
    )


def together(
    keys: Sequence[types.PRNGKey],
    scenes: Sequence[problem.Problem],
    compiled: program.Search,
    *,
    at_once: int,
) -> Iterator[list[driver.Progress | None]]:
    """Searches for some images in one program, as `driver.search_together`.

    Args:
      keys: one for each image.
      scenes: the images.
      compiled: the search.
      at_once: how many images the program holds. Fewer are filled up with copies, so
        that all share it and how it is rounded.

    Yields:
      Progress of each image after each chunk.
    """
    missing = at_once - len(scenes)
    for reports in driver.search_together(
        [*keys, *[keys[-1]] * missing],
        [*scenes, *[scenes[-1]] * missing],
        compiled=compiled,
    ):
        yield reports[: len(scenes)]


def _stages(text: str) -> tuple[tuple[int, int], ...]:
    if not text:
        return ()
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*(,[1-9]\d*x[1-9]\d*)*", text):
        raise InputError(
            f"--restart_schedule={text}: must be restarts x steps, as 64x10,16x40."
        )
    numbers = (stage.split("x") for stage in text.split(","))
    stages = tuple((int(restarts), int(steps)) for restarts, steps in numbers)
    if any(after[0] > before[0] for before, after in itertools.pairwise(stages)):
        raise InputError(
            f"--restart_schedule={text}: restarts can only become fewer, as 64x10,8x40."
        )
    return stages


def _encode(model: weights.Model, settings: problem.Settings) -> types.Encode | None:
    if settings.init == "random":
        return None
    if model.encodes != "damaged faces":
        without = model.encodes == "nothing"
        has = "no encoder" if without else f"an encoder of {model.encodes}"
        raise InputError(
            f"--init={settings.init}: the model of --checkpoint={CHECKPOINT.value} "
            f"has {has}; train one with experiments.train "
            "--model=encoder, or give --init=random --iterations=200."
        )
    return model.encode
