"""Replaces the release in a folder, and says whether that would lose other networks."""

import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from inpaint_jax.errors import InputError
from inpaint_jax.io import files, folders
from inpaint_jax.pretrained import model_card

DESCRIPTION, WEIGHTS = "model.json", ".safetensors"
"""File of a release's description, and how the files of its networks end."""

_PROGRAM = ".stablehlo"


def put(
    directory: str | os.PathLike[str],
    contents: Mapping[str, bytes],
    description: dict[str, Any],
) -> None:
    """Replaces the release in a folder by finished files, see `releases.export`.

    Args:
      directory: folder to write to; created if need be.
      contents: {name: content} of the files.
      description: JSON values, with "sha256".

    Raises:
      OutputError: the folder cannot be written.
    """
    title = pathlib.Path(directory).name
    with folders.replacing(directory) as written:
        for name in _files_of_a_release(directory) - contents.keys():
            (written / name).touch()  # an older network does not go with the new ones
        for name, content in contents.items():
            (written / name).write_bytes(content)
        files.write_text(written / model_card.NAME, model_card.text(title, description))
        files.write_json(written / DESCRIPTION, description)


def check_replaceable(
    directory: str | os.PathLike[str], networks: Iterable[str]
) -> None:
    """Checks that a release may be written: the folder is empty, or holds such a one.

    Args:
      directory: the folder, which need not exist; it is not created.
      networks: names of the networks that are to be written.

    Raises:
      InputError: it holds a release of other networks, which would be lost, or other
        files; hidden ones do not count.
      OutputError: it cannot be written to.
    """
    files.check_directory(directory)
    if not os.path.isdir(directory):
        return
    found, new = _networks_of_a_release(directory), set(networks)
    if found == new:
        return
    if found is not None:
        raise InputError(
            f"{directory}: holds a release of {_listed(found)}, which is not replaced "
            f"by one of {_listed(new)}; give another folder."
        )
    present = sorted(name for name in os.listdir(directory) if name[0] != ".")
    if present:
        raise InputError(
            f"{directory}: holds files that are no release, as {present[0]}; give a "
            "new or an empty folder."
        )


def _listed(networks: set[str]) -> str:
    return ", ".join(sorted(networks)) or "no networks"


def _files_of_a_release(directory: str | os.PathLike[str]) -> set[str]:
    """Returns the names of the files that the release in a folder may have."""
    names = _networks_of_a_release(directory) or set()
    return {f"{name}{suffix}" for name in names for suffix in (WEIGHTS, _PROGRAM)}


def _networks_of_a_release(directory: str | os.PathLike[str]) -> set[str] | None:
    """Returns the names of the networks of a release; None if the folder holds none."""
    try:
        description = json.loads(folders.read(directory, DESCRIPTION))
        return {pathlib.PurePath(name).name for name in description["sha256"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
