"""Trains the encoder that tells a search where to start; G and D stay as they are."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.training import stepping, training
from inpaint_jax.images import masks, pixels
from inpaint_jax.io import data
from inpaint_jax.pretrained import weights
from inpaint_jax.training import supervised, train_encoder

_SHOWN = 8


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
    judge: Callable[[dict[str, Any]], float] | None = None,
) -> weights.Model:
    """Trains from where the store stands to the last step.

    Args:
      this: where it leaves what it makes, and when.
      faces: what to learn from.
      model: G and D; its encoder, if it has one, is where training starts.
      settings: of the training.
      judge: see `training.run`.

    Returns:
      The model with its new encoder.
    """
    encoder = model.architecture.encoder()
    optimizer = optax.adam(settings.generator_rate, b1=settings.beta1)
    key_init, key_steps, key_shown = jax.random.split(jax.random.key(settings.seed), 3)
    start = model.encoder
    if start is None:
        start = jax.jit(functools.partial(train_encoder.fresh, encoder=encoder))(
            key_init
        )
    # A copy: the steps reuse the memory of the state that they are given.
    state = supervised.init(jax.tree.map(jnp.array, start), optimizer=optimizer)
    meta = {
        "architecture": dataclasses.asdict(model.architecture),
        "crop": model.crop,
        "encodes": "damaged faces",
        "prior": model.prior,
        "pictures": faces.digest,
        "settings": {**dataclasses.asdict(settings), "steps": this.schedule.steps},
    }
    rows = stepping.rows(
        faces.images, batch_size=settings.batch_size, seed=settings.seed
    )
    # G is an argument of the compiled steps, not a constant.
    step = functools.partial(
        train_encoder.train_step, encoder=encoder, optimizer=optimizer
    )

    def networks(state):
        return {**model.networks, "encoder": state.variables}

    shown = pixels.from_bytes(jnp.asarray(faces.images[:_SHOWN]))
    _, height, width, _ = shown.shape
    shown_mask = masks.sample(key_shown, len(shown), (height, width))

    @jax.jit
    def redraw(variables, generate):
        z: Any = encoder.apply(variables, shown, shown_mask, train=False)
        return pixels.to_bytes(shown * shown_mask), pixels.to_bytes(generate(z))

    def show(step, state):
        damaged, redrawn = redraw(state.variables, model.generate)
        sheet = [list(np.asarray(damaged)), list(np.asarray(redrawn))]
        training.write_samples(this.run_dir, step, sheet)

    state = training.run(
        key_steps,
        this,
        state,
        rows,
        meta=meta,
        advance=jax.tree_util.Partial(step, generate=model.generate),
        networks=networks,
        show=show,
        judge=judge,
        name="encoder",
        rates="--generator_rate",
    )
    return dataclasses.replace(
        model,
        encoder=state.variables,
        encodes="damaged faces",
        source={"path": str(this.run_dir), "step": int(state.step)},
    )
