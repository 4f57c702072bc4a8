"""An ablation: methods over the same faces, masks and seeds.

Completions whose rows are there are not repeated, see `ablation_units`.
"""

import functools
import pathlib
from typing import Any

import numpy as np

from experiments.common import (
    aligned_pictures,
    cases,
    identity,
    progress,
    protocols,
    reporting,
)
from experiments.evaluation import (
    ablation_methods,
    ablation_units,
    kept_completions,
    scoring,
)
from experiments.evaluation.ablation_pairs import BASELINE
from experiments.search import budgets

Plans = dict[str, budgets.Plan]
"""{method: what it may spend}"""

_ONE_PASS: budgets.Plan = {
    "restarts": 0,
    "iterations": 0,
    "step_seconds": 0.0,
    "planned_seconds": 0.0,
}


def agree(
    output: pathlib.Path,
    methods: ablation_methods.Methods,
    faces: aligned_pictures.AlignedPictures,
    units: ablation_units.Units,
    *,
    source: dict[str, Any],
    at_once: int,
    equal: str,
) -> Plans:
    """Finds the steps of each method, or takes those of an earlier start.

    Args:
      output: folder of the results.
      methods: see `ablation_methods`.
      faces: the pictures.
      units: the masks and seeds.
      source: of the networks.
      at_once: faces that are searched for as one program.
      equal: what all methods get as much of, see `budgets.measure`.

    Raises:
      InputError: the folder holds a run of another protocol.
    """
    environment = reporting.environment()
    # All that decides the results, apart from the steps, which are measured.
    protocol = {
        "version": identity.of_code(),
        "packages": environment["versions"],
        "masks": [hole.name for hole in units.holes],
        "equal": equal,
        "images_at_once": at_once,
        "model": identity.of_model(source),
        "methods": {name: each.described for name, each in methods.items()},
        # Of these the time depends, and so the steps.
        "device": environment["device"],
        "cores": environment["cores"],
    }
    measure = functools.partial(
        _measured, methods, faces, units, at_once=at_once, equal=equal
    )
    path, results = output / "protocol.json", output / ablation_units.FILE
    shared: Any = {"environment": environment, "measure": measure, "results": results}
    kind = dict[str, budgets.Plan]
    plans = protocols.agree(path, protocol, kind=kind, **shared)
    protocols.extend(output / "pictures.json", _pictures(faces), results=results)
    return plans


def run(
    methods: ablation_methods.Methods,
    plans: Plans,
    faces: aligned_pictures.AlignedPictures,
    units: ablation_units.Units,
) -> None:
    """Completes all units that are missing.

    Args:
      methods: see `ablation_methods`.
      plans: from `agree`.
      faces: the pictures.
      units: where the rows go.
    """
    originals = [case.picture for case in faces.read(units.holes[0], seed=0)]
    truth = scoring.truth(np.stack(originals), crop=faces.crop)
    kept_completions.write(units.originals, faces.names, truth.images, truth.embeddings)
    for name, method in methods.items():
        complete = None
        for hole, seed, missing in units.missing(name, faces.names, size=faces.size):
            inputs = [faces.read(hole, seed=seed)[i] for i in missing]
            if complete is None:
                complete = method.ready(plans[name]["iterations"], inputs)
            scores, *kept = _scores(complete, inputs, truth.take(missing))
            progress.say(
                f"{name}, {hole.name}, seed {seed}: "
                f"{np.mean(scores['seconds']):.2f} s a face, "
                f"hole {np.mean(scores['psnr_hole']):.2f} dB"
            )
            units.add(name, hole, seed, scores, *kept)


def _measured(
    methods: ablation_methods.Methods,
    faces: aligned_pictures.AlignedPictures,
    units: ablation_units.Units,
    *,
    at_once: int,
    equal: str,
) -> Plans:
    plans = budgets.measure(
        ablation_methods.searches(methods),
        faces.read(units.holes[0], seed=0)[:at_once],
        baseline=BASELINE,
        at_once=at_once,
        equal=equal,
    )
    return {name: plans.get(name, _ONE_PASS) for name in methods}


def _pictures(faces: aligned_pictures.AlignedPictures) -> dict[str, dict[str, str]]:
    hashes = map(identity.of_file, faces.paths)
    return {"pictures": dict(zip(faces.names, hashes, strict=True))}


def _scores(
    complete: ablation_methods.Complete, inputs: list[cases.Case], truth: scoring.Truth
) -> tuple[dict[str, list[Any]], scoring.Pictures, kept_completions.Embeddings]:
    """The columns, pictures and embeddings of one unit."""
    done = complete(inputs)
    mask = np.concatenate([case.mask for case in inputs])
    columns, embeddings = scoring.score(done.images, truth, mask)
    columns |= {c: getattr(done, c) for c in ("loss", "iterations", "seconds")}
    names = {"image": [case.name for case in inputs]}
    columns = names | {name: values.tolist() for name, values in columns.items()}
    return columns, done.images, embeddings
