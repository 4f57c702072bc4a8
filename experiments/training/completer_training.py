"""Trains the networks that complete a face in one pass, and the parser of GFC."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.common import options
from experiments.common.options import option
from experiments.training import labelling, stepping, training
from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.images import masks, pixels
from inpaint_jax.io import data
from inpaint_jax.landmarks import dlib_host, parsing
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import networks
from inpaint_jax.training import train_completer, train_parser

MODELS = ("ce", "gfc", "parser")
"""What is trained here, of `networks.KINDS`."""

_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How CE and GFC are trained; each field is a flag."""

    train_masks: tuple[str, ...] = option(
        tuple(masks.MASKS),
        "Of ce and gfc: what they learn to complete; only centre is the original CE.",
        of=tuple(masks.MASKS),
    )
    overlap: int = option(
        4,
        "Pixels around the hole that count ten times; 0: all pixels count alike.",
        least=0,
    )
    lambda_global: float = option(
        0.0002, "Weight of the critic of the whole image; 0: none.", least=0.0
    )
    lambda_local: float = option(
        0.0, "Weight of the critic of the hole; 0: none.", least=0.0
    )
    lambda_parsing: float = option(
        0.0, "Weight of --parser's cross entropy; 0: none.", least=0.0
    )
    parser: str = option(
        "", "Of gfc: the --run_dir of experiments.train --model=parser."
    )
    critic_features: int = option(
        32, "Channels of the critics next to the image.", least=1
    )

    def __post_init__(self):
        """Refuses a parser without a weight, and a weight without a parser.

        Raises:
          InputError: so it is.
        """
        if (self.lambda_parsing > 0) != bool(self.parser):
            raise InputError(
                f"--lambda_parsing={self.lambda_parsing:g} and --parser={self.parser}: "
                "give both or neither; experiments.train --model=parser makes a parser."
            )

    def rules(self) -> train_completer.Rules:
        """Returns what a completer minimises."""
        return train_completer.Rules(
            families=self.train_masks,
            overlap=self.overlap,
            lambda_global=self.lambda_global,
            lambda_local=self.lambda_local,
            lambda_parsing=self.lambda_parsing,
        )


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
    pretrained: str
    recipe: Recipe = Recipe()


Judge = Callable[[networks.Pretrained], float]
"""A trained network -> score, the lower the better."""


def run(
    this: training.Run,
    faces: data.Faces,
    architecture: Any,
    settings: Settings,
    *,
    judge: Judge | None = None,
) -> networks.Pretrained:
    """Trains CE or GFC from where the store stands to the last step.

    Args:
      this: where it leaves what it makes, and when.
      faces: what to learn from.
      architecture: of CE or GFC.
      settings: of the training.
      judge: scores each checkpoint, so that the best one is kept.

    Returns:
      The trained network.
    """
    parser = _parser(settings, architecture.image_size)
    rules, network = settings.recipe.rules(), architecture.network()
    critic = dcgan.Architecture(
        image_size=architecture.image_size,
        features=settings.recipe.critic_features,
        kernel_size=4,
    )
    players = train_completer.Players(
        network,
        critic.discriminator(),
        optax.adam(settings.generator_rate, b1=settings.beta1),
        optax.adam(settings.discriminator_rate, b1=settings.beta1),
    )
    key_init, key_steps, key_shown = jax.random.split(jax.random.key(settings.seed), 3)
    static: Any = {"players": players, "rules": rules}
    state = jax.jit(functools.partial(train_completer.init, **static))(key_init)
    trained = networks.Pretrained(architecture, settings.crop, {}, {})
    if settings.pretrained:
        start = _start(settings.pretrained, trained)
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
        training.write_samples(this.run_dir, step, rows)

    step = functools.partial(train_completer.train_step, **static)
    return _train(
        key_steps,
        this,
        state,
        faces,
        # The parser is an argument of the compiled steps, not a constant.
        advance=jax.tree_util.Partial(step, parser=parser),
        settings=settings,
        network=trained,
        variables=lambda state: state.completer,
        show=show,
        judge=judge,
    )


