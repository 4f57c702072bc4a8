"""Reads the faces of a training, and says which pictures were left out."""

import functools

from experiments.common import progress
from inpaint_jax.errors import naming
from inpaint_jax.io import data

_REPEATED_SHOWN = 3


def load(
    source: str,
    *,
    flag: str,
    crop: int,
    size: int,
    data_dir: str | None = None,
    cache: str | None = None,
) -> data.Faces:
    """Reads the faces of sources, and prints which pictures were left out.

    Args:
      source: see `data.load`.
      flag: the flag that names the source.
      crop: see `framing.frame`.
      size: see `framing.frame`.
      data_dir: see `sources.open_source`.
      cache: see `data.load`.

    Raises:
      InputError: as in `data.load`.
    """
    progress.say(f"reading {source}")
    with naming(flag, source):
        faces = data.load(
            source,
            crop=crop,
            size=size,
            data_dir=data_dir,
            cache=cache,
            watch=functools.partial(progress.over, what="reading", unit="pictures"),
        )
    for sentence in faces.skipped:
        progress.say(f"skipped {sentence}")
    if faces.skipped:
        progress.say(f"{len(faces.skipped)} pictures skipped, {len(faces.images)} used")
    if faces.repeated:
        first = ", ".join(faces.repeated[:_REPEATED_SHOWN])
        more = ", ..." if len(faces.repeated) > _REPEATED_SHOWN else ""
        count = len(faces.repeated)
        progress.say(f"{count} pictures repeat others, used once: {first}{more}")
    return faces
