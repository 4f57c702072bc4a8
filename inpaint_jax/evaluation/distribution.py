"""Scores of a set of images: its distribution, its diversity, its nearest neighbours.

A generator's samples are compared with real images as a set; such a score says nothing
about a single image.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from inpaint_jax import types
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import pixels

_PAIRS_AT_ONCE = 64


def frechet(
    features: Float[np.ndarray, "count dimensions"],
    reference: Float[np.ndarray, "reference_count dimensions"],
) -> float:
    """Computes the Frechet distance between Gaussian fits to two sets of features.

    Eq. (6), Heusel et al. 2017. It falls with the number of rows, so only distances
    between sets of the same sizes can be compared. It is computed on the host in
    float64, which the square root of a covariance needs.

    Args:
      features: one row for each image, `[count, dimensions]`, at least 2 rows.
      reference: one row for each image of the reference set, at least 2 rows.

    Returns:
      |m - m'|^2 + trace(C + C' - 2 (C C')^(1/2)), at least 0; NaN if a feature is not
      finite.
    """
    if not (np.all(np.isfinite(features)) and np.all(np.isfinite(reference))):
        return math.nan
    mean, covariance = _gaussian(features)
    reference_mean, reference_covariance = _gaussian(reference)
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    # C^(1/2) C' C^(1/2) has the eigenvalues of C C', and is symmetric, so that none of
    # them can come out complex when the covariances are singular.
    spectrum = np.linalg.eigvalsh(root @ reference_covariance @ root)
    overlap = np.sum(np.sqrt(np.maximum(spectrum, 0.0)))
    spread = np.trace(covariance) + np.trace(reference_covariance) - 2.0 * overlap
    return max(0.0, float(np.sum((mean - reference_mean) ** 2) + spread))


def diversity(
    key: types.PRNGKey, images: types.ImageBytes, *, pairs: int
) -> Float[Array, ""]:
    """Estimates the mean of 1 - SSIM over pairs of images: 0 if all are the same.

    Odena et al. 2017, section 4.2, do so with MS-SSIM.

    Args:
      key: random key of the pairs.
      images: RGB bytes, `[count, H, W, 3]`, at least 2.
      pairs: number of random pairs; an image is never paired with itself.

    Returns:
      A scalar from 0 to 2.
    """
    chosen = random_pairs(key, len(images), pairs=pairs)
    return jnp.mean(dissimilarity(images, chosen))


def random_pairs(
    key: types.PRNGKey, count: int, *, pairs: int
) -> Int[Array, "pairs 2"]:
    """Draws pairs of two different images.

    Args:
      key: random key of the pairs.
      count: number of images, at least 2.
      pairs: number of pairs; each ordered pair is equally likely.

    Returns:
      Two different indices for each pair, `[pairs, 2]`.
    """
    if count < 2:
        raise ValueError(f"diversity needs at least 2 images, got {count}")
    key_first, key_step = jax.random.split(key)
    first = jax.random.randint(key_first, (pairs,), 0, count)
    second = (first + jax.random.randint(key_step, (pairs,), 1, count)) % count
    return jnp.stack([first, second], axis=1)


def dissimilarity(
    images: types.ImageBytes, chosen: Int[Array, "pairs 2"]
) -> Float[Array, " pairs"]:
    """Computes 1 - SSIM of the two images of each pair.

    Args:
      images: RGB bytes, `[count, H, W, 3]`.
      chosen: two indices for each pair, see `random_pairs`.

    Returns:
      `[pairs]`: 0 for copies, at most 2.
    """
    images = jnp.asarray(images)

    def unlike(pair: Int[Array, "2"]) -> Float[Array, ""]:
        one, other = pixels.from_bytes(images[pair])[:, None]
        return 1.0 - metrics.ssim(one, other)[0]

    return jax.lax.map(unlike, chosen, batch_size=_PAIRS_AT_ONCE)


def nearest(
    images: types.ImageBytes, candidates: types.ImageBytes, *, at_once: int = 1000
) -> tuple[Int[Array, " batch"], Float[Array, " batch"]]:
    """Finds the nearest candidate of each image, by the squared error of its pixels.

    Args:
      images: RGB bytes, `[batch, H, W, 3]`.
      candidates: RGB bytes, `[count, H, W, 3]`, at least 1.
      at_once: how many candidates are held as floats at a time.

    Returns:
      (index of the candidate, the first if several are equally near; its distance: the
      root of the mean squared difference of pixels in [-1, 1], 0 for a copy).
    """
    rows = _as_rows(images)
    index = jnp.zeros(len(rows), jnp.int32)
    least = jnp.full(len(rows), jnp.inf)
    for start in range(0, len(candidates), at_once):
        others = _as_rows(candidates[start : start + at_once])
        product = jnp.matmul(rows, others.T, precision=jax.lax.Precision.HIGHEST)
        # |x - y|^2 without |x|^2, which is the same for all candidates y.
        score = jnp.sum(others**2, axis=1)[None] - 2.0 * product
        index = jnp.where(
            jnp.min(score, axis=1) < least, start + jnp.argmin(score, axis=1), index
        )
        least = jnp.minimum(least, jnp.min(score, axis=1))
    # Computed again from the differences: the sum above loses small distances.
    found = _as_rows(np.asarray(candidates)[np.asarray(index)])
    return index, jnp.sqrt(jnp.mean((rows - found) ** 2, axis=1))


def _gaussian(
    features: Float[np.ndarray, "count dimensions"],
) -> tuple[
    Float[np.ndarray, " dimensions"], Float[np.ndarray, "dimensions dimensions"]
]:
    if len(features) < 2:
        raise ValueError(f"a covariance needs at least 2 rows, got {len(features)}")
    features = np.asarray(features, np.float64)
    return np.mean(features, axis=0), np.atleast_2d(np.cov(features, rowvar=False))


def _as_rows(images: types.ImageBytes) -> Float[Array, "count values"]:
    return pixels.from_bytes(images).reshape(len(images), -1)