def run_parser(
    this: training.Run,
    faces: data.Faces,
    architecture: Any,
    settings: Settings,
    *,
    points: np.ndarray | None = None,
) -> networks.Pretrained:
    """Trains the parser on what landmarks of the faces outline; see `run`.

    Args:
      this: as in `run`.
      faces: as in `run`.
      architecture: of the parser.
      settings: as in `run`.
      points: the landmarks, `[count, 68, 2]` in pixels; by default those of dlib.
    """
    if points is None:
        predictor = dlib_host.Predictor(None)
        folder = pathlib.Path(this.run_dir)
        points = labelling.landmarks(folder, predictor, faces, crop=settings.crop)
    parse = jax.jit(functools.partial(parsing.parse, size=architecture.image_size))
    parts = np.concatenate(
        [
            np.asarray(parse(jnp.asarray(block, jnp.float32)), np.uint8)
            for block in np.array_split(points, len(points) // 100 + 1)
        ]
    )
    network = architecture.network()
    optimizer = optax.adam(settings.generator_rate)
    static: Any = {"parser": network, "optimizer": optimizer}
    key_init, key_steps = jax.random.split(jax.random.key(settings.seed))
    trained = networks.Pretrained(architecture, settings.crop, {}, {})
    step = functools.partial(train_parser.train_step, **static)
    return _train(
        key_steps,
        this,
        jax.jit(functools.partial(train_parser.init, **static))(key_init),
        faces,
        parts,
        advance=jax.tree_util.Partial(step),
        settings=settings,
        network=trained,
        variables=lambda state: state.variables,
    )


def _train(
    key: types.PRNGKey,
    this: training.Run,
    state: Any,
    faces: data.Faces,
    *others: np.ndarray,
    advance: stepping.Advance,
    settings: Settings,
    network: networks.Pretrained,
    variables: Callable[[Any], types.Variables],
    show: Callable[[int, Any], None] | None = None,
    judge: Judge | None = None,
) -> networks.Pretrained:
    """Runs either training; `variables` are in the state, `others` go with faces."""
    meta = {
        "model": network.model,
        "architecture": dataclasses.asdict(network.architecture),
        "crop": settings.crop,
        "settings": {**options.stored(settings), "steps": this.schedule.steps},
        "pictures": faces.digest,
    }
    rows = stepping.rows(
        faces.images, *others, batch_size=settings.batch_size, seed=settings.seed
    )

    def stored(state):
        return {network.model: variables(state)}

    state = training.run(
        key,
        this,
        state,
        rows,
        meta=meta,
        advance=advance,
        networks=stored,
        show=show,
        judge=None if judge is None else functools.partial(_score, judge, network),
        name=network.model,
    )
    source = {"path": str(this.run_dir), "step": int(state.step)}
    return dataclasses.replace(network, variables=variables(state), source=source)


def _score(
    judge: Judge, network: networks.Pretrained, stored: dict[str, types.Variables]
) -> float:
    return judge(dataclasses.replace(network, variables=stored[network.model]))


def _start(path: str, network: networks.Pretrained) -> networks.Pretrained:
    start = networks.load(path, model=network.model)
    if start.architecture != network.architecture:
        raise InputError(
            f"--pretrained={path}: is {start.architecture}, but the flags say "
            f"{network.architecture}; give the same."
        )
    return start


def _parser(settings: Settings, size: int) -> jax.tree_util.Partial | None:
    if not settings.recipe.parser:
        return None
    parser = networks.load(settings.recipe.parser, model="parser")
    found = parser.architecture.image_size, parser.crop
    if found != (size, settings.crop):
        raise InputError(
            f"--parser={settings.recipe.parser}: was trained on images of {found[0]} "
            f"pixels and crops of {found[1]}, the faces here have {size} and "
            f"{settings.crop}."
        )
    return parser.apply
