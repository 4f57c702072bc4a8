"""Trains the landmark net on faces with known landmarks."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax

from experiments.training import keeping, labelling, materials, stepping, training
from inpaint_jax.errors import InputError, naming
from inpaint_jax.io import data
from inpaint_jax.models import landmark_net
from inpaint_jax.pretrained import networks
from inpaint_jax.training import train_landmark_net


@dataclasses.dataclass(frozen=True)
class Settings:
    """Hyperparameters of the training, stored with every checkpoint."""

    data: str
    pretrained: str | None
    seed: int
    steps: int
    batch_size: int
    crop: int
    learning_rate: float
    weight_decay: float


def run(
    this: training.Run,
    faces: data.Faces,
    truth: labelling.Labels,
    architecture: landmark_net.Architecture,
    settings: Settings,
    *,
    judge: keeping.Judge | None = None,
) -> networks.Pretrained:
    """Trains the landmark net from the newest checkpoint to the end of the run.

    Args:
      this: folders and schedule of the run.
      faces: training faces.
      truth: their landmarks.
      architecture: of the net.
      settings: hyperparameters of the training.
      judge: scores the net at each checkpoint, see `training.Task`.

    Returns:
      The trained net.
    """
    optimizer = optax.adamw(settings.learning_rate, weight_decay=settings.weight_decay)
    static = {"architecture": architecture, "optimizer": optimizer}
    key_init, key_steps = jax.random.split(jax.random.key(settings.seed))
    mean = jnp.asarray(truth.points.mean(axis=0))
    init = functools.partial(train_landmark_net.init, **static)
    state = stepping.initial(init, key_init, mean)
    read = {**truth.material}
    if settings.pretrained:
        start = _start(settings.pretrained, architecture, settings.crop)
        read |= materials.of_network("pretrained", settings.pretrained, start)
        state = state._replace(variables=start.variables)
    step = functools.partial(train_landmark_net.train_step, **static)
    task = training.Task(
        meta=keeping.meta(architecture, settings, faces, crop=settings.crop, read=read),
        advance=jax.tree_util.Partial(step),
        networks=lambda state: {"net": state.variables},
        judge=judge,
        name="landmark net",
        rates="--learning_rate",
    )
    size, seed = settings.batch_size, settings.seed
    rows = stepping.rows(faces.images, truth.points, batch_size=size, seed=seed)
    state = training.run(key_steps, this, task, state, rows)
    source = {"path": str(this.run_dir), "step": int(state.step)}
    return networks.Pretrained(architecture, settings.crop, state.variables, source)


def _start(
    path: str, architecture: landmark_net.Architecture, crop: int
) -> networks.Pretrained:
    """Returns the net from which training starts."""
    with naming("--pretrained", path):
        start = networks.load(path, model="landmark_net")
    if (start.architecture, start.crop) != (architecture, crop):
        raise InputError(
            f"--pretrained={path}: is {start.architecture} for crops of {start.crop}, "
            f"but the flags say {architecture} and {crop}; give the same."
        )
    return start
