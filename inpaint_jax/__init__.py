"""Structurally and semantically coherent face completion with JAX.

`complete` completes a face, `load` reads a model, `Settings` says how to search. The
algorithm is in `inpaint_jax.search`, a ladder in which each module stands on those
before it: `latent` takes a step and keeps the best point, `objective` is eq. 20,
`problem` says what is asked, `steps` is what a search does to one image, `program`
compiles it, `driver` runs it and stops early, `completion` ranks and blends.
`landmark_term` is the landmark loss.
"""

from inpaint_jax.errors import InputError
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import blending, framing, masks, pixels
from inpaint_jax.io import files
from inpaint_jax.pretrained.weights import Model, load
from inpaint_jax.search.completion import Completion, complete
from inpaint_jax.search.problem import Problem, Settings

__version__ = "0.1.0"

__all__ = [
    "Completion",
    "InputError",
    "Model",
    "Problem",
    "Settings",
    "blending",
    "complete",
    "files",
    "framing",
    "load",
    "masks",
    "metrics",
    "pixels",
]
