"""Structurally and semantically coherent face completion with JAX.

`complete` completes a face, `load` reads a model, `Settings` holds the hyperparameters
of the search. The algorithm is in `inpaint_jax.search`, where each module uses only
those listed before it: `latent_descent` takes one optimizer step and keeps the best
latent vector, `objective` is the loss (eq. 20 of the thesis), `problem` holds the
settings and the damaged image, `one_image` searches for one image, `program` compiles
that search, `driver` runs it with early stopping, `completion` ranks the candidates and
blends them. `landmark_term` is the landmark loss.
"""

from inpaint_jax.errors import InputError
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import blending, framing, masks, pixels
from inpaint_jax.io import files, picture_files
from inpaint_jax.pretrained.weights import Model, load
from inpaint_jax.search.completion import Completion, complete
from inpaint_jax.search.problem import Problem
from inpaint_jax.search.settings import Settings

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
    "picture_files",
    "pixels",
]
