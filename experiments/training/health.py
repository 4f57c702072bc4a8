"""Judges whether a generator is fit for searching: real, diverse and new faces."""

import os
import pathlib
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from experiments.common import curves, reporting
from experiments.training import health_page, health_scores, health_verdict
from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.evaluation import distribution
from inpaint_jax.images import pixels
from inpaint_jax.io import data, files, picture_files
from inpaint_jax.pretrained import weights
from inpaint_jax.training import train_gan

# What the curves of a training show: {label of the axis: names in the log}.
_CURVES = {
    "loss": ("generator_loss", "discriminator_loss"),
    "fraction": ("real_accuracy", "fooling_rate"),
    "error": ("reconstruction",),
}

_Faces = UInt8[np.ndarray, "count height width 3"]
_Page = UInt8[np.ndarray, "height width 3"]


def check(
    key: jax.Array,
    model: weights.Model,
    faces: data.Faces,
    known: data.Faces | None,
    *,
    run_dir: str | os.PathLike[str],
    log: str | os.PathLike[str] | None = None,
    reconstruction: dict[str, Any] | None = None,
    least: health_scores.Counts = health_scores.LEAST,
) -> dict[str, Any]:
    """Scores a generator's samples against real faces, and writes what it found.

    Writes `health.json`, `health.png` (without real faces), `neighbours.png` (samples
    above the most similar real faces), `reconstructions.png` (real faces above theirs).

    Args:
      key: of the samples and pairs.
      model: with the generator and the discriminator.
      faces: real faces that it was not trained on; the last 500 are used.
      known: faces that it was trained on, to judge memorisation; see `choose`.
      run_dir: folder to write to.
      log: `metrics.jsonl` of the training, whose curves are drawn on the page.
      reconstruction: what `reconstruction.score` returned, if it was called.
      least: the smallest numbers of faces that a generator is judged by.

    Returns:
      The content of `health.json`; "verdict" is a list of sentences.

    Raises:
      InputError: there are too few faces, or `log` is no log.
    """
    directory = files.make_directory(run_dir)
    panels = {} if log is None else _panels(log)
    real, reference = choose(faces, known, least=least)
    key_z, key_ends, key_pairs = jax.random.split(key, 3)
    samples = _samples(key_z, model, len(reference))
    scores = health_scores.measure(key_pairs, model, samples, real, reference)
    pictures = {}
    if reconstruction is not None:
        scores["reconstruction"] = figures = dict(reconstruction)
        pictures["reconstructions"] = _pairs(figures.pop("pairs"))
    verdict, fit = health_verdict.judge(scores, trained_on_reference=known is not None)
    health = {"fit": fit, "verdict": verdict, **scores, "model": model.source}
    health |= reporting.environment()
    between = _draw(model, _paths(key_ends, model.architecture.z_dim))
    pictures["health"] = health_page.draw(health, samples[:64], between, panels)
    pictures["neighbours"] = _neighbours(samples, reference)
    _write(directory, health, pictures)
    return health


def _write(
    directory: pathlib.Path, health: dict[str, Any], pictures: dict[str, _Page]
) -> None:
    for name, picture in pictures.items():
        picture_files.write(directory / f"{name}.png", picture)
    files.write_json(directory / "health.json", health)


def choose(
    faces: data.Faces,
    known: data.Faces | None,
    *,
    least: health_scores.Counts = health_scores.LEAST,
    most: health_scores.Counts = health_scores.FULL,
) -> tuple[_Faces, _Faces]:
    """Chooses real faces, and the reference faces that they are compared with.

    Args:
      faces: as in `check`.
      known: as in `check`; up to 5000 are used.
      least: as in `check`.
      most: how many are used.

    Returns:
      The real faces are the last of `faces`. The reference are faces spread evenly over
      `known`. Without `known` the reference are the other `faces`: at most half of
      `faces` are real ones, fewer if the reference needs more.

    Raises:
      InputError: there are too few of one of them.
    """
    images = faces.images
    if known:
        count, rest = min(most.real, len(images)), known.images
    else:
        spared = max(least.real, len(images) - least.reference)
        count = min(most.real, len(images) // 2, spared)
        rest = images[: len(images) - count]
    if count < least.real or len(rest) < least.reference:
        raise InputError(
            f"--data: {len(images)} pictures and --train_data: "
            f"{len(known.images) if known else 0} are too few to judge a generator; "
            f"give at least {least.real} and {least.reference}, or "
            f"{least.real + least.reference} in --data alone."
        )
    spread = np.linspace(0, len(rest) - 1, min(most.reference, len(rest)))
    return images[len(images) - count :], rest[np.round(spread).astype(int)]


def _samples(key: jax.Array, model: weights.Model, count: int) -> _Faces:
    z_dim = model.architecture.z_dim
    return _draw(model, train_gan.sample_z(key, count, z_dim))


def _draw(model: weights.Model, z: types.Latent | np.ndarray) -> _Faces:
    return health_scores.batched(
        jax.jit(lambda z: pixels.to_bytes(model.generate(z))), z
    )


def _paths(key: jax.Array, z_dim: int) -> Float[np.ndarray, "32 z_dim"]:
    """Four straight lines of 8 points through latent space, one after the other."""
    ends = np.asarray(train_gan.sample_z(key, 8, z_dim)).reshape(4, 2, 1, z_dim)
    steps = np.linspace(0.0, 1.0, 8, dtype=np.float32)[:, None]
    return ((1.0 - steps) * ends[:, 0] + steps * ends[:, 1]).reshape(-1, z_dim)


def _neighbours(samples: _Faces, reference: _Faces) -> _Page:
    samples = samples[: health_scores.FULL.real]
    index, gap = map(np.asarray, distribution.nearest(samples, reference))
    closest = np.argsort(gap)[:8]
    rows = [list(samples[closest]), list(reference[index[closest]])]
    return reporting.sheet(rows, enlarge=2)


def _pairs(pairs: UInt8[np.ndarray, "rows 2 height width 3"]) -> _Page:
    return reporting.sheet([list(pairs[:, 0]), list(pairs[:, 1])], enlarge=2)


def _panels(log: str | os.PathLike[str]) -> dict[str, dict[str, curves.Curve]]:
    found = {label: curves.read(log, names=names) for label, names in _CURVES.items()}
    return {label: panel for label, panel in found.items() if panel}
