"""Compares completions of the same images, paired, with 95 % intervals.

python -m experiments.compare --baseline=outputs/none --others=outputs/soft,outputs/net
"""

import json
import pathlib
from typing import Any

import numpy as np
from absl import flags

from experiments.common import application, statistics
from inpaint_jax.errors import InputError
from inpaint_jax.io import files

_BASELINE = flags.DEFINE_string("baseline", None, "An --output_dir of inpaint.")
_OTHERS = flags.DEFINE_list("others", [], "More of them, of the same images.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write; by default none.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the bootstrap.", 0)

SCORES = ("nme", "psnr", "psnr_hole", "ssim")


def main() -> int:
    """Prints a table; returns the exit code."""
    baseline = _read(application.given(_BASELINE))
    found: dict[str, Any] = {"images": len(baseline), "baseline": _means(baseline)}
    print(_line(_BASELINE.value, found["baseline"], {}))
    for name in _OTHERS.value:
        other = _read(name)
        if other.keys() != baseline.keys():
            raise InputError(
                f"{name}: has other images than {_BASELINE.value}; compare runs of the "
                "same ones."
            )
        rng = np.random.default_rng(_SEED.value)
        differences = {
            score: statistics.interval(
                _column(other, score) - _column(baseline, score), rng
            )
            for score in SCORES
            if _has(baseline, score) and _has(other, score)
        }
        found[name] = {"mean": _means(other), "difference": differences}
        print(_line(name, found[name]["mean"], differences))
    if _OUTPUT.value:
        files.write_json(_OUTPUT.value, found)
    return 0


def _read(folder):
    path = pathlib.Path(folder) / "report.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return {entry["image"]: entry for entry in report["images"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a report of experiments.inpaint ({error}); give its "
            "--output_dir."
        ) from error


def _has(entries, score):
    return all(score in entry for entry in entries.values())


def _column(entries, score):
    return np.array([entries[name][score] for name in sorted(entries)])


def _means(entries):
    return {s: float(_column(entries, s).mean()) for s in SCORES if _has(entries, s)}


def _line(name, means, differences):
    parts = []
    for score, mean in means.items():
        digits = 4 if score in ("nme", "ssim") else 2
        part = f"{score} {mean:.{digits}f}"
        if d := differences.get(score):
            part += (
                f" ({d['mean']:+.{digits}f} "
                f"[{d['low']:+.{digits}f}, {d['high']:+.{digits}f}])"
            )
        parts.append(part)
    return f"{name}: " + ", ".join(parts)


if __name__ == "__main__":
    application.run(main)
