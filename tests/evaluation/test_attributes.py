"""The probability of a linear classifier against the logistic function."""

import numpy as np

from inpaint_jax.evaluation import attributes


def test_the_probability_is_logistic_and_never_overflows():
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=128), rng.normal(size=1)
    faces = rng.normal(size=(20, 128))
    got = attributes.probability(attributes.Classifier(weights, bias), faces)
    for face, p in zip(faces, got, strict=True):
        logit = sum(w * x for w, x in zip(weights, face, strict=True)) + bias[0]
        np.testing.assert_allclose(p, 1 / (1 + np.exp(-logit)), rtol=1e-9, atol=1e-12)
    far = attributes.Classifier(1e6 * weights, bias)
    assert set(attributes.probability(far, faces)) <= {0.0, 1.0}
