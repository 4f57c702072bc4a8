"""Runs one reported case: its inputs, the applications on them, and what is checked."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageOps

ROOT = pathlib.Path(__file__).parents[2]
SMOKE = f"--flagfile={ROOT}/experiments/flags/smoke.flags"
SHORTEST = (
    *(SMOKE, "--landmark_term=none", "--lambda_structure=0"),
    *("--restarts=1", "--iterations=1", "--chunk=1"),
)
"""Flags of a search that is over at once, where only its input and output matter."""

Picture = UInt8[np.ndarray, "height width 3"]
Hole = Bool[np.ndarray, "height width"]
Box = tuple[int, int, int, int]

_LONGEST = 3600  # seconds of one command
# Runs a module, and prints the most memory, in MB, that it had at a time.
_MEASURED = """
import resource, subprocess, sys
code = subprocess.run([sys.executable, "-P", "-m", *sys.argv[1:]]).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 // 10**6
print("peak of memory:", peak, flush=True)
raise SystemExit(code)
"""


class Check(NamedTuple):
    """One thing that must come out, or must not.

    Attributes:
      holds: whether it does.
      seen: what was seen.
    """

    holds: bool
    seen: str


Checks = Iterator[Check]


class NotRun(Exception):
    """A case cannot be judged here; its text says why."""


class Ended(NamedTuple):
    """How a command ended.

    Attributes:
      code: its exit code.
      output: what it printed, errors included.
      seconds: how long it took.
    """

    code: int
    output: str
    seconds: float

    @property
    def error(self) -> str:
        """The last line of an error, or "" without one."""
        found = [x for x in self.output.splitlines() if x.startswith("error: ")]
        return found[-1] if found else ""

    def line(self, *words: str) -> str:
        """Returns the first printed line with all these words; "" if there is none."""
        for line in self.output.splitlines():
            if all(word in line for word in words):
                return line
        return ""

    def done(self, code: int = 0) -> Check:
        """Checks the exit code, and that there is no traceback."""
        holds = self.code == code and "Traceback" not in self.output
        return Check(
            holds, f"exit {self.code}" + (f", {self.error}" * bool(self.error))
        )

    def refused(self, *words: str) -> Check:
        """Checks that it ended with code 2 and one sentence that has all the words."""
        lines = [x for x in self.output.splitlines() if x.startswith("error: ")]
        holds = self.code == 2 and len(lines) == 1 and "Traceback" not in self.output
        holds = holds and all(word in lines[0] for word in words)
        return Check(holds, f"exit {self.code}, {self.error or 'no error'}")


@dataclasses.dataclass(frozen=True)
class Case:
    """A case and where it runs.

    Attributes:
      source: the folder that describes it; nothing is written there.
      here: the folder in which it runs, a copy.
      data: folder of the faces that its pictures are made of.
      programs: folder of compiled programs, which all cases share.
      torch: an interpreter that has PyTorch; None without one.
      two_eyes: how many results of 07 have two eyes, as somebody counted who looked
        at them; None if nobody did.
      forked: runs a module in a process that has imported it already, see
        `tests.experiments.launcher`; None to start each as a user does.
    """

    source: pathlib.Path
    here: pathlib.Path
    data: pathlib.Path
    programs: pathlib.Path
    torch: str | None = None
    two_eyes: int | None = None
    forked: Callable[..., subprocess.CompletedProcess[str]] | None = None

    def copy(self) -> None:
        """Copies the scripts of the case to where it runs."""
        shutil.rmtree(self.here, ignore_errors=True)
        self.here.mkdir(parents=True)
        for path in self.source.iterdir():
            if path.is_file():
                shutil.copyfile(path, self.here / path.name)

    def make(self, script: str = "make.py", *, torch: bool = False) -> None:
        """Runs the script that makes the inputs.

        Raises:
          NotRun: it needs PyTorch and there is none.
        """
        if torch and self.torch is None:
            raise NotRun("needs an interpreter with PyTorch, --torch=PATH")
        environment = {
            **os.environ,
            "DATA": str(self.data),
            "PYTHONPATH": str(self.source.parent),
        }
        subprocess.run(
            [(torch and self.torch) or sys.executable, script],
            cwd=self.here,
            env=environment,
            check=True,
        )

    def run(self, module: str, *flags: str, **environment: str) -> Ended:
        """Runs an application as a user does, in the folder of the case.

        Args:
          module: its name, as `experiments.inpaint`.
          *flags: its flags; paths are relative to the case.
          **environment: variables that differ from those of this process.
        """
        if self.forked is None or environment:
            return self.python("-m", module, *flags, **environment)
        began = time.monotonic()
        done = self.forked("tests.reported.inside", self.here, module, *flags)
        output = done.stdout + done.stderr
        return Ended(done.returncode, output, time.monotonic() - began)

    def python(self, *arguments: str, **environment: str) -> Ended:
        """Runs Python as `run` does, with other arguments."""
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-P", *arguments],
            cwd=self.here,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LONGEST,
        )
        return Ended(done.returncode, done.stdout, time.monotonic() - began)

    def measured(self, module: str, *flags: str) -> tuple[Ended, int]:
        """Runs an application, and returns the most memory, in MB, that it had too."""
        ended = self.python("-c", _MEASURED, module, *flags)
        return ended, int(ended.line("peak of memory: ").rpartition(" ")[2])

    def inpaint(self, *flags: str, **environment: str) -> Ended:
        """Runs `experiments.inpaint`, with the programs that are compiled already."""
        kept = f"--compilation_cache_dir={self.programs}"
        return self.run("experiments.inpaint", *flags, kept, **environment)

    def picture(self, name: str) -> Picture:
        """Reads a picture as RGB and upright, without transparency."""
        with Image.open(self.here / name) as opened:
            upright = ImageOps.exif_transpose(opened)
            return np.asarray(upright.convert("RGB"))

    def report(self, folder: str) -> dict[str, Any]:
        """Reads `report.json` of a folder of results."""
        return json.loads((self.here / folder / "report.json").read_text())

    def wrote(self, name: str) -> bool:
        """Returns whether there is such a file."""
        return (self.here / name).is_file()


def box_hole(shape: tuple[int, ...], box: Box) -> Hole:
    """Returns a hole from a box whose right and lower edges belong to it."""
    hole = np.zeros(shape[:2], bool)
    left, top, right, bottom = box
    hole[top : bottom + 1, left : right + 1] = True
    return hole


def put_back(
    before: Picture, after: Picture, hole: Hole, *, least: float = 0.9, grown: int = 0
) -> Check:
    """Checks that a result is the picture, but for the hole, in which it is another.

    Args:
      before: the picture.
      after: the result.
      hole: True in the hole.
      least: share of the hole that must have changed.
      grown: pixels by which the hole may be larger, as a noisy mask makes it.
    """
    height, width = after.shape[:2]
    if before.shape != after.shape:
        return Check(False, f"{width} x {height}, not as large as the picture")
    changed = (before != after).any(axis=-1)
    share = float(changed[hole].mean())
    allowed = _grown(hole, grown) if grown else hole
    outside = int(np.count_nonzero(changed & ~allowed))
    return Check(
        outside == 0 and share >= least,
        f"{width} x {height}, {share:.0%} of the hole filled, {outside} pixels changed "
        "outside",
    )


def _grown(hole: Hole, by: int) -> Hole:
    grown = np.zeros_like(hole)
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    grown[
        max(rows[0] - by, 0) : rows[-1] + by + 1,
        max(columns[0] - by, 0) : columns[-1] + by + 1,
    ] = True
    return grown


def psnr(before: Picture, after: Picture, hole: Hole) -> float:
    """Returns the PSNR of the hole in dB."""
    error = before[hole].astype(float) - after[hole]
    return float(20 * np.log10(255) - 10 * np.log10(np.mean(error**2)))
