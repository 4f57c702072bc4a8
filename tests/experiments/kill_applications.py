"""Ends applications by signals at random moments, and repeats their commands.

    python -m tests.experiments.kill_applications --moments=20 --seed=0
    python -m tests.experiments.kill_applications --applications=train --signals=SIGTERM

After each signal every file that is there must be whole. Then the same command runs to
its end, and must leave what a run leaves that nobody disturbed. "resume" is a batch of
pictures that goes on with --resume, and those that it passes over are counted. A
release is ruled by the clock, so of it only the names of the files are compared. The
moments lie between a tenth of a second, in which Python itself starts, and the end of
an undisturbed run; three of four of "resume" begin when a random number of its pictures
is finished. A code of 0 says that only the interpreter had still to end. Prints a table
in Markdown.
"""

import argparse
import collections
import csv
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import safetensors.numpy
from PIL import Image, ImageSequence

from experiments.common import reporting
from inpaint_jax.io import files, picture_files
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import weights
from tests import drawn
from tests.experiments import kill_training, launcher

SIGNALS = ("SIGINT", "SIGTERM", "SIGKILL")
TINY = dcgan.Architecture(image_size=64, features=2, z_dim=8, kernel_size=4)
SEARCH = (
    "--landmark_term=none",
    "--lambda_structure=0",
    "--init=random",
    "--restarts=2",
    "--patience=0",
)
SEARCH += ("--iterations=20", "--chunk=1")
BATCH = 30  # pictures
ENVIRONMENT = {**os.environ, "JAX_PLATFORMS": "cpu"}
# What no two runs have in common: times, and a tree that is worked on.
VARYING = ("seconds", "data_wait_fraction", "commit")
VARYING_ROW = re.compile(rf'<tr><th scope="row">({"|".join(VARYING)})</th>.*')
HEADINGS = ("application", "signal", "moments", "exit codes", "tracebacks")
HEADINGS += ("damaged files", "unequal ends", "longest end, s", "passed over")
PASSED_OVER = re.compile(r"^--resume: (\d+) of (\d+) pictures are finished", re.M)


