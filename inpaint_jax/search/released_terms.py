"""Terms of the loss whose targets the released networks give.

They make `completion.complete` a call with nothing but a face and a mask.
"""

import functools
from typing import Any

import jax

from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.pretrained import landmark_predictor, networks, weights
from inpaint_jax.search import landmark_term, structure_term
from inpaint_jax.search.problem import Problem, WeightedTerm
from inpaint_jax.search.settings import Settings

_BY_NET = landmark_term.Settings(term="net")


def guide(
    problem: Problem, model: weights.Model, *, settings: Settings
) -> tuple[Problem, dict[str, WeightedTerm]]:
    """Returns the problem with its targets, and the terms that draw G(z) to them.

    Args:
      problem: the damaged image.
      model: the networks of the search.
      settings: its hyperparameters; a term of weight 0 is left out.

    Raises:
      InputError: a network knows images of another size or crop.
    """
    targets: dict[str, Any] = {}
    terms: dict[str, WeightedTerm] = {}
    if settings.lambda_landmark > 0:
        net = _fitting("landmark_net", model, give="lambda_landmark=0")
        predict = landmark_predictor.predict(net)
        landmark = landmark_term.LandmarkTerm(_BY_NET, predict=predict)
        targets[landmark_term.NAME] = _landmarks(predict, problem.image, problem.mask)
        terms[landmark_term.NAME] = WeightedTerm(settings.lambda_landmark, landmark)
    if settings.lambda_structure > 0:
        gfc = _fitting("gfc", model, give="lambda_structure=0")
        structure = structure_term.StructureTerm()
        drawn = _structure(gfc.apply, problem.image, problem.mask)
        targets[structure_term.NAME] = drawn
        terms[structure_term.NAME] = WeightedTerm(
            settings.lambda_structure, structure, fades=True
        )
    return problem._replace(targets=targets), terms


def _fitting(name: str, model: weights.Model, *, give: str) -> networks.Pretrained:
    """Returns a released network for the images of a model."""
    net = _released(name)
    known = net.architecture.image_size, net.crop
    if known != (model.architecture.image_size, model.crop):
        raise InputError(
            f"settings: the released {name} knows images of {known[0]} pixels and "
            f"crops of {known[1]}, this model draws others; give {give}."
        )
    return net


@jax.jit
def _landmarks(
    predict: landmark_term.Predict, image: types.Image, mask: types.Mask
) -> landmark_term.Target:
    return landmark_term.target_of_net(*predict(image, mask), model=None)


@jax.jit
def _structure(
    draw: structure_term.Draw, image: types.Image, mask: types.Mask
) -> structure_term.Target:
    return structure_term.target([draw], image, mask)


@functools.cache
def _released(name: str) -> networks.Pretrained:
    return networks.load("release", model=name)
