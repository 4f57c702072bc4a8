"""Divides the time of a release among its networks, and trains those that are missing.

Each network needs some time for compilation, scoring and writing. When a network
begins, it gets its fraction of the remaining time, so a network that took longer takes
time from all that follow. The encoder needs the generator, GFC needs its parser; with
`only`, these come from an earlier run.
"""

import dataclasses
import time
from typing import Literal

import jax

from experiments.common import progress, stopping
from experiments.training import release_files, release_networks
from experiments.training.release_job import Job

SHARES = {
    "generator": 0.50,
    "encoder": 0.09,
    "landmarks": 0.17,
    "parser": 0.02,
    "ce": 0.09,
    "gfc": 0.13,
}
"""{network: fraction of the time}"""

# Seconds for the compilation of a network, and for its scoring and writing.
_COMPILATION, _WRITING = 20.0, 6.0

now = time.monotonic


def usual_precision() -> Literal["float32", "bfloat16"]:
    """Returns the default type of the products in convolutions on this device."""
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def run(job: Job, *, only: tuple[str, ...], began: float) -> None:
    """Trains the networks that are not finished yet, and writes each.

    Args:
      job: the inputs of all networks.
      only: the networks to train, keys of `SHARES`.
      began: start of the time limit, by `now`.

    Raises:
      InputError: one needs a network that is missing, or goes on from another run.
    """
    output_dir = job.output_dir
    finished = release_files.read(output_dir).get("networks", {})
    # Networks that another process trains take no time of this one.
    spent = sum(finished[name]["seconds"] for name in only if name in finished)
    ends = began + 60.0 * job.wanted.minutes - spent
    missing = [name for name in SHARES if name in only and name not in finished]
    for place, name in enumerate(missing):
        stopping.check()
        start = began if place == 0 else now()
        seconds = seconds_of_the_first(missing[place:], ends - now())
        # The time since the start counts, also that of an interrupted network.
        this = dataclasses.replace(job, began=start, seconds=seconds + now() - start)
        progress.say(f"{name}: {this.seconds:.0f} of {ends - now():.0f} s")
        _train(this, name)
    names = ", ".join(release_files.read(output_dir).get("networks", {}))
    progress.say(f"done: {names}; they are in {output_dir}")


def _train(this: Job, name: str) -> None:
    """Trains one network and writes it."""
    output_dir = this.output_dir
    done = release_networks.NETWORKS[name](this)
    if done.folder:
        release_files.add(output_dir, done.folder, done.export)
    # The whole time, not only that of the training: the next network begins now.
    about = {**done.about, "seconds": round(now() - this.began, 1)}
    release_files.describe(output_dir, name, about)
    release_files.write_logs(output_dir, this.run_dir)
    progress.say(f"{name}: written to {output_dir}")


def seconds_of_the_first(missing: list[str], left: float) -> float:
    """Returns the seconds of the first network of those that are missing.

    Args:
      missing: names of the missing networks.
      left: remaining seconds for all of them.
    """
    fractions = [SHARES[name] for name in missing]
    training = left - len(missing) * (_COMPILATION + _WRITING)
    if training <= 0.0:  # too little time: each network gets an equal part
        return max(left / len(missing) - _WRITING, 1.0)
    return _COMPILATION + fractions[0] / sum(fractions) * training
