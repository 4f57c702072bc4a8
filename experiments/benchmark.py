r"""Measures the speed of searches, training, landmarks and blending.

python -m experiments.benchmark --suite=search --peer=plain --peer=torch \
    --output=search.json
python -m experiments.benchmark --suite=train --features=48 --kernel_size=4
python -m experiments.benchmark --suite=train --flagfile=experiments/flags/release.flags
"""

import dataclasses
import json
from typing import Literal

import jax

from experiments.benchmarks import suites, timing
from experiments.common import application, options, output_folders, progress, reporting
from experiments.common.options import option
from experiments.training import gan_recipe, landmark_gradients
from inpaint_jax.io import files
from inpaint_jax.models import dcgan


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What is measured, at which sizes, and how often."""

    suite: str = option(
        "search",
        "search: steps of a search; growth: time and memory by batch size and steps; "
        "train: training steps; landmarks: landmark detectors; blend: blending; all of "
        "these; or gradients: the accuracy of the landmark gradients.",
        of=(*suites.MEASURES, "all", "gradients"),
    )
    peer: tuple[Literal["plain", "torch"], ...] = option(
        (),
        "Implementation to compare with, for search and train: plain JAX, or PyTorch "
        "if it is installed.",
        repeated=True,
    )
    output: str = option("benchmark.json", "JSON file to write.")
    batch_size: int = option(
        64, "Number of candidates, images or faces in a batch.", least=1
    )
    rounds: int = option(10, "Number of repetitions of each measurement.", least=2)
    features: int = option(
        64, "Channels of the networks' layers next to the image.", least=1
    )
    kernel_size: int = option(5, "Side of the networks' kernels.", least=2)
    trace_dir: str | None = option(
        None,
        "Folder for a trace of the device's operations in the training steps, which "
        "TensorBoard and Perfetto show.",
    )
    recipe: gan_recipe.Recipe = gan_recipe.Recipe()


options.define(Benchmark, heading="Measurement")


def main() -> int:
    """Measures, prints and writes; returns the exit code."""
    wanted, key = options.read(Benchmark), jax.random.key(0)
    output = options.output_file(wanted, "output")
    output_folders.check_replaceable(output, keys=("batch_size", "versions"))
    if wanted.suite == "gradients":
        found = landmark_gradients.measure(key)
    else:
        a = dcgan.Architecture(features=wanted.features, kernel_size=wanted.kernel_size)
        progress.say("measuring what the machine can do at most")
        ceilings = timing.ceilings(wanted.rounds)
        found = {name: round(value / 1e9, 1) for name, value in ceilings.items()}
        setting = suites.Setting(
            key,
            a,
            ceilings,
            wanted.batch_size,
            wanted.rounds,
            wanted.peer,
            wanted.recipe,
            _folder(wanted),
        )
        for suite in suites.MEASURES if wanted.suite == "all" else [wanted.suite]:
            progress.say(f"measuring {suite}: compiling, then {wanted.rounds} rounds")
            found |= suites.MEASURES[suite](setting)
    report = {"batch_size": wanted.batch_size, **found, **reporting.environment()}
    files.write_json(output, report)
    print(json.dumps(found, indent=2))
    progress.say(f"all of it is in {output}")
    return 0


def _folder(wanted: Benchmark) -> str | None:
    """Creates the folder of traces, if one is asked for."""
    return str(options.folder(wanted, "trace_dir")) if wanted.trace_dir else None


if __name__ == "__main__":
    application.run(main, callbacks=lambda: True)