class Application(NamedTuple):
    """A command, its folder of results, and what two runs of it have in common.

    After a signal it goes on with further flags; `run` is the launcher's.
    """

    name: str
    run: Callable[..., subprocess.CompletedProcess[str]]
    flags: list[str]
    folder: pathlib.Path
    results: Callable[[pathlib.Path], dict]
    goes_on: tuple[str, ...] = ()

    @property
    def module(self):
        return f"experiments.{'inpaint' if self.name == 'resume' else self.name}"

    def start(self):
        """Starts as a user does."""
        return subprocess.Popen(
            [sys.executable, "-m", self.module, *self.flags],
            cwd=kill_training.ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def undisturbed(self):
        """Starts and lets it end; returns what it leaves, and the seconds."""
        began = time.monotonic()
        with self.start() as process:
            _, err = process.communicate()
        assert process.returncode == 0, f"{self.name}: {err}"
        return self.results(self.folder), time.monotonic() - began

    def finish(self):
        """Goes on to the end, without importing the library once more.

        Returns what it leaves, and what it prints.
        """
        ended = self.run(self.module, *self.flags, *self.goes_on)
        assert ended.returncode == 0, f"{self.name}: {ended.stderr}"
        return self.results(self.folder), ended.stdout


class Ended(NamedTuple):
    """How an application ended after a signal."""

    code: int
    err: str
    seconds: float
    damaged: list[str]


def visible(folder):
    """{name: path} of the files of a run, without hidden ones and checkpoints."""
    paths = (path for path in folder.rglob("[!.]*") if path.is_file())
    named = {str(path.relative_to(folder)): path for path in paths}
    hidden = ("checkpoints/", ".finished/")
    return {n: path for n, path in named.items() if not any(h in n for h in hidden)}


def lasting(value):
    """A JSON value without what varies."""
    if isinstance(value, dict):
        return {k: lasting(v) for k, v in value.items() if k not in VARYING}
    return [lasting(v) for v in value] if isinstance(value, list) else value


def rows(path):
    """The rows of a table, without what varies."""
    with path.open(encoding="utf-8") as file:
        return lasting(list(csv.DictReader(file)))


def lines(path):
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def names(folder):
    return {"names": sorted(visible(folder))}


def of_inpaint(folder):
    """Every file: the report, the log and pages without what varies."""
    found = {name: path.read_bytes() for name, path in visible(folder).items()}
    for name in found.keys() & {"report.json"}:
        found[name] = lasting(json.loads(found[name]))
    for name in found.keys() & {"trace.jsonl"}:
        found[name] = lasting(lines(folder / name))
    for name in [each for each in found if each.endswith(".html")]:
        found[name] = VARYING_ROW.sub("", found[name].decode())
    return found


def of_evaluate(folder):
    pictures = sorted(folder.glob("completions/*/*/*.png"))
    completions = {str(p.relative_to(folder)): p.read_bytes() for p in pictures}
    scores = sorted(rows(folder / "scores.csv"), key=str)
    return {**names(folder), **completions, "scores": scores}


def of_ablation(folder):
    return {**names(folder), "rows": rows(folder / "ablation.csv")}


def of_train(folder):
    training = kill_training.Training(folder, (), {})
    last = training.steps()[-1]
    arrays = {name: each.tobytes() for name, each in training.read(last).items()}
    return {**names(folder), **arrays, "last": last, "log": training.logged()}


def is_whole(path):
    """Whether a file can be read to its end; the last line of a log may be cut off."""
    readers = {
        ".png": picture_files.read,
        ".webp": lambda path: [
            frame.load() for frame in ImageSequence.Iterator(Image.open(path))
        ],
        ".json": lambda path: json.loads(path.read_text()),
        ".jsonl": lines,
        ".csv": lambda path: [len(row) for row in rows(path)],
        ".safetensors": safetensors.numpy.load_file,
        ".npz": lambda path: dict(np.load(path)),
        ".zip": lambda path: zipfile.ZipFile(path).testzip(),
    }
    try:
        readers.get(path.suffix, pathlib.Path.read_text)(path)
    except Exception:
        return False
    return path.suffix == ".jsonl" or path.stat().st_size > 0


def disturb(application, number, moment, *, records=0):
    """Starts, and sends a signal after a moment; None if it was over before.

    The moment begins when there are so many records of finished pictures.
    """
    with application.start() as process:
        while process.poll() is None and (
            len([*application.folder.glob(".finished/[!.]*")]) < records
        ):
            time.sleep(0.002)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        else:
            assert process.returncode == 0, process.stderr.read()
            return None
        sent = time.monotonic()
        _, err = process.communicate()
        seconds = time.monotonic() - sent
    found = visible(application.folder)
    damaged = [name for name, path in found.items() if not is_whole(path)]
    return Ended(process.returncode, err, seconds, damaged)


def half_written(folder):
    return [str(p.relative_to(folder)) for p in folder.rglob(".*.partial")]


def measure(application, number, moments, rng):
    """Returns a row of the table: what `moments` signals did."""
    expected, duration = application.undisturbed()
    codes, tracebacks, damaged, unequal, longest = collections.Counter(), 0, 0, 0, 0.0
    passed_over = []
    while codes.total() < moments:
        shutil.rmtree(application.folder)
        moment, records = rng.uniform(0.1, duration), 0
        if application.goes_on and codes.total() % 4:
            # Most of the time is that of starting and compiling.
            moment, records = rng.uniform(0.0, 0.5), int(rng.integers(1, BATCH))
        ended = disturb(application, number, moment, records=records)
        if ended is None:
            continue
        codes[ended.code] += 1
        tracebacks += "Traceback" in ended.err
        longest = max(longest, ended.seconds)
        found, out = application.finish()
        passed_over += [int(count) for count, _ in PASSED_OVER.findall(out)]
        left = half_written(application.folder)
        damaged += len(ended.damaged) + len(left)
        differing = [n for n in expected | found if found.get(n) != expected.get(n)]
        unequal += bool(differing)
        print(
            f"{application.name}, {number.name} {moment:.2f} s after {records} records:"
            f" code {ended.code}"
            f" in {ended.seconds:.2f} s, damaged {ended.damaged + left}, unequal "
            f"{differing}, passed over {passed_over[-1:]}",
            *([ended.err] if "Traceback" in ended.err else []),
            flush=True,
        )
    told = ", ".join(f"{code} x {count}" for code, count in sorted(codes.items()))
    row = application.name, number.name, moments, told, tracebacks
    told = f"{sum(passed_over)} in {sum(map(bool, passed_over))} runs"
    return *row, damaged, unequal, f"{longest:.1f}", told if passed_over else "-"


def inputs(folder):
    """Writes a tiny model, faces and labels."""
    model = weights.templates(TINY)
    model = weights.Model(TINY, 128, **drawn.variables(model), source={})
    weights.export(folder / "tiny", model, provenance={})
    (folder / "faces").mkdir()
    for i in range(3):
        picture_files.write(
            folder / "faces" / f"{i}.png", drawn.noise(64, 64, 3, seed=i)
        )
    shutil.copy(files.ASSETS / "portrait.png", folder / "faces")
    (folder / "batch").mkdir()
    for i in range(BATCH):
        picture_files.write(
            folder / "batch" / f"{i:02d}.png", drawn.noise(64, 64, 3, seed=i)
        )
    labels = {"landmark_model_sha256": "none", "size": 16, "crop": 128}
    for part, count in (("faces", 50), ("validation", 9)):
        np.save(folder / f"{part}.npy", drawn.noise(count, 16, 16, 3, seed=count))
        width = len(str(count))
        labels[f"{part}_names"] = np.array([f"{i:0{width}d}" for i in range(count)])
        points = np.random.default_rng(count).uniform(2, 14, (count, 68, 2))
        labels[part] = points.astype(np.float32)
    np.savez(folder / "labels.npz", **labels)


def applications(folder, run):
    """The applications, with flags that make each a matter of seconds."""
    search = (f"--checkpoint={folder}/tiny", *SEARCH)
    model = (*search, f"--images={folder}/faces")
    batch = (f"--images={folder}/batch", "--images_at_once=3", "--answers=2")
    batch += ("--chunk=5", "--patience=1")
    methods = ("--method=none: ", "--method=wide: --window=9", "--equal=steps")
    data = f"--data=array:{folder}/faces.npy"
    tiny = ("--image_size=16", "--width=0.05", "--batch_size=16", "--minutes=0.1")
    tiny += (f"--validation=array:{folder}/validation.npy", "--only=landmarks,ce")
    tiny += (f"--labels={folder}/labels.npz",)
    commands = {
        "inpaint": (*model, "--images_at_once=2"),
        "resume": (*search, *batch),
        "evaluate": (*model, "--methods=si,mean", "--masks=centre,left"),
        "ablation": (*model, *methods, "--seeds=2", "--blend=paste"),
        "train": (*kill_training.TINY, data, "--steps=150"),
        "release": (data, *tiny),
    }
    results = {"inpaint": of_inpaint, "evaluate": of_evaluate, "ablation": of_ablation}
    results |= {"train": of_train, "release": names, "resume": of_inpaint}
    found = {}
    for name, given in commands.items():
        out = folder / name
        places = {"train": [f"--run_dir={out}"]}
        places["release"] = [f"--run_dir={out}/run", f"--output_dir={out}/out"]
        where = places.get(name, [f"--output_dir={out}"])
        cache = f"--compilation_cache_dir={folder}/programs"
        flags = [*given, *where, cache]
        goes_on = ("--resume",) if name == "resume" else ()
        found[name] = Application(name, run, flags, out, results[name], goes_on)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--applications", default="inpaint,resume,evaluate,ablation,train,release"
    )
    parser.add_argument("--signals", default=",".join(SIGNALS))
    asked = parser.parse_args()
    # Or what a script starts in the background ignores it, and so do its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng, table = np.random.default_rng(asked.seed), [HEADINGS]
    with tempfile.TemporaryDirectory() as name, launcher.started(ENVIRONMENT) as run:
        folder = pathlib.Path(name)
        inputs(folder)
        known = applications(folder, run)
        for each in asked.applications.split(","):
            known[each].undisturbed()  # compiles
            for text in asked.signals.split(","):
                shutil.rmtree(known[each].folder)
                number = signal.Signals[text]
                table.append(measure(known[each], number, asked.moments, rng))
    print(reporting.table(table))


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main()
