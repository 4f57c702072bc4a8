"""Trains the encoder that tells a search where to start; G and D stay as they are."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.training import keeping, stepping, training
from inpaint_jax import types
from inpaint_jax.images import masks, pixels
from inpaint_jax.io import data
from inpaint_jax.pretrained import weights
from inpaint_jax.training import supervised, train_encoder

_SHOWN = 8
_ENCODES: weights.Encodes = "damaged faces"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides the weights that come out; stored with every checkpoint."""

    data: str
    seed: int
    batch_size: int
    generator_rate: float
    beta1: float
    checkpoint: str


def run(
    this: training.Run,
    faces: data.Faces,
    model: weights.Model,
    settings: Settings,
    *,
    judge: keeping.Judge | None = None,
) -> weights.Model:
    """Trains from where the store stands to the last step.

    Args:
      this: where it leaves what it makes, and when.
      faces: what to learn from.
      model: G and D; its encoder, if it has one, is where training starts.
      settings: of the training.
      judge: see `training.Task`.

    Returns:
      The model with its new encoder.
    """
    key_init, key_steps, key_shown = jax.random.split(jax.random.key(settings.seed), 3)
    static: Any = {
        "encoder": model.architecture.encoder(),
        "optimizer": optax.adam(settings.generator_rate, b1=settings.beta1),
    }
    state = supervised.init(_start(key_init, model), optimizer=static["optimizer"])
    step = functools.partial(train_encoder.train_step, **static)
    task = training.Task(
        meta=_meta(model, settings, faces, steps=this.schedule.steps),
        # G is an argument of the compiled steps, not a constant.
        advance=jax.tree_util.Partial(step, generate=model.generate),
        networks=lambda state: {**model.networks, "encoder": state.variables},
        show=_showing(key_shown, this, faces, model),
        judge=judge,
        name="encoder",
        rates="--generator_rate",
    )
    rows = stepping.rows(
        faces.images, batch_size=settings.batch_size, seed=settings.seed
    )
    state = training.run(key_steps, this, task, state, rows)
    source = {"path": str(this.run_dir), "step": int(state.step)}
    return dataclasses.replace(
        model, encoder=state.variables, encodes=_ENCODES, source=source
    )


def _meta(
    model: weights.Model, settings: Settings, faces: data.Faces, *, steps: int
) -> dict[str, Any]:
    kinds = {"encodes": _ENCODES, "prior": model.prior}
    return keeping.meta(
        model.architecture, settings, faces, crop=model.crop, steps=steps, **kinds
    )


def _start(key: types.PRNGKey, model: weights.Model) -> types.Variables:
    if model.encoder is None:
        encoder = model.architecture.encoder()
        return jax.jit(functools.partial(train_encoder.fresh, encoder=encoder))(key)
    # A copy: the steps reuse the memory of the state that they are given.
    return jax.tree.map(jnp.array, model.encoder)


def _showing(
    key: types.PRNGKey, this: training.Run, faces: data.Faces, model: weights.Model
) -> Callable[[int, supervised.State], None]:
    """Returns what writes a sheet: damaged faces, and G's from where E begins."""
    encoder = model.architecture.encoder()
    shown = pixels.from_bytes(jnp.asarray(faces.images[:_SHOWN]))
    _, height, width, _ = shown.shape
    mask = masks.sample(key, len(shown), (height, width))

    @jax.jit
    def redraw(
        variables: types.Variables, generate: types.Generate
    ) -> tuple[types.ImageBytes, types.ImageBytes]:
        z: Any = encoder.apply(variables, shown, mask, train=False)
        return pixels.to_bytes(shown * mask), pixels.to_bytes(generate(z))

    def show(step: int, state: supervised.State) -> None:
        damaged, redrawn = redraw(state.variables, model.generate)
        sheet = [list(np.asarray(damaged)), list(np.asarray(redrawn))]
        training.write_samples(this.run_dir, step, sheet)

    return show
