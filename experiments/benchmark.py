r"""Measures how long things take, as ratios within one run.

python -m experiments.benchmark --suite=search --peer=plain --peer=torch \
    --output=search.json
python -m experiments.benchmark --suite=train --features=48 --kernel_size=4
"""

import dataclasses
import json
from typing import Literal

import jax

from experiments.benchmarks import suites, timing
from experiments.common import application, options, progress, reporting
from experiments.common.options import option
from experiments.training import landmark_gradients
from inpaint_jax.io import files
from inpaint_jax.models import dcgan


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What is measured, how large and how often."""

    suite: str = option(
        "search",
        "Steps of a search; how it grows; training steps; what places landmarks; "
        "blending; all of these; or how right the landmark gradients are.",
        of=(*suites.MEASURES, "all", "gradients"),
    )
    peer: tuple[Literal["plain", "torch"], ...] = option(
        (),
        "Of search and train: plain JAX, and PyTorch if it is installed.",
        repeated=True,
    )
    output: str = option("benchmark.json", "File to write.")
    batch_size: int = option(64, "Candidates, images or faces.", least=1)
    rounds: int = option(10, "Repetitions of each measurement.", least=2)
    features: int = option(64, "Channels of the networks, see train.", least=1)
    kernel_size: int = option(5, "Side of the networks' kernels.", least=2)


options.define(Benchmark, heading="Measurement")


def main() -> int:
    """Measures, prints and writes; returns the exit code."""
    wanted, key = options.read(Benchmark), jax.random.key(0)
    if wanted.suite == "gradients":
        found = landmark_gradients.measure(key)
    else:
        a = dcgan.Architecture(features=wanted.features, kernel_size=wanted.kernel_size)
        progress.say("measuring what the machine can do at most")
        ceilings = timing.ceilings(wanted.rounds)
        found = {name: round(value / 1e9, 1) for name, value in ceilings.items()}
        setting = suites.Setting(
            key, a, ceilings, wanted.batch_size, wanted.rounds, wanted.peer
        )
        for suite in suites.MEASURES if wanted.suite == "all" else [wanted.suite]:
            progress.say(f"measuring {suite}: compiling, then {wanted.rounds} rounds")
            found |= suites.MEASURES[suite](setting)
    report = {"batch_size": wanted.batch_size, **found, **reporting.environment()}
    files.write_json(wanted.output, report)
    print(json.dumps(found, indent=2))
    progress.say(f"all of it is in {wanted.output}")
    return 0


if __name__ == "__main__":
    application.run(main, callbacks=True)
