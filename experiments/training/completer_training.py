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
from jaxtyping import Float, UInt8

from experiments.training import keeping, labelling, materials, stepping, training
from experiments.training.completer_recipe import Settings
from inpaint_jax import types
from inpaint_jax.errors import InputError, naming
from inpaint_jax.images import masks, pixels
from inpaint_jax.io import data
from inpaint_jax.landmarks import dlib_host, parsing
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import networks
from inpaint_jax.training import train_completer, train_parser

_SHOWN = 8


def run(
    this: training.Run,
    faces: data.Faces,
    architecture: Any,
    settings: Settings,
    *,
    judge: keeping.Judge | None = None,
) -> networks.Pretrained:
    """Trains CE or GFC, from the newest checkpoint if there is one.

    Args:
      this: the folder of the run, and its schedule.
      faces: the training images.
      architecture: of CE or GFC.
      settings: of the training.
      judge: scores each checkpoint, by the trained network; the best one is kept.

    Returns:
      The trained network.
    """
    parser, read = _parser(settings, architecture.image_size)
    key_init, key_steps, key_shown = jax.random.split(jax.random.key(settings.seed), 3)
    static: Any = {
        "networks": _networks(architecture, settings),
        "config": settings.recipe.train_config(),
    }
    state = stepping.initial(
        functools.partial(train_completer.init, **static), key_init
    )
    trained = networks.Pretrained(architecture, settings.crop, {}, {})
    if settings.pretrained:
        start, this_too = _start(settings.pretrained, trained)
        state, read = state._replace(completer=start), {**read, **this_too}
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
        read=read,
        variables=lambda state: state.completer,
        show=_showing(key_shown, this, faces, architecture, settings),
        judge=judge,
    )


def _networks(architecture: Any, settings: Settings) -> train_completer.Networks:
    critic = dcgan.Architecture(
        image_size=architecture.image_size,
        features=settings.recipe.critic_features,
        kernel_size=4,
    )
    return train_completer.Networks(
        architecture.network(),
        critic.discriminator(),
        optax.adam(settings.generator_rate, b1=settings.beta1),
        optax.adam(settings.discriminator_rate, b1=settings.beta1),
    )


def _showing(
    key: types.PRNGKey,
    this: training.Run,
    faces: data.Faces,
    architecture: Any,
    settings: Settings,
) -> Callable[[int, train_completer.CompleterState], None]:
    """Returns a function that writes damaged, completed and true faces to a sheet."""
    families, size = settings.recipe.train_masks, architecture.image_size
    network = architecture.network()
    shown = pixels.from_bytes(jnp.asarray(faces.images[:_SHOWN]))
    mask = masks.sample(key, len(shown), (size, size), families=families)

    @jax.jit
    def complete(variables: types.Variables) -> list[types.ImageBytes]:
        output = network.apply(variables, shown, mask, train=False)
        completed = jnp.where(mask > 0, shown, output)
        return [pixels.to_bytes(x) for x in (shown * mask, completed, shown)]

    def show(step: int, state: train_completer.CompleterState) -> None:
        rows = [list(np.asarray(row)) for row in complete(state.completer)]
        training.write_samples(this.run_dir, step, rows)

    return show


def run_parser(
    this: training.Run,
    faces: data.Faces,
    architecture: Any,
    settings: Settings,
    *,
    labels: labelling.Labels | None = None,
) -> networks.Pretrained:
    """Trains the parser on the parts that the faces' landmarks outline; see `run`.

    Args:
      this: as in `run`.
      faces: as in `run`.
      architecture: of the parser.
      settings: as in `run`.
      labels: the landmarks; by default those of dlib.
    """
    if labels is None:
        predictor = dlib_host.Predictor(None)
        folder = pathlib.Path(this.run_dir)
        found = labelling.landmarks(folder, predictor, faces, crop=settings.crop)
        labels, this = found.labels("run_dir", str(folder)), this.and_then(found.keep)
    optimizer = optax.adam(settings.generator_rate)
    static: Any = {"parser": architecture.network(), "optimizer": optimizer}
    key_init, key_steps = jax.random.split(jax.random.key(settings.seed))
    trained = networks.Pretrained(architecture, settings.crop, {}, {})
    step = functools.partial(train_parser.train_step, **static)
    state = stepping.initial(functools.partial(train_parser.init, **static), key_init)
    read = labels.material
    if settings.pretrained:
        start, this_too = _start(settings.pretrained, trained)
        state, read = state._replace(variables=start), {**read, **this_too}
    return _train(
        key_steps,
        this,
        state,
        faces,
        _parts(labels.points, architecture.image_size),
        advance=jax.tree_util.Partial(step),
        settings=settings,
        network=trained,
        read=read,
        variables=lambda state: state.variables,
    )


