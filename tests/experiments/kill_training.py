"""Kills a training again and again and checks that it ends as if nothing had happened.

    python -m tests.experiments.kill_training --kills=20 --seed=0
    python -m tests.experiments.kill_training --data=folder:faces --image_size=64 ...

Further flags are those of experiments.train; without any, tiny networks learn noise.
A third of the kills come at start-up, a third at any moment of the process's life and a
third while a checkpoint is being written. After each kill the two newest checkpoints
that look complete must be readable (an older one may be half deleted); in the end every
array must have the bits of a run that was left alone.
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
import orbax.checkpoint as ocp

ROOT = pathlib.Path(__file__).parents[2]
TINY = (
    *("--image_size=16", "--features=4", "--z_dim=8", "--batch_size=8", "--steps=400"),
    *("--log_every=1", "--sample_every=50", "--checkpoint_every=10"),
)
KEPT = 2  # checkpoints; the one before them is deleted once the newest is complete
LONGEST_WAIT = 300.0


class Training:
    """One training in a folder, in as many processes as it takes."""

    def __init__(self, folder, flags, environment):
        self.folder = folder
        self._command = [
            *(sys.executable, "-m", "experiments.train", *flags),
            f"--run_dir={folder}",
        ]
        self._environment = environment

    def start(self):
        return subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self):
        """Goes on to the last step; returns seconds to the first one, and in all."""
        started = first = time.monotonic()
        process = self.start()
        while process.poll() is None and not self.logged():
            time.sleep(0.02)
            first = time.monotonic()
        self.check_ended_well(process)
        return first - started, time.monotonic() - started

    def check_ended_well(self, process):
        _, err = process.communicate()
        assert process.returncode == 0, err

    def half_written(self):
        return set(self.folder.glob("checkpoints/*.orbax-checkpoint-tmp*"))

    def logged(self):
        """Lines of metrics that are whole, without the times."""
        path = self.folder / "metrics.jsonl"
        text = path.read_text() if path.exists() else ""
        lines = [json.loads(x) for x in text.splitlines() if x.endswith("}")]
        timed = ("seconds", "data_wait_fraction")
        return [{k: v for k, v in x.items() if k not in timed} for x in lines]

    def steps(self):
        """Steps of the checkpoints that look complete."""
        found = self.folder.glob("checkpoints/[0-9]*")
        return sorted(int(path.name) for path in found if path.name.isdecimal())

    def read(self, step):
        """{path of an array: array} of everything in one checkpoint."""
        folder = self.folder / "checkpoints" / str(step)
        with ocp.StandardCheckpointer() as reader:
            items = {name: reader.restore(folder / name) for name in ("state", "model")}
        json.loads((folder / "meta" / "metadata").read_text())
        return {
            jax.tree_util.keystr(path): np.asarray(leaf)
            for path, leaf in jax.tree_util.tree_flatten_with_path(items)[0]
        }


def wait_for_a_moment(rng, training, process, times):
    """Returns at a random moment of a training's life, or when it is over."""
    kind = rng.integers(3)
    if kind < 2:
        end = time.monotonic() + rng.uniform(0.0, times[kind])
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        return
    deadline = time.monotonic() + LONGEST_WAIT
    for _ in range(rng.integers(1, 8)):
        known = training.half_written()
        while process.poll() is None and training.half_written() <= known:
            assert time.monotonic() < deadline, "no checkpoint is being written"
            time.sleep(0.0005)
    time.sleep(rng.uniform(0.0, 0.05))


def kill(rng, training, times):
    """Starts and kills once; returns what was going on, or None if it was over."""
    lines, started = len(training.logged()), time.time()
    process = training.start()
    with process:
        wait_for_a_moment(rng, training, process, times)
        if process.poll() is not None:
            training.check_ended_well(process)
            return None
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, err
    # What an earlier process left half written is older.
    if any(path.stat().st_mtime >= started for path in training.half_written()):
        return "a checkpoint"
    return "steps" if len(training.logged()) != lines else "start-up"


def assert_same(training, expected):
    """Checks the last checkpoint and the log of a training that is done."""
    assert training.logged() == expected.logged()
    assert training.steps()[-1] == expected.steps()[-1]
    found, wanted = (t.read(t.steps()[-1]) for t in (training, expected))
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].tobytes() == array.tobytes(), name
    return len(wanted)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", help="of the training; by default noise")
    arguments, flags = parser.parse_known_args()
    rng = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        noise = rng.integers(0, 256, (50, 16, 16, 3), np.uint8)
        np.save(folder / "noise.npy", noise)
        source = arguments.data or f"array:{folder}/noise.npy"
        environment = {
            **os.environ,
            "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        flags = (*TINY, f"--data={source}", *flags)
        whole = Training(folder / "whole", flags, environment)
        whole.finish()
        print(f"undisturbed: {len(whole.logged())} lines of metrics", flush=True)
        killed = Training(folder / "killed", flags, environment)
        moments, done, read, arrays = collections.Counter(), 0, 0, 0
        times = killed.finish()  # what has been compiled is not compiled again
        while moments.total() < arguments.kills:
            if killed.steps()[-1:] == whole.steps()[-1:]:
                arrays = assert_same(killed, whole)
                shutil.rmtree(killed.folder)
                done += 1
            moment = kill(rng, killed, times)
            if moment is not None:
                moments[moment] += 1
                print(f"killed in {moment}; {killed.steps()} are there", flush=True)
            for step in killed.steps()[-KEPT:]:
                assert killed.read(step)
                read += 1
        killed.finish()
        arrays = assert_same(killed, whole)
    print(
        f"{moments.total()} kills {dict(moments)}; {read} checkpoints read after them; "
        f"{done + 1} trainings ended with the {arrays} arrays of an undisturbed one"
    )


if __name__ == "__main__":
    main()
