"""What the health of a generator is judged by, each figure with a 95 % interval."""

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from experiments.common import statistics
from inpaint_jax.evaluation import distribution
from inpaint_jax.images import pixels
from inpaint_jax.landmarks import dlib_host, embedding
from inpaint_jax.pretrained import weights

_PAIRS, _BATCH = 2000, 100
# Pictures are copies of one another where they are less than this share as unlike as
# two real faces are on average. Of real faces no pair in thousands is.
_COPY = 0.25

_Faces = UInt8[np.ndarray, "count height width 3"]
_Kept = Bool[np.ndarray, " count"]


class Counts(NamedTuple):
    """How many faces a generator is judged by.

    Attributes:
      real: faces that it was not trained on.
      reference: faces that those and the samples are compared with, and as many
        samples.
    """

    real: int
    reference: int


FULL = Counts(500, 5000)
# Real faces must outnumber the 128 dimensions of an embedding, or their covariance is
# singular and hides what the samples lack: of the release, 5.2 times the floor away
# with `FULL`, `frechet_ratio` says 3.0 by 60 real faces, 4.5 by 100 or 130, and 4.1 to
# 5.1 by 200 to 400 (with 300 to 600 others; means of 3 draws). By fewer than 200 a
# share of 85 % is not known to 5 % either; a thousand others make a floor that is that
# of the real faces, and not their own.
LEAST = Counts(200, 1000)


def measure(
    key: jax.Array,
    model: weights.Model,
    samples: _Faces,
    real: _Faces,
    reference: _Faces,
) -> dict[str, Any]:
    """Scores samples against real faces.

    Args:
      key: of the pairs that are compared.
      model: with the discriminator.
      samples: what the generator draws from random z.
      real: faces that it was not trained on.
      reference: faces that it was trained on, or more that it was not.

    Returns:
      What `health.json` holds of them; "value", "low" and "high" are a figure and its
      interval.
    """
    some = samples[: FULL.real]
    detector = dlib_host.Detector()
    features = embedding.embed(
        np.concatenate([real, reference, samples]), crop=model.crop
    )
    of_real, of_reference, of_samples = np.split(
        features, [len(real), len(real) + len(reference)]
    )
    discriminate = jax.jit(lambda x: model.discriminate(pixels.from_bytes(x)))
    return {
        "face_fraction": _face_fraction(detector, some),
        "face_fraction_real": _face_fraction(detector, real),
        "frechet_face": distribution.frechet(of_real, of_samples),
        "frechet_face_floor": distribution.frechet(of_real, of_reference),
        "frechet_ratio": frechet_ratio(of_real, of_reference, of_samples),
        **_variety(key, samples, real),
        "nearest": _nearest(some, real, reference),
        "discriminator": {
            "accuracy_real": statistics.proportion(batched(discriminate, real) > 0),
            "accuracy_samples": statistics.proportion(batched(discriminate, some) <= 0),
        },
        "counts": {
            "samples": len(samples),
            "samples_detected_and_compared": len(some),
            "real": len(real),
            "reference": len(reference),
            "pairs": _PAIRS,
        },
    }


def frechet_ratio(
    real: Float[np.ndarray, "count dimensions"],
    reference: Float[np.ndarray, "reference_count dimensions"],
    samples: Float[np.ndarray, "reference_count dimensions"],
) -> dict[str, float]:
    """Compares a Frechet distance with its floor, the distance of real faces.

    Two samples of one distribution are apart by about 1/n + 1/m of n and m rows, so
    that few faces make a high floor, of which even blobs are no great multiple. What
    the distance has above the floor hardly depends on the counts; so the ratio is told
    as it would be with `FULL`, where it is the plain one.

    Args:
      real: embeddings of the real faces, one a row.
      reference: the same of the others.
      samples: the same of the samples.

    Returns:
      1 + (distance - floor) / (floor with as many faces as `FULL`), with the interval
      of a jackknife over the rows of all three. NaN if there is no distance.
    """

    def ratio(real_kept: _Kept, reference_kept: _Kept, samples_kept: _Kept) -> float:
        kept = real[real_kept]
        floor = distribution.frechet(kept, reference[reference_kept])
        distance = distribution.frechet(kept, samples[samples_kept])
        few = 1.0 / len(kept) + 1.0 / int(np.sum(reference_kept))
        full = 1.0 / FULL.real + 1.0 / FULL.reference
        return 1.0 + _over(distance - floor, floor) * few / full

    return statistics.jackknife(ratio, [len(real), len(reference), len(samples)])


def batched(function: Any, rows: Any) -> np.ndarray:
    """Calls a function of many rows for some of them at a time."""
    starts = range(0, len(rows), _BATCH)
    return np.concatenate([np.asarray(function(rows[i : i + _BATCH])) for i in starts])


def _variety(key: jax.Array, samples: _Faces, real: _Faces) -> dict[str, Any]:
    """How unlike samples are, beside real faces, and how many of them are copies."""
    pairs, unlike = zip(
        *(_compared(key, images) for images in (samples, real)), strict=True
    )

    def ratio(*kept: _Kept) -> float:
        # Without an image go all of its pairs: those with it depend on each other.
        means = [
            _mean(values[np.all(some[chosen], axis=1)])
            for some, chosen, values in zip(kept, pairs, unlike, strict=True)
        ]
        return _over(*means)

    of_samples, of_real = map(_mean, unlike)
    return {
        "diversity": of_samples,
        "diversity_real": of_real,
        "diversity_ratio": statistics.jackknife(ratio, [len(samples), len(real)]),
        "copies": _mean(unlike[0] < _COPY * of_real),
    }


def _compared(
    key: jax.Array, images: _Faces
) -> tuple[Int[np.ndarray, "pairs 2"], Float[np.ndarray, " pairs"]]:
    """Pairs of images, and how unlike they are."""
    pairs = distribution.random_pairs(key, len(images), pairs=_PAIRS)
    unlike = distribution.dissimilarity(images, pairs)
    return np.asarray(pairs), np.asarray(unlike, np.float64)


def _nearest(samples: _Faces, real: _Faces, reference: _Faces) -> dict[str, Any]:
    """How far samples are from the reference, beside real faces."""
    gap, gap_real = (
        np.asarray(distribution.nearest(images, reference)[1], np.float64)
        for images in (samples, real)
    )
    return {
        "samples_mean": _mean(gap),
        "real_mean": _mean(gap_real),
        "ratio": statistics.jackknife(
            lambda some, others: _over(_mean(gap[some]), _mean(gap_real[others])),
            [len(gap), len(gap_real)],
        ),
        "samples_nearer_than_1_percent_of_real": _mean(
            gap < np.quantile(gap_real, 0.01)
        ),
        "real_in_reference": _mean(gap_real == 0.0),
    }


def _face_fraction(detector: dlib_host.Detector, images: _Faces) -> dict[str, float]:
    one = [len(detector.boxes(image)) == 1 for image in images]
    return statistics.proportion(np.array(one, bool))


def _mean(values: Shaped[np.ndarray, " count"]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _over(x: float, y: float) -> float:
    return x / y if y > 0.0 else math.nan
