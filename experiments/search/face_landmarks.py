"""The landmarks of a result, found as the search found those of its candidates."""

import jax
import numpy as np
from jaxtyping import Float

from experiments.search import guidance
from inpaint_jax import types
from inpaint_jax.landmarks.cascade import prediction
from inpaint_jax.search import landmark_term
from inpaint_jax.search.problem import Problem

Points = Float[np.ndarray, "68 2"]

# Compiled once for all faces.
_by_cascade = jax.jit(prediction.predict)
_by_net = jax.jit(lambda predict, image, mask: predict(image, mask)[0])


def of(
    guides: guidance.Guidance,
    problem: Problem,
    completed: types.Image,
) -> dict[str, Points]:
    """Returns the landmarks of one face, (x, y) in pixels.

    Args:
      guides: what guided its search.
      problem: the damaged image with its target.
      completed: the result, `[1, H, W, 3]`.

    Returns:
      The "target" of the search, and those of the "result": by the landmark net if the
      search has used it for candidates, otherwise by dlib's cascade in the target's
      box. Nothing for a search without landmarks.
    """
    if guides.landmarks is None:
        return {}
    term, target = guides.landmarks.term, problem.targets[landmark_term.NAME]
    if term.model is None:
        known = jax.numpy.ones_like(problem.mask)
        found = _by_net(term.predict, completed, known)
    else:
        found = _by_cascade(term.model, completed, target.box)
    points = target.landmarks[0]
    return {"target": np.asarray(points), "result": np.asarray(found[0])}
