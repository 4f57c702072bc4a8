"""Measures how long searches and trainings take, as ratios within one run.

python -m experiments.benchmark --suite=landmarks --output=benchmark.json
python -m experiments.benchmark --suite=gradients --output=gradients.json
python -m experiments.benchmark --suite=training --torch --output=training.json
"""

import functools
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import application, landmark_gradients, reporting, training_speed
from inpaint_jax import adversarial, files, landmark_predictor, pixels, weights
from inpaint_jax.landmarks import cascade, host

_SUITE = flags.DEFINE_enum(
    "suite",
    "landmarks",
    ["landmarks", "gradients", "training"],
    "landmarks: times of what places them; gradients: how right those are; training: "
    "images a second and waiting for data.",
)
_OUTPUT = flags.DEFINE_string("output", "benchmark.json", "File to write.")
_BATCH = flags.DEFINE_integer("batch_size", 64, "Faces at once.", 1)
_ROUNDS = flags.DEFINE_integer("rounds", 20, "Repetitions of each measurement.", 2)
_TORCH = flags.DEFINE_bool("torch", False, "Compare --suite=training with PyTorch.")


def main() -> int:
    """Measures, prints and writes; returns the exit code."""
    time_in_turn = functools.partial(_time_in_turn, rounds=_ROUNDS.value)
    if _SUITE.value == "landmarks":
        return _report_landmarks(time_in_turn(_landmarks(_BATCH.value)))
    key = jax.random.key(0)
    if _SUITE.value == "gradients":
        found = landmark_gradients.measure(key)
    else:
        found = training_speed.measure(
            key,
            batch_size=_BATCH.value,
            steps=2 * _ROUNDS.value,
            time_in_turn=time_in_turn,
            with_torch=_TORCH.value,
        )
    files.write_json(_OUTPUT.value, {**found, **reporting.environment()})
    print(json.dumps(found, indent=2))
    return 0


def _report_landmarks(measured):
    report: dict[str, Any] = {"batch_size": _BATCH.value, **reporting.environment()}
    for name, times in measured.items():
        report[name] = {
            "ms": 1e3 * float(np.median(times)),
            "spread": 1e3 * float(np.subtract(*np.percentile(times, [75, 25]))),
            "ratio_vs_dlib": _ratio(times, measured["dlib"]),
            "ratio_vs_exact": _ratio(times, measured["landmarks_exact"]),
        }
        print(
            f"{name}: {report[name]['ms']:.1f} ms for {_BATCH.value} faces, "
            f"{report[name]['ratio_vs_dlib']:.2f} of dlib, "
            f"{report[name]['ratio_vs_exact']:.2f} of the exact cascade"
        )
    files.write_json(_OUTPUT.value, report)
    return 0


def _landmarks(batch) -> dict[str, Callable[[], Any]]:
    """What places landmarks, on faces of the released generator."""
    generator = weights.load("release")
    z = adversarial.sample_z(jax.random.key(0), batch, generator.architecture.z_dim)
    image = jax.block_until_ready(jax.jit(generator.generate)(z))
    size = image.shape[1]
    box = np.array([host.aligned_box(crop=generator.crop, size=size)], np.int32)
    box = box.repeat(batch, axis=0)
    predictor = host.Predictor()
    model = jax.tree.map(jnp.asarray, predictor.model)
    bytes_seen = np.asarray(pixels.to_bytes(image))
    net = landmark_predictor.load("release")
    soft = functools.partial(cascade.predict_soft, temperature=4.0)

    def soft_distance(image, model, box):
        return jnp.sum(jnp.abs(soft(model, image, box)))

    exact, soft_gradient = (
        jax.jit(cascade.predict),
        jax.jit(jax.value_and_grad(soft_distance)),
    )
    known = jnp.ones((batch, size, size, 1))
    net_gradient = jax.jit(
        jax.value_and_grad(lambda x: jnp.sum(jnp.abs(net.predict(x, known)[0])))
    )
    return {
        "dlib": lambda: predictor.predict(bytes_seen, box),
        "landmarks_exact": lambda: exact(model, image, box),
        "landmarks_soft_gradient": lambda: soft_gradient(image, model, box),
        "landmarks_net_gradient": lambda: net_gradient(image),
    }


def _time_in_turn(runs, *, rounds):
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


def _ratio(times, others):
    return float(np.median(times) / np.median(others))


if __name__ == "__main__":
    application.run(main)
