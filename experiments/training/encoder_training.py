"""Trains the encoder that says where a search starts; G and D are fixed."""

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
    """Trains the encoder, from the newest checkpoint if there is one.

    Args:
      this: the folder of the run, and its schedule.
      faces: the training images.
      model: G and D. If it has an encoder, training starts from its weights.
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
    kinds = {
        "encodes": _ENCODES,
        "prior": model.prior,
        "discriminates": model.discriminates,
    }
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
    """Returns a function that writes damaged faces and G(E(damaged)) to a sheet."""
    encoder = model.architecture.encoder()
    shown = pixels.from_bytes(jnp.asarray(faces.images[:_SHOWN]))
    _, height, width, _ = shown.shape
    mask = masks.sample(key, len(shown), (height, width))

    @jax.jit
    def reconstruct(
        variables: types.Variables, generate: types.Generate
    ) -> tuple[types.ImageBytes, types.ImageBytes]:
        z: Any = encoder.apply(variables, shown, mask, train=False)
        return pixels.to_bytes(shown * mask), pixels.to_bytes(generate(z))

    def show(step: int, state: supervised.State) -> None:
        sheet = [
            list(np.asarray(x)) for x in reconstruct(state.variables, model.generate)
        ]
        training.write_samples(this.run_dir, step, sheet)

    return show
