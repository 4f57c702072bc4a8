"""Trains the networks that complete a face in one pass, and the parser of GFC."""

import dataclasses
import functools
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from experiments import application, labelling, training
from inpaint_jax import (
    checkpoints,
    completer_fitting,
    data,
    feed_forward,
    masks,
    parser_fitting,
    pixels,
)
from inpaint_jax.errors import InputError
from inpaint_jax.landmarks import host, parsing
from inpaint_jax.models import dcgan

_MASKS = flags.DEFINE_list(
    "train_masks",
    list(masks.MASKS),
    "Of ce and gfc: what they learn to complete; only centre is the original CE.",
)
_OVERLAP = flags.DEFINE_integer(
    "overlap",
    4,
    "Pixels around the hole that count ten times; 0: all pixels count alike.",
    0,
)
_GLOBAL = flags.DEFINE_float(
    "lambda_global", 0.0002, "Weight of the critic of the whole image; 0: none.", 0.0
)
_LOCAL = flags.DEFINE_float(
    "lambda_local", 0.0, "Weight of the critic of the hole; 0: none.", 0.0
)
_PARSING = flags.DEFINE_float(
    "lambda_parsing", 0.0, "Weight of --parser's cross entropy; 0: none.", 0.0
)
_PARSER = flags.DEFINE_string(
    "parser", None, "Of gfc: the --run_dir of experiments.train --model=parser."
)
_CRITIC = flags.DEFINE_integer(
    "critic_features", 32, "Channels of the critics next to the image.", 1
)
_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides the weights that come out; stored with every checkpoint."""

    data: str
    seed: int
    batch_size: int
    crop: int
    generator_rate: float
    discriminator_rate: float
    beta1: float
    start_from: str
    train_masks: list[str] = dataclasses.field(default_factory=list)
    overlap: int = 0
    lambda_global: float = 0.0
    lambda_local: float = 0.0
    lambda_parsing: float = 0.0
    parser: str = ""
    critic_features: int = 0

    def rules(self) -> completer_fitting.Rules:
        """Returns what a completer minimises."""
        return completer_fitting.Rules(
            families=tuple(self.train_masks),
            overlap=self.overlap,
            lambda_global=self.lambda_global,
            lambda_local=self.lambda_local,
            lambda_parsing=self.lambda_parsing,
        )


def with_flags(settings: Settings) -> Settings:
    """Returns the settings of a completer's training, this module's flags included.

    Raises:
      InputError: a flag makes no sense.
    """
    application.check_numbers(_GLOBAL, _LOCAL, _PARSING)
    for name in _MASKS.value:
        if name not in masks.MASKS:
            raise InputError(
                f"--train_masks={name}: no such mask; give {', '.join(masks.MASKS)}."
            )
    if (_PARSING.value > 0) != (_PARSER.value is not None):
        raise InputError(
            f"--lambda_parsing={_PARSING.value:g} and --parser={_PARSER.value}: give "
            "both or neither; experiments.train --model=parser makes a parser."
        )
    return dataclasses.replace(
        settings,
        train_masks=_MASKS.value,
        overlap=_OVERLAP.value,
        lambda_global=_GLOBAL.value,
        lambda_local=_LOCAL.value,
        lambda_parsing=_PARSING.value,
        parser=_PARSER.value or "",
        critic_features=_CRITIC.value,
    )


def run(
    store: checkpoints.Store,
    run_dir: str | os.PathLike[str],
    faces: data.Faces,
    architecture: Any,
    settings: Settings,
    schedule: training.Schedule,
) -> feed_forward.FeedForward:
    """Trains CE or GFC from where the store stands to the last step.

    Args:
      store: open checkpoints of the run.
      run_dir: where logs and sheets go.
      faces: what to learn from.
      architecture: of CE or GFC.
      settings: of the training.
      schedule: of the run.

    Returns:
      The trained network.
    """
    parser = _parser(settings, architecture.image_size)
    rules, network = settings.rules(), architecture.network()
    rate = optax.cosine_decay_schedule(settings.generator_rate, schedule.steps)
    critic = dcgan.Architecture(
        image_size=architecture.image_size,
        features=settings.critic_features,
        kernel_size=4,
    )
    players = completer_fitting.Players(
        network,
        critic.discriminator(),
        optax.adam(rate, b1=settings.beta1),
        optax.adam(settings.discriminator_rate, b1=settings.beta1),
    )
    key_init, key_steps, key_shown = jax.random.split(jax.random.key(settings.seed), 3)
    options: Any = {"players": players, "rules": rules}
    state = jax.jit(functools.partial(completer_fitting.init, **options))(key_init)
    trained = feed_forward.FeedForward(architecture, settings.crop, {}, {})
    if settings.start_from:
        start = _start(settings.start_from, trained)
        state = state._replace(completer=jax.tree.map(jnp.array, start.variables))
    size = architecture.image_size
    shown = pixels.from_bytes(jnp.asarray(faces.images[:_SHOWN]))
    mask = masks.sample(key_shown, len(shown), (size, size), families=rules.families)

    @jax.jit
    def redraw(variables):
        drawn = network.apply(variables, shown, mask, train=False)
        whole = jnp.where(mask > 0, shown, drawn)
        return [pixels.to_bytes(x) for x in (shown * mask, whole, shown)]

    def show(step, state):
        rows = [list(np.asarray(row)) for row in redraw(state.completer)]
        training.write_samples(run_dir, step, rows)

    step = functools.partial(completer_fitting.train_step, **options)
    return _train(
        key_steps,
        state,
        (faces.images,),
        lambda key, state, images: step(key, state, images, parser),
        store=store,
        run_dir=run_dir,
        schedule=schedule,
        settings=settings,
        network=trained,
        variables=lambda state: state.completer,
        show=show,
    )


def run_parser(
    store: checkpoints.Store,
    run_dir: pathlib.Path,
    faces: data.Faces,
    architecture: Any,
    settings: Settings,
    schedule: training.Schedule,
) -> feed_forward.FeedForward:
    """Trains the parser on what dlib's landmarks of the faces outline; see `run`."""
    predictor = host.Predictor(None)
    points = labelling.landmarks(run_dir, predictor, faces, crop=settings.crop)
    parse = jax.jit(functools.partial(parsing.parse, size=architecture.image_size))
    parts = np.concatenate(
        [
            np.asarray(parse(jnp.asarray(block, jnp.float32)), np.uint8)
            for block in np.array_split(points, len(points) // 100 + 1)
        ]
    )
    network = architecture.network()
    rate = optax.cosine_decay_schedule(settings.generator_rate, schedule.steps)
    options: Any = {"parser": network, "optimizer": optax.adam(rate)}
    key_init, key_steps = jax.random.split(jax.random.key(settings.seed))
    trained = feed_forward.FeedForward(architecture, settings.crop, {}, {})
    return _train(
        key_steps,
        jax.jit(functools.partial(parser_fitting.init, **options))(key_init),
        (faces.images, parts),
        functools.partial(parser_fitting.train_step, **options),
        store=store,
        run_dir=run_dir,
        schedule=schedule,
        settings=settings,
        network=trained,
        variables=lambda state: state.variables,
        show=None,
    )


def _train(
    key,
    state,
    arrays,
    advance,
    *,
    store,
    run_dir,
    schedule,
    settings,
    network,
    variables,
    show,
):
    meta = {
        "model": network.model,
        "architecture": dataclasses.asdict(network.architecture),
        "crop": settings.crop,
        "settings": {**dataclasses.asdict(settings), "steps": schedule.steps},
    }
    first, state = training.resume(store, state, meta=meta, steps=schedule.steps)
    application.write_effective_flags(
        run_dir, "experiments.train", "experiments.completer_training"
    )
    batches = training.batches(
        *arrays, batch_size=settings.batch_size, seed=settings.seed, first=first
    )
    state = training.run(
        key,
        state,
        batches,
        first=first,
        schedule=schedule,
        store=store,
        run_dir=run_dir,
        meta=meta,
        advance=jax.jit(advance, donate_argnums=1),
        networks=lambda state: {network.model: variables(state)},
        show=show,
    )
    source = {"path": str(run_dir), "step": int(state.step)}
    return dataclasses.replace(network, variables=variables(state), source=source)


def _start(path, network):
    start = feed_forward.load(path, model=network.model)
    if start.architecture != network.architecture:
        raise InputError(
            f"--start_from={path}: is {start.architecture}, but the flags say "
            f"{network.architecture}; give the same."
        )
    return start


def _parser(settings, size):
    if not settings.parser:
        return None
    parser = feed_forward.load(settings.parser, model="parser")
    found = parser.architecture.image_size, parser.crop
    if found != (size, settings.crop):
        raise InputError(
            f"--parser={settings.parser}: was trained on images of {found[0]} pixels "
            f"and crops of {found[1]}, the faces here have {size} and {settings.crop}."
        )
    return parser.apply