def _parts(
    points: Float[np.ndarray, "count 68 2"], size: int
) -> UInt8[np.ndarray, "count height width"]:
    """Returns the part that each pixel belongs to."""
    parse = jax.jit(functools.partial(parsing.parse, size=size))
    blocks = [
        np.asarray(parse(jnp.asarray(block, jnp.float32)), np.uint8)
        for block in np.array_split(points, len(points) // 100 + 1)
    ]
    return np.concatenate(blocks)


def _train(
    key: types.PRNGKey,
    this: training.Run,
    state: Any,
    faces: data.Faces,
    *others: np.ndarray,
    advance: stepping.Advance,
    settings: Settings,
    network: networks.Pretrained,
    read: materials.Materials,
    variables: Callable[[Any], types.Variables],
    show: Callable[[int, Any], None] | None = None,
    judge: keeping.Judge | None = None,
) -> networks.Pretrained:
    """Runs either training.

    `others` are arrays with one row for each face; `variables` takes the network's
    variables from the state.
    """

    def stored(state: Any) -> keeping.Networks:
        return {network.model: variables(state)}

    task = training.Task(
        meta=keeping.meta(
            network.architecture,
            settings,
            faces,
            crop=settings.crop,
            steps=this.schedule.steps,
            read=read,
            model=network.model,
        ),
        advance=advance,
        networks=stored,
        show=show,
        judge=None if judge is None else _of_networks(judge, network),
        name=network.model,
    )
    rows = stepping.rows(
        faces.images, *others, batch_size=settings.batch_size, seed=settings.seed
    )
    state = training.run(key, this, task, state, rows)
    source = {"path": str(this.run_dir), "step": int(state.step)}
    return dataclasses.replace(network, variables=variables(state), source=source)


def _of_networks(judge: keeping.Judge, network: networks.Pretrained) -> keeping.Judge:
    """Returns a judge of stored networks, from one of trained networks."""

    def score(stored: keeping.Networks) -> float:
        trained = dataclasses.replace(network, variables=stored[network.model])
        return judge.score(trained)

    return judge._replace(score=score)


def _start(
    path: str, network: networks.Pretrained
) -> tuple[types.Variables, materials.Materials]:
    """Returns copies of the weights from which training starts, and what they are."""
    with naming("--pretrained", path):
        start = networks.load(path, model=network.model)
    if start.architecture != network.architecture:
        raise InputError(
            f"--pretrained={path}: is {start.architecture}, but the flags say "
            f"{network.architecture}; give the same."
        )
    # Copies: the steps reuse the memory of the state that they are given.
    variables = jax.tree.map(jnp.array, start.variables)
    return variables, materials.of_network("pretrained", path, start)


def _parser(
    settings: Settings, size: int
) -> tuple[jax.tree_util.Partial | None, materials.Materials]:
    if not settings.recipe.parser:
        return None, {}
    with naming("--parser", settings.recipe.parser):
        parser = networks.load(settings.recipe.parser, model="parser")
    found = parser.architecture.image_size, parser.crop
    if found != (size, settings.crop):
        raise InputError(
            f"--parser={settings.recipe.parser}: was trained on images of {found[0]} "
            f"pixels and crops of {found[1]}, the faces here have {size} and "
            f"{settings.crop}."
        )
    read = materials.of_network("parser", settings.recipe.parser, parser)
    return parser.apply, read
