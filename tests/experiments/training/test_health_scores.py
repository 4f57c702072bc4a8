"""The figures of health do not depend on how many faces there are, but for chance."""

import jax
import numpy as np
import pytest

from experiments.training import health_scores
from inpaint_jax.evaluation import distribution
from tests import drawn

DIMENSIONS = 16


def gaussians(rng, real, reference, scale=0.8, dimensions=DIMENSIONS):
    """Embeddings of real, reference and generated faces, the last with less spread."""
    counts = (real, reference, reference)
    rows = [rng.normal(size=(count, dimensions)) for count in counts]
    return rows[0], rows[1], scale * rows[2]


def plain(real, reference, samples):
    floor = distribution.frechet(real, reference)
    return distribution.frechet(real, samples) / floor


def test_with_all_faces_the_ratio_is_the_plain_one():
    sets = gaussians(np.random.default_rng(0), *health_scores.FULL)
    found = health_scores.frechet_ratio(*sets)
    assert found["value"] == pytest.approx(plain(*sets), rel=1e-9)


def test_few_faces_do_not_lower_the_ratio():
    # In closed form, of N(0, I) and N(0, 0.64 I) in d dimensions: the distance is
    # d (1 - 0.8)^2. The floor of n and m rows is, to first order in k = 1/n + 1/m, k d
    # from the means and k d (d + 1) / 4 from the covariances: a distance of I and I + A
    # is |A|^2 / 4 (Frobenius), a sample covariance is off by 1/n, 2/n on the diagonal.
    dimensions = 8
    floor = (1 / 500 + 1 / 5000) * dimensions * (dimensions + 5) / 4
    truth = 1 + 0.2**2 * dimensions / floor
    sets = [
        gaussians(
            np.random.default_rng(seed), *health_scores.LEAST, dimensions=dimensions
        )
        for seed in range(5)
    ]
    found = [health_scores.frechet_ratio(*faces)["value"] for faces in sets]
    assert np.mean(found) == pytest.approx(truth, rel=0.15)
    assert truth > 6.5 and np.mean([plain(*faces) for faces in sets]) < 3.5


def test_the_interval_of_the_ratio_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(2)
    real, reference = 60, 200
    few = (1 / real + 1 / reference) / (1 / 500 + 1 / 5000)
    sets = [gaussians(rng, real, reference, dimensions=4) for _ in range(300)]
    truth = np.mean([1 + (plain(*faces) - 1) * few for faces in sets])
    found = [health_scores.frechet_ratio(*faces) for faces in sets[:60]]
    assert np.mean([x["low"] <= truth <= x["high"] for x in found]) >= 0.9
    # Nor are they so wide that anything would be covered.
    spread = np.std([x["value"] for x in found])
    assert np.mean([x["high"] - x["low"] for x in found]) < 2 * 2 * 1.6 * spread


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_have_no_ratio(bad):
    sets = gaussians(np.random.default_rng(3), 40, 50)
    sets[2][7, 3] = bad
    assert np.isnan(list(health_scores.frechet_ratio(*sets).values())).all()


def test_equal_sets_have_no_floor_to_compare_with():
    same = np.ones((30, 4))
    assert np.isnan(health_scores.frechet_ratio(same, same, same)["value"])


def test_constant_embeddings_are_far_from_real_ones():
    real, reference, _ = gaussians(np.random.default_rng(4), 100, 300)
    found = health_scores.frechet_ratio(real, reference, np.ones((300, DIMENSIONS)))
    assert found["low"] > 20.0


def variety(samples, real):
    return health_scores._variety(jax.random.key(0), samples, real)


def test_copies_are_one_pair_in_as_many_as_there_are_pictures():
    real = drawn.noise(12, 16, 16, 3)
    few = np.repeat(drawn.noise(4, 16, 16, 3, seed=1), 50, axis=0)
    assert variety(few, real)["copies"] == pytest.approx(49 / 199, abs=0.03)
    assert variety(few[:50], real)["copies"] == 1.0
    assert variety(real, real)["copies"] == 0.0


def test_a_diversity_below_a_tenth_means_copies():
    real = drawn.noise(12, 16, 16, 3)
    nearly = np.clip(real[:1].astype(int) + real // 16, 0, 255).astype(np.uint8)
    found = variety(nearly, real)
    assert 0 < found["diversity_ratio"]["value"] < 0.1 and found["copies"] > 0.6


def test_the_interval_of_diversity_is_that_of_images_and_not_of_pairs():
    # Half of the images are flat: what a pair is like depends on whom it has drawn, so
    # that 2000 pairs of 30 images know far less than 2000 independent ones would.
    samples = drawn.noise(30, 16, 16, 3)
    samples[::2] = 128
    found = variety(samples, drawn.noise(200, 16, 16, 3, seed=1))["diversity_ratio"]
    assert found["low"] < found["value"] < found["high"]
    assert found["high"] - found["low"] > 0.1


def test_nearest_is_beside_that_of_real_faces():
    reference = drawn.noise(30, 8, 8, 3)
    real = drawn.noise(20, 8, 8, 3, seed=1)
    found = health_scores._nearest(reference[:10], real, reference)
    assert found["samples_mean"] == 0.0 and found["ratio"]["value"] == 0.0
    assert found["real_in_reference"] == 0.0
    found = health_scores._nearest(real, real, reference)
    assert found["ratio"]["value"] == 1.0
    assert found["ratio"]["low"] < 1.0 < found["ratio"]["high"]


def test_real_faces_that_are_in_the_reference_are_counted():
    reference = drawn.noise(30, 8, 8, 3)
    found = health_scores._nearest(reference[:4], reference[:10], reference)
    assert found["real_in_reference"] == 1.0
    assert np.isnan(found["ratio"]["value"])
