"""The networks that a search takes from a training of the DCGAN.

They are not those of the moment: G is an average, whose BatchNorm statistics must be
measured, and D is given a zero.
"""

from collections.abc import Mapping
from typing import Any

import jax

from inpaint_jax import types
from inpaint_jax.models import dcgan
from inpaint_jax.training import train_gan


def fixed_discriminator(
    state: train_gan.GANState, *, rules: train_gan.Rules
) -> types.Variables:
    """Returns D as a search uses it.

    A relativistic D's logits have no zero of their own. They get one here, in the bias
    of the last layer: real images have logit 0 on average. Eq. 19 then asks for faces
    that look as real as the average real one.
    """
    if rules.game.loss != "relativistic":
        return state.discriminator
    params = state.discriminator["params"]
    last = params["to_logit"]
    moved = {**last, "bias": last["bias"] - state.real_logit}
    return {**state.discriminator, "params": {**params, "to_logit": moved}}


def averaged_generator(
    key: types.PRNGKey,
    state: train_gan.GANState,
    *,
    generator: dcgan.Generator,
    prior: dcgan.Prior = "uniform",
    batches: int = 50,
    batch_size: int = 64,
) -> types.Variables:
    """Returns the averaged weights with BatchNorm statistics that fit them.

    The statistics that training stored belong to the weights of the moment; applied to
    the averaged weights they shift every layer. They are measured again here.

    Args:
      key: of the z that the statistics are measured on.
      state: training state.
      generator: the network.
      prior: of z.
      batches: how many batches to run; the running mean remembers about the last 20.
      batch_size: of these.

    Returns:
      {"params", "batch_stats"} for use with `train=False`; {"params"} without
      BatchNorm.
    """
    if generator.architecture.generator_norm == "none":
        return {"params": state.average}
    z_dim = generator.architecture.z_dim

    def settle(
        stats: Mapping[str, Any], key: types.PRNGKey
    ) -> tuple[Mapping[str, Any], None]:
        z = train_gan.sample_z(key, batch_size, z_dim, prior=prior)
        variables = {"params": state.average, "batch_stats": stats}
        _, updated = generator.apply(variables, z, train=True, mutable=["batch_stats"])
        return updated["batch_stats"], None

    stats, _ = jax.lax.scan(
        settle, state.generator["batch_stats"], jax.random.split(key, batches)
    )
    return {"params": state.average, "batch_stats": stats}
