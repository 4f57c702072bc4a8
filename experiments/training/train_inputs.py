"""Reads the faces and the networks that flags of `experiments.train` name."""

import dataclasses
import os
from typing import Any

from experiments.common import options
from experiments.training import face_sets
from experiments.training.train_options import Check, Run
from inpaint_jax.errors import InputError, naming
from inpaint_jax.io import data
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import weights


def faces(
    name: str,
    run: Run | Check,
    crop: int,
    architecture: Any,
    *,
    data_dir: str | None,
    cache: str | None = None,
) -> data.Faces:
    """Reads the faces that an option names.

    Args:
      name: of the option.
      run: the options, of which it is one.
      crop: see `framing.frame`.
      architecture: of the networks, whose images have the size of the faces.
      data_dir: see `sources.open_source`.
      cache: see `data.load`.

    Raises:
      InputError: the option was not given, or the faces cannot be read.
    """
    return face_sets.load(
        options.given(run, name),
        flag=f"--{name}",
        crop=crop,
        size=architecture.image_size,
        data_dir=data_dir,
        cache=cache,
    )


def training_faces(run: Run, crop: int, architecture: Any) -> data.Faces:
    """Reads the faces of --data, and those of --cache in their place.

    Args:
      run: the options.
      crop: as in `faces`.
      architecture: as in `faces`.

    Raises:
      InputError: as in `faces`.
      OutputError: the folder of --cache cannot be written to.
    """
    if run.cache and not os.path.exists(run.cache):  # it is written in the end
        options.output_file(run, "cache")
    where: Any = {"data_dir": run.data_dir, "cache": run.cache}
    return faces("data", run, crop, architecture, **where)


def start(path: str | None, architecture: dcgan.Architecture) -> weights.Model | None:
    """Returns the networks from which training starts, or None.

    Args:
      path: value of --pretrained.
      architecture: what the flags say.

    Raises:
      InputError: the networks cannot be read, or are of another architecture.
    """
    if not path:
        return None
    found = pair("pretrained", path)
    for name, value in dataclasses.asdict(found.architecture).items():
        asked = getattr(architecture, name)
        if asked != value:
            raise InputError(
                f"--{name}={asked}: the networks of --pretrained={path} have {value}; "
                "give the same."
            )
    return found


def pair(flag: str, path: str) -> weights.Model:
    """Reads a generator with its discriminator.

    Args:
      flag: name of the flag that names them.
      path: its value.

    Raises:
      InputError: they cannot be read, or there is no discriminator.
    """
    with naming(f"--{flag}", path):
        model = weights.load(path)
    if not model.discriminates:
        raise InputError(
            f"--{flag}={path}: has no discriminator, which is needed for this; give "
            "another."
        )
    return model
