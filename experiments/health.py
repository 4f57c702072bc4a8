"""Says whether a generator is fit to be searched: faces, all kinds of them, and new."""

import os
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from experiments import curves, health_page, reporting
from inpaint_jax import adversarial, data, distribution, files, pixels, weights
from inpaint_jax.errors import InputError
from inpaint_jax.landmarks import embedding, host

# What a generator must reach.
FACE_SHARE = 0.85
FRECHET_RATIO = 4.0
DIVERSITY_RATIO = 0.85
NEAREST_RATIO = 0.8
RECONSTRUCTION_PSNR, RECONSTRUCTION_NME = 22.0, 0.05

_REAL, _REFERENCE, _PAIRS, _BATCH = 500, 5000, 2000, 100
_CHARTS = (
    ("generator_loss", "discriminator_loss"),
    ("real_share", "fake_share"),
    ("reconstruction",),
)

_Faces = UInt8[np.ndarray, "count height width 3"]


def check(
    key: jax.Array,
    model: weights.Model,
    faces: data.Faces,
    known: data.Faces | None,
    *,
    run_dir: str | os.PathLike[str],
    log: str | os.PathLike[str] | None = None,
    reconstruction: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Scores a generator's samples against real faces, and writes what it found.

    Writes `health.json`; one page, `health.png`, without any real face on it;
    `neighbours.png`, the samples that are most like a real face, above those faces; and
    `redrawn.png`, real faces above what the generator makes of them.

    Args:
      key: of the samples and pairs.
      model: with the generator and the discriminator.
      faces: real faces that it was not trained on; the last 500 are used.
      known: faces that it was trained on, up to 5000 are used; without them the rest
        of `faces` takes their place, and memorisation is not judged.
      run_dir: folder to write to.
      log: `metrics.jsonl` of the training, to draw on the page.
      reconstruction: how well real faces are redrawn, for `health.json`: "psnr",
        "ssim", "nme"; its "pairs", uint8 `[rows, 2, H, W, 3]`, are left out there.

    Returns:
      What `health.json` holds; "verdict" are sentences, and "fit" is their sum.

    Raises:
      InputError: there are too few faces, or `log` is no log.
    """
    directory = files.make_directory(run_dir)
    charts = [] if log is None else _charts(log)
    real, reference = choose(faces, known)
    key_z, key_ends, key_pairs = jax.random.split(key, 3)
    z_dim = model.architecture.z_dim
    samples = _draw(model, adversarial.sample_z(key_z, len(reference), z_dim))
    scores = _scores(key_pairs, model, samples, real, reference)
    if reconstruction is not None:
        pairs = reconstruction["pairs"]
        rows = [list(pairs[:, 0]), list(pairs[:, 1])]
        files.write_picture(directory / "redrawn.png", reporting.sheet(rows, enlarge=2))
        scores["reconstruction"] = {
            name: value for name, value in reconstruction.items() if name != "pairs"
        }
    verdict, fit = judge(scores, trained_on_reference=known is not None)
    health = {"fit": fit, "verdict": verdict, **scores}
    health |= {"model": model.source, **reporting.environment()}
    between = _draw(model, _paths(key_ends, z_dim))
    page = health_page.draw(health, samples[:64], between, charts)
    files.write_picture(directory / "health.png", page)
    neighbours = _neighbours(samples[:_REAL], reference)
    files.write_picture(directory / "neighbours.png", neighbours)
    files.write_json(directory / "health.json", health)
    return health


def choose(faces: data.Faces, known: data.Faces | None) -> tuple[_Faces, _Faces]:
    """Chooses real faces, and the reference faces that they are compared with.

    Args:
      faces: as in `check`.
      known: as in `check`.

    Returns:
      The last 500 of `faces`, and up to 5000 of `known`, spread over all of it. Without
      `known` at most half of `faces` are real, and the others are the reference.

    Raises:
      InputError: there are fewer than 2 of one of them.
    """
    images = faces.images
    count = min(_REAL, len(images) if known else len(images) // 2)
    rest = known.images if known else images[: len(images) - count]
    if min(count, len(rest)) < 2:
        raise InputError(
            f"--data: {len(images)} pictures and --train_data: "
            f"{len(known.images) if known else 0} are too few to judge a generator; "
            "give hundreds of each, or of --data alone."
        )
    spread = np.linspace(0, len(rest) - 1, min(_REFERENCE, len(rest)))
    return images[len(images) - count :], rest[np.round(spread).astype(int)]


def judge(
    scores: dict[str, Any], *, trained_on_reference: bool
) -> tuple[list[str], bool]:
    """Puts scores into words.

    Args:
      scores: as `health.json` has them.
      trained_on_reference: whether the reference faces are those of the training;
        otherwise being like them is no memorisation.

    Returns:
      A sentence for each rule with the figure and the bound, and whether all are kept.
    """
    frechet = scores["frechet_face"] / _positive(scores["frechet_face_floor"])
    diversity = scores["diversity"] / _positive(scores["diversity_real"])
    nearest = scores["nearest"]
    distance = nearest["samples_mean"] / _positive(nearest["real_mean"])
    rules = [
        (
            scores["face_share"] >= FACE_SHARE,
            f"exactly one face in {scores['face_share']:.1%} of the samples (at least "
            f"{FACE_SHARE:.0%}; real pictures {scores['face_share_real']:.1%})",
        ),
        (
            frechet <= FRECHET_RATIO,
            f"Frechet distance of face embeddings {scores['frechet_face']:.4f}, "
            f"{frechet:.2f} times what real faces have (at most {FRECHET_RATIO:g})",
        ),
        (
            diversity >= DIVERSITY_RATIO,
            f"diversity {scores['diversity']:.3f}, {diversity:.2f} of the real "
            f"pictures' (at least {DIVERSITY_RATIO:g})",
        ),
    ]
    if trained_on_reference:
        rule = (
            distance >= NEAREST_RATIO,
            f"distance to the nearest training face {nearest['samples_mean']:.3f}, "
            f"{distance:.2f} of an unseen real face's (at least {NEAREST_RATIO:g}; "
            "less would be memorisation)",
        )
        rules.append(rule)
    if "reconstruction" in scores:
        redrawn = scores["reconstruction"]
        rule = (
            redrawn["psnr"] >= RECONSTRUCTION_PSNR
            and redrawn["nme"] <= RECONSTRUCTION_NME,
            f"unseen faces redrawn at {redrawn['psnr']:.1f} dB (at least "
            f"{RECONSTRUCTION_PSNR:g}) with landmarks {redrawn['nme']:.3f} off (at "
            f"most {RECONSTRUCTION_NME:g} of the distance between the eyes)",
        )
        rules.append(rule)
    verdict = [f"{'passed' if kept else 'FAILED'}: {words}." for kept, words in rules]
    if not trained_on_reference:
        verdict.append("Memorisation was not judged: that needs --train_data.")
    return verdict, all(kept for kept, _ in rules)


def _scores(key, model, samples, real, reference):
    some = samples[:_REAL]
    detector = host.Detector()
    features = embedding.embed(
        np.concatenate([real, reference, samples]), crop=model.crop
    )
    of_real, of_reference, of_samples = np.split(
        features, [len(real), len(real) + len(reference)]
    )
    _, gap = distribution.nearest(some, reference)
    _, gap_real = distribution.nearest(real, reference)
    discriminate = jax.jit(lambda x: model.discriminate(pixels.from_bytes(x)))
    return {
        "face_share": _face_share(detector, some),
        "face_share_real": _face_share(detector, real),
        "frechet_face": distribution.frechet(of_real, of_samples),
        "frechet_face_floor": distribution.frechet(of_real, of_reference),
        "diversity": float(distribution.diversity(key, samples, pairs=_PAIRS)),
        "diversity_real": float(distribution.diversity(key, real, pairs=_PAIRS)),
        "nearest": {
            "samples_mean": float(np.mean(gap)),
            "real_mean": float(np.mean(gap_real)),
            "samples_nearer_than_1_percent_of_real": float(
                np.mean(np.asarray(gap) < np.quantile(gap_real, 0.01))
            ),
        },
        "discriminator": {
            "accuracy_real": float(np.mean(_batched(discriminate, real) > 0)),
            "accuracy_samples": float(np.mean(_batched(discriminate, some) <= 0)),
        },
        "counts": {
            "samples": len(samples),
            "samples_detected_and_compared": len(some),
            "real": len(real),
            "reference": len(reference),
            "pairs": _PAIRS,
        },
    }


def _draw(model, z) -> _Faces:
    return _batched(jax.jit(lambda z: pixels.to_bytes(model.generate(z))), z)


def _batched(function, rows):
    starts = range(0, len(rows), _BATCH)
    return np.concatenate([np.asarray(function(rows[i : i + _BATCH])) for i in starts])


def _paths(key, z_dim):
    """Four straight ways of 8 steps through latent space, one below the other."""
    ends = np.asarray(adversarial.sample_z(key, 8, z_dim)).reshape(4, 2, 1, z_dim)
    steps = np.linspace(0.0, 1.0, 8, dtype=np.float32)[:, None]
    return ((1.0 - steps) * ends[:, 0] + steps * ends[:, 1]).reshape(-1, z_dim)


def _face_share(detector, images):
    return float(np.mean([len(detector.boxes(image)) == 1 for image in images]))


def _neighbours(samples, reference):
    index, gap = map(np.asarray, distribution.nearest(samples, reference))
    closest = np.argsort(gap)[:8]
    rows = [list(samples[closest]), list(reference[index[closest]])]
    return reporting.sheet(rows, enlarge=2)


def _charts(log):
    found = [curves.read(log, names=names) for names in _CHARTS]
    return [chart for chart in found if chart]


def _positive(x):
    # Two equal sets have no distance; what is divided by it is then huge, or nothing.
    return max(x, np.finfo(np.float64).tiny)
