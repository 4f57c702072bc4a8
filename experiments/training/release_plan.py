"""For how long each network of a release is trained, and what is left to be done.

Each network needs some time to be compiled, scored and written; of what is then left
when it begins it gets its share, so that one that took longer takes from all that
follow. The damaged faces' encoder needs the generator, face completion its parser;
whoever begins without what it needs takes what an earlier run left.
"""

import dataclasses
import pathlib
import time
from typing import Literal

import jax

from experiments.common import options, progress, reporting
from experiments.training import release_files, release_networks
from experiments.training.release_job import Job, Wanted
from inpaint_jax.errors import InputError
from inpaint_jax.io import data

SHARES = {
    "generator": 0.50,
    "encoder": 0.09,
    "landmarks": 0.17,
    "parser": 0.02,
    "ce": 0.09,
    "gfc": 0.13,
}
"""Each network's share of the time."""

# Seconds in which a network is compiled, and those in which it is scored and written.
_COMPILATION, _WRITING = 20.0, 6.0

now = time.monotonic


def usual_precision() -> Literal["float32", "bfloat16"]:
    """Returns in which type convolutions multiply where nobody says."""
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def run(
    wanted: Wanted,
    faces: data.Faces,
    validation: data.Faces,
    landmarks: release_files.Landmarks,
    *,
    run_dir: pathlib.Path,
    output_dir: pathlib.Path,
    only: tuple[str, ...],
    began: float,
    command: str,
) -> None:
    """Trains the networks that are not finished yet, and writes each.

    Args:
      wanted: what the networks are to be.
      faces: to learn from.
      validation: to choose checkpoints by.
      landmarks: of both.
      run_dir: folder of checkpoints.
      output_dir: folder of the release.
      only: names of `SHARES`.
      began: when the time began, by `now`.
      command: that repeats this.
    """
    finished = release_files.read(output_dir).get("networks", {})
    # What another process trains beside this one takes none of its time.
    spent = sum(finished[name]["seconds"] for name in only if name in finished)
    ends = began + 60.0 * wanted.minutes - spent
    about = {
        "command": command,
        "images": len(faces.images),
        "environment": reporting.environment(),
    }
    job = Job(wanted, faces, validation, landmarks, run_dir, output_dir, about)
    missing = [name for name in SHARES if name in only and name not in finished]
    for place, name in enumerate(missing):
        start = began if place == 0 else now()
        seconds = seconds_of_the_first(missing[place:], ends - now())
        # Getting here counts, and so does what was spent on an interrupted network.
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
    # All of it, and not only what training took: the next network begins now.
    about = {**done.about, "seconds": round(now() - this.began, 1)}
    stored = options.stored(this.wanted)
    release_files.describe(output_dir, name, about, options=stored)
    release_files.write_logs(output_dir, this.run_dir)
    progress.say(f"{name}: written to {output_dir}")


def seconds_of_the_first(missing: list[str], left: float) -> float:
    """Returns the time of the first network of those that are missing.

    Args:
      missing: their names.
      left: seconds for all of them.
    """
    shares = [SHARES[name] for name in missing]
    training = left - len(missing) * (_COMPILATION + _WRITING)
    if training <= 0.0:  # too little for all: each gets an equal part of nothing much
        return max(left / len(missing) - _WRITING, 1.0)
    return _COMPILATION + shares[0] / sum(shares) * training


def check_same(wanted: Wanted, output_dir: pathlib.Path) -> None:
    """Refuses to go on with a release of other networks.

    Args:
      wanted: what the networks are to be.
      output_dir: folder of the release.

    Raises:
      InputError: it was begun with other options.
    """
    before = release_files.read(output_dir).get("options", {})
    for name, value in options.stored(wanted).items():
        # The same pictures may lie elsewhere now; each training looks at that itself.
        alike = name in ("minutes", "data") or before.get(name, value) == value
        if not alike:
            raise InputError(
                f"--{name}={value}: the release in {output_dir} was begun with "
                f"{before[name]}; give the same or another --output_dir."
            )
