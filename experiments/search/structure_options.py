"""Options of the structural prior, and what they ask for."""

import dataclasses
import functools

import jax

from experiments.common import options
from experiments.common.fields import About
from experiments.common.options import option
from experiments.search import guidance
from inpaint_jax import types
from inpaint_jax.errors import InputError, naming
from inpaint_jax.pretrained import networks, weights
from inpaint_jax.search import structure_term

SOURCES = ("gfc", "ce", "encoder")


@dataclasses.dataclass(frozen=True)
class StructureOptions:
    """What a structural prior expects in the hole; --lambda_structure is its weight."""

    structure: tuple[str, ...] = option(
        ("gfc",),
        "Networks whose mean is the coarse prediction of the hole: gfc and ce, the "
        "feed-forward networks; encoder, the face that G draws from the encoder's "
        "guess.",
        of=SOURCES,
    )
    structure_gfc: str = option(
        "release", "GFC: a --run_dir of experiments.train, or a release."
    )
    structure_ce: str = option(
        "release", "Context encoder: a --run_dir of experiments.train, or a release."
    )
    structure_tolerance: float = option(
        0.0,
        "Standard deviation between these networks, of colours from -1 to 1, at which "
        "their mean counts half; 0 counts it fully everywhere.",
        least=0.0,
    )
    structure_fades: bool = option(
        True,
        "Let the weight fall to 0 in the course of the search, along half a cosine: a "
        "coarse prediction is where to begin, not where to end.",
    )
    term: structure_term.StructureTerm = options.nested(
        structure_term.StructureTerm(),
        prefix="structure_",
        blur=About(least=1, most=999),
    )


def load(
    asked: StructureOptions, model: weights.Model, *, weight: float
) -> guidance.Structure | None:
    """Loads the structural prior that the options ask for; None if its weight is 0.

    Args:
      asked: the options.
      model: the networks of the search.
      weight: of the term, --lambda_structure.

    Raises:
      InputError: a network is missing (be it not used) or does not fit, or a source is
        there twice.
    """
    options.check_there(asked, "structure_gfc", "structure_ce")
    if weight == 0:
        return None
    given = ",".join(asked.structure)
    if not given or len({*asked.structure}) < len(asked.structure):
        raise InputError(
            f"--structure={given}: give some of {', '.join(SOURCES)}, each once."
        )
    if asked.structure_tolerance > 0 and len(asked.structure) < 2:
        raise InputError(
            f"--structure_tolerance={asked.structure_tolerance:g}: one network agrees "
            f"with itself; give --structure={','.join(SOURCES[:2])} or leave it out."
        )
    draw, models = [], {}
    for name in asked.structure:
        if name == "encoder":
            draw.append(guess(model, flag="--structure=encoder"))
            continue
        path, flag = getattr(asked, f"structure_{name}"), f"--structure_{name}"
        network = completer(
            name, path, model, flag=flag, otherwise=", or --lambda_structure=0"
        )
        draw.append(network.apply)
        models[name] = network.source
    return guidance.Structure(
        weight,
        asked.term,
        tuple(draw),
        asked.structure_tolerance,
        asked.structure,
        models,
        asked.structure_fades,
    )


def guess(model: weights.Model, *, flag: str) -> structure_term.Draw:
    """Returns the function that draws the face of the encoder's guess, a pytree.

    Args:
      model: the networks.
      flag: that asks for it.

    Raises:
      InputError: the model has no encoder of damaged faces.
    """
    if model.encodes != "damaged faces":
        raise InputError(
            f"{flag}: the model of --checkpoint has no encoder of damaged faces; train "
            "one with experiments.train --model=encoder, or leave it out."
        )
    return jax.tree_util.Partial(_draw_guess, model.generate, model.encode)


def _draw_guess(
    generate: types.Generate,
    encode: types.Encode,
    image: types.Image,
    mask: types.Mask,
) -> types.Image:
    return generate(encode(image, mask))


def completer(
    name: str, path: str, model: weights.Model, *, flag: str, otherwise: str = ""
) -> networks.Pretrained:
    """Reads a feed-forward network that completes the faces that a generator draws.

    Args:
      name: "ce" or "gfc".
      path: a --run_dir of experiments.train, or a release.
      model: the generator's networks, which determine crop and size of the faces.
      flag: that names the path.
      otherwise: what can be done but giving another network, the end of a sentence.

    Raises:
      InputError: there is no such network, or it is for another crop or size.
    """
    with naming(flag, path):
        network = _read(name, path)
    found = network.architecture.image_size, network.crop
    wanted = model.architecture.image_size, model.crop
    if found != wanted:
        raise InputError(
            f"{flag}={path}: was trained on images of {found[0]} pixels and crops of "
            f"{found[1]}, the generator on {wanted[0]} and {wanted[1]}; give one for "
            f"these{otherwise}."
        )
    return network


@functools.cache
def _read(name: str, path: str) -> networks.Pretrained:
    return networks.load(path, model=name)
