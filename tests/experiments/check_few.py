"""`experiments.train --check` with fewer faces than a verdict needs."""

import functools

import jax

from experiments import train
from experiments.common import application
from experiments.training import health, health_scores, reconstruction

if __name__ == "__main__":
    # Its programs take longer to run than to optimise.
    jax.config.update("jax_disable_most_optimizations", False)
    few = health_scores.Counts(2, 2)
    health.choose = functools.partial(health.choose, least=few)
    health.check = functools.partial(health.check, least=few)
    reconstruction.score = functools.partial(reconstruction.score, least=1)
    application.run(train.main)
