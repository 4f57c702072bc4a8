r"""Measures how long things take, as ratios within one run.

python -m experiments.benchmark --suite=search --peer=plain --peer=torch \
    --output=search.json
python -m experiments.benchmark --suite=train --features=48 --kernel_size=4
"""

import dataclasses
import functools
import json
import time
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from experiments.benchmarks import search_speed, training_speed
from experiments.common import application, options, reporting
from experiments.common.options import option
from experiments.training import landmark_gradients
from inpaint_jax import types
from inpaint_jax.images import blending, framing, masks, pixels
from inpaint_jax.io import files
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.landmarks.cascade import prediction
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import landmark_predictor, networks, weights
from inpaint_jax.training import train_gan

_SUITES = ["search", "growth", "train", "landmarks", "blend"]
_SIDE = 3072  # of the matrices whose product shows what the processor can do
_COPY = 1 << 26  # numbers whose copy shows what the memory can do

Runs = dict[str, Callable[[], Any]]
Found = dict[str, Any]
Ceilings = dict[str, float]
"""{what: how many of it a second}"""


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What is measured, how large and how often."""

    suite: str = option(
        "search",
        "Steps of a search; how it grows; training steps; what places landmarks; "
        "blending; all of these; or how right the landmark gradients are.",
        of=(*_SUITES, "all", "gradients"),
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
        ceilings = _ceilings(wanted.rounds)
        found = {name: round(value / 1e9, 1) for name, value in ceilings.items()}
        suites = _SUITES if wanted.suite == "all" else [wanted.suite]
        for suite in suites:
            found |= _MEASURES[suite](key, a, ceilings, wanted)
    report = {"batch_size": wanted.batch_size, **found, **reporting.environment()}
    files.write_json(wanted.output, report)
    print(json.dumps(found, indent=2))
    return 0


def _search(
    key: types.PRNGKey, a: dcgan.Architecture, ceilings: Ceilings, wanted: Benchmark
) -> Found:
    runs = search_speed.steps(key, a, batch_size=wanted.batch_size, peers=wanted.peer)
    times = _time_in_turn(runs, wanted.rounds)
    for name in times:
        if name.startswith("search_step"):
            times[name] = [seconds / search_speed.STEPS for seconds in times[name]]
    flops = wanted.batch_size * search_speed.step_flops(a)
    found = {
        name: _with_share(seconds, flops, ceilings) for name, seconds in times.items()
    }
    ours = found["search_step"]
    ours |= search_speed.counted(key, a, batch_size=wanted.batch_size)
    ours |= _ratios(times, "search_step")
    found["search_step_with_landmarks"]["ratio_vs_without"] = _ratio(
        times["search_step_with_landmarks"], times["search_step"]
    )
    if "plain" in times:
        found["plain_with_dlib"]["ratio_vs_without"] = _ratio(
            times["plain_with_dlib"], times["plain"]
        )
    return found


def _growth(
    key: types.PRNGKey, a: dcgan.Architecture, ceilings: Ceilings, wanted: Benchmark
) -> Found:
    del ceilings
    timed = functools.partial(_time_in_turn, rounds=wanted.rounds)
    return {"growth": search_speed.growth(key, a, time_in_turn=timed)}


def _train(
    key: types.PRNGKey, a: dcgan.Architecture, ceilings: Ceilings, wanted: Benchmark
) -> Found:
    batch = wanted.batch_size
    runs = training_speed.steps(key, a, batch_size=batch, peers=wanted.peer)
    times = _time_in_turn(runs, wanted.rounds)
    found = {}
    for name, seconds in times.items():
        encoder = name == "train_step_with_encoder"
        flops = batch * training_speed.step_flops(a, encoder=encoder)
        entry = _with_share(seconds, flops, ceilings)
        label = name if name.startswith("train") else f"train_step_{name}"
        found[label] = entry | {"images_per_s": batch / float(np.median(seconds))}
    found["train_step"] |= _ratios(times, "train_step")
    found["waiting_for_data"] = training_speed.waiting(
        key, a, batch_size=batch, count=2 * wanted.rounds
    )
    return found


def _landmarks(
    key: types.PRNGKey, a: dcgan.Architecture, ceilings: Ceilings, wanted: Benchmark
) -> Found:
    """What places landmarks, on faces of the released generator."""
    del a, ceilings
    batch, generator = wanted.batch_size, weights.load("release")
    z = train_gan.sample_z(key, batch, generator.architecture.z_dim)
    image = jax.block_until_ready(jax.jit(generator.generate)(z))
    size = image.shape[1]
    box = np.array([framing.aligned_box(crop=generator.crop, size=size)], np.int32)
    box = box.repeat(batch, axis=0)
    predictor = dlib_host.Predictor()
    model = jax.tree.map(jnp.asarray, predictor.model)
    bytes_seen = np.asarray(pixels.to_bytes(image))
    place = landmark_predictor.place(networks.load("release", model="landmark_net"))
    soft = functools.partial(prediction.predict_soft, temperature=4.0)

    def soft_distance(
        image: types.Image, model: ShapeModel, box: Int[jax.Array, "batch 4"]
    ) -> Float[jax.Array, ""]:
        return jnp.sum(jnp.abs(soft(model, image, box)))

    exact, soft_gradient = (
        jax.jit(prediction.predict),
        jax.jit(jax.value_and_grad(soft_distance)),
    )
    known = jnp.ones((batch, size, size, 1))
    net_gradient = jax.jit(
        jax.value_and_grad(lambda x: jnp.sum(jnp.abs(place(x, known)[0])))
    )
    times = _time_in_turn(
        {
            "dlib": lambda: predictor.predict(bytes_seen, box),
            "landmarks_exact": lambda: exact(model, image, box),
            "landmarks_soft_gradient": lambda: soft_gradient(image, model, box),
            "landmarks_net_gradient": lambda: net_gradient(image),
        },
        wanted.rounds,
    )
    return {
        name: _entry(seconds)
        | {
            "ratio_vs_dlib": _ratio(seconds, times["dlib"]),
            "ratio_vs_exact": _ratio(seconds, times["landmarks_exact"]),
        }
        for name, seconds in times.items()
    }


def _blend(
    key: types.PRNGKey, a: dcgan.Architecture, ceilings: Ceilings, wanted: Benchmark
) -> Found:
    del ceilings
    shape = (wanted.batch_size, a.image_size, a.image_size)
    generated, image = (
        jax.random.uniform(jax.random.fold_in(key, i), (*shape, 3), minval=-1.0)
        for i in range(2)
    )
    mask = masks.centre(key, shape[1:])[None].repeat(shape[0], axis=0)
    blends = {"paste": jax.jit(blending.paste), "poisson": jax.jit(blending.poisson)}
    runs = {
        f"blend_{name}": functools.partial(blend, generated, image, mask)
        for name, blend in blends.items()
    }
    times = _time_in_turn(runs, wanted.rounds)
    return {name: _entry(seconds) for name, seconds in times.items()}


_MEASURES = {
    "search": _search,
    "growth": _growth,
    "train": _train,
    "landmarks": _landmarks,
    "blend": _blend,
}


def _ceilings(rounds: int) -> Ceilings:
    """Operations a second of a large product, bytes a second of a large copy."""
    matrix, numbers = jnp.ones((_SIDE, _SIDE)), jnp.ones(_COPY)
    times = _time_in_turn(
        {
            "product": functools.partial(jax.jit(jnp.matmul), matrix, matrix),
            "copy": functools.partial(jax.jit(jnp.negative), numbers),
        },
        rounds,
    )
    return {
        "peak_gflops": 2 * _SIDE**3 / min(times["product"]),
        "peak_gbytes": 2 * numbers.nbytes / min(times["copy"]),
    }


def _time_in_turn(runs: Runs, rounds: int) -> dict[str, list[float]]:
    """Seconds of each run, one after the other in each round, after a warm-up."""
    for run in runs.values():
        jax.block_until_ready(run())
    times = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            jax.block_until_ready(run())
            times[name].append(time.perf_counter() - started)
    return times


def _entry(seconds: list[float]) -> dict[str, float]:
    spread = float(np.subtract(*np.percentile(seconds, [75, 25])))
    return {"ms": 1e3 * float(np.median(seconds)), "spread": 1e3 * spread}


def _with_share(
    seconds: list[float], flops: float, ceilings: Ceilings
) -> dict[str, float]:
    """Which share of the peak these operations come to.

    Counted as convolutions are defined, so a form with fewer products can exceed 1.
    """
    share = flops / float(np.median(seconds)) / ceilings["peak_gflops"]
    return _entry(seconds) | {"gflop": flops / 1e9, "share_of_ceiling": share}


def _ratios(times: dict[str, list[float]], name: str) -> dict[str, float]:
    found = {}
    if "plain" in times:
        found["ratio_vs_plain"] = _ratio(times[name], times["plain"])
    torch = [seconds for other, seconds in times.items() if other.startswith("torch")]
    if torch:
        found["ratio_vs_torch"] = max(_ratio(times[name], each) for each in torch)
    return found


def _ratio(times: list[float], others: list[float]) -> float:
    """Median over the rounds: what slows the machine down slows both."""
    return float(np.median(np.divide(times, others)))


if __name__ == "__main__":
    application.run(main)
