"""The figures by which a generator is judged, each with its 95 % interval."""

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from experiments.common import statistics, stopping
from inpaint_jax.evaluation import distribution
from inpaint_jax.images import pixels
from inpaint_jax.landmarks import dlib_host, embedding
from inpaint_jax.pretrained import weights

_PAIRS, _BATCH = 2000, 100
# Two samples are copies of one another if their dissimilarity is less than this
# fraction of the mean dissimilarity of real faces. Of real faces no pair in thousands
# is.
_COPY = 0.25

_Faces = UInt8[np.ndarray, "count height width 3"]
_Kept = Bool[np.ndarray, " count"]


class Counts(NamedTuple):
    """Numbers of faces by which a generator is judged.

    Attributes:
      real: faces that it was not trained on.
      reference: faces that the real ones and the samples are compared with; there are
        as many samples.
    """

    real: int
    reference: int


FULL = Counts(500, 5000)
# Real faces must outnumber the 128 dimensions of an embedding, or their covariance is
# singular and hides what the samples lack. The `frechet_ratio` of the release is 5.2
# with `FULL`, but 3.0 with 60 real faces, 4.5 with 100 or 130, and 4.1 to 5.1 with 200
# to 400 (with 300 to 600 reference faces; means of 3 draws). With fewer than 200 faces
# the interval of a proportion of 85 % is also wider than 5 %. With a thousand reference
# faces the floor depends on the real faces more than on them.
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
      samples: generated from random z.
      real: faces that it was not trained on.
      reference: faces that it was trained on, or more that it was not.

    Returns:
      The figures of `health.json`; "value", "low" and "high" are a figure and its
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

    The distance of two samples of one distribution, of n and m rows, is proportional to
    about 1/n + 1/m. With few faces the floor is therefore high, and even a bad
    generator has a small ratio. The difference of distance and floor hardly depends on
    the numbers of faces. So the ratio is computed as it would be with as many faces as
    `FULL`, where it is distance / floor.

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
    found = []
    for first in range(0, len(rows), _BATCH):
        stopping.check()
        found.append(np.asarray(function(rows[first : first + _BATCH])))
    return np.concatenate(found)


def _variety(key: jax.Array, samples: _Faces, real: _Faces) -> dict[str, Any]:
    """The mean dissimilarity of samples and of real faces, and the samples' copies."""
    pairs, unlike = zip(
        *(_compared(key, images) for images in (samples, real)), strict=True
    )

    def ratio(*kept: _Kept) -> float:
        # Pairs that share an image are dependent, so an image is left out with all of
        # its pairs.
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
    """Random pairs of images, and the dissimilarity of each."""
    pairs = distribution.random_pairs(key, len(images), pairs=_PAIRS)
    unlike = distribution.dissimilarity(images, pairs)
    return np.asarray(pairs), np.asarray(unlike, np.float64)


def _nearest(samples: _Faces, real: _Faces, reference: _Faces) -> dict[str, Any]:
    """The distance of samples and of real faces from the nearest reference face."""
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
