"""The landmarks of a result, found as the search found those of its candidates."""

import jax
import numpy as np
from jaxtyping import Float

from experiments.search import landmark_guidance
from inpaint_jax import types
from inpaint_jax.landmarks.cascade import prediction
from inpaint_jax.search import landmark_term
from inpaint_jax.search.problem import Problem

Points = Float[np.ndarray, "68 2"]

# Compiled once for all faces.
_by_cascade = jax.jit(prediction.predict)
_by_net = jax.jit(lambda predict, image, mask: predict(image, mask)[0])


def of(
    guidance: landmark_guidance.LandmarkGuidance,
    problem: Problem,
    completed: types.Image,
) -> dict[str, Points]:
    """Returns the landmarks of one face, (x, y) in pixels.

    Args:
      guidance: the landmark guidance of its search.
      problem: the damaged image with its target.
      completed: the result, `[1, H, W, 3]`.

    Returns:
      The "target" of the search, and those of the "result": by the landmark net if the
      search has used it for candidates, otherwise by dlib's cascade in the target's
      box. Nothing for a search without landmarks.
    """
    match guidance:
        case landmark_guidance.WithLandmarks(
            term=landmark_term.LandmarkTerm(model=model, predict=predict)
        ):
            if model is None:
                known = jax.numpy.ones_like(problem.mask)
                found = _by_net(predict, completed, known)
            else:
                found = _by_cascade(model, completed, problem.target.box)
            target = problem.target.landmarks
            return {"target": np.asarray(target[0]), "result": np.asarray(found[0])}
    return {}
