"""The networks of a trained DCGAN in the form in which a search uses them.

They differ from those that training updates. G has averaged weights, for which the
statistics of BatchNorm must be measured. D has another bias, if its loss is
relativistic.
"""

from collections.abc import Mapping
from typing import Any

import jax

from inpaint_jax import types
from inpaint_jax.models import dcgan
from inpaint_jax.training import train_gan


def fixed_discriminator(
    state: train_gan.GANState, *, config: train_gan.TrainConfig
) -> types.Variables:
    """Returns D with logits that are comparable with zero.

    The relativistic loss does not fix the mean of D's logits. Here the bias of the last
    layer is changed so that the mean logit of real images is 0. Eq. 19 then asks for
    faces that look as real as the average real one.

    Args:
      state: of the training.
      config: of the training.
    """
    if config.adversarial.loss != "relativistic":
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
    """Returns G's averaged weights with BatchNorm statistics that belong to them.

    The statistics that training stored belong to the latest weights, and would shift
    every layer of the averaged ones. So they are measured again here.

    Args:
      key: of the z that the statistics are measured on.
      state: of the training.
      generator: the network.
      prior: of z.
      batches: number of batches; the running mean is that of about the last 20.
      batch_size: of each.

    Returns:
      {"params", "batch_stats"} for use with `train=False`; {"params"} without
      BatchNorm.
    """
    if generator.architecture.generator_norm == "none":
        return {"params": state.average}
    z_dim = generator.architecture.z_dim

    def measure(
        stats: Mapping[str, Any], key: types.PRNGKey
    ) -> tuple[Mapping[str, Any], None]:
        z = train_gan.sample_z(key, batch_size, z_dim, prior=prior)
        variables = {"params": state.average, "batch_stats": stats}
        _, updated = generator.apply(variables, z, train=True, mutable=["batch_stats"])
        return updated["batch_stats"], None

    stats, _ = jax.lax.scan(
        measure, state.generator["batch_stats"], jax.random.split(key, batches)
    )
    return {"params": state.average, "batch_stats": stats}
