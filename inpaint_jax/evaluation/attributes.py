"""Apparent attributes of faces, by a linear classifier of their embeddings.

It says how a picture looks to those who labelled the training pictures, to measure
whether a completion looks as the original does (limitation 3 of the thesis). It does
not say who a person is, and is wrong about some people more often than about others.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Classifier(NamedTuple):
    """A linear classifier of face embeddings, see `landmarks.embedding`.

    Attributes:
      weights: `[128]`.
      bias: `[1]`.
    """

    weights: Float[np.ndarray, " dimensions"]
    bias: Float[np.ndarray, " 1"]


def probability(
    classifier: Classifier, embeddings: Float[np.ndarray, "faces dimensions"]
) -> Float[np.ndarray, " faces"]:
    """Returns how likely each face looks as if it had the attribute, 0 to 1.

    Args:
      classifier: for the attribute.
      embeddings: one row for each face.
    """
    logit = embeddings @ classifier.weights + classifier.bias
    return 0.5 * (1.0 + np.tanh(0.5 * logit))
