"""Installs a release, which may be anyone's, in place of the package's networks.

Nothing is believed: a network is installed only if the package itself reads it, and
nothing is replaced before all of them were read.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from experiments.training import release_files
from experiments.training.release_files import DESCRIPTION, RELEASES
from inpaint_jax.errors import InputError, OutputError, reason
from inpaint_jax.io import files, folders
from inpaint_jax.pretrained import networks, release_folders, weights


class _Checked(NamedTuple):
    """A folder of networks that the package can read.

    Attributes:
      contents: {file: its bytes}.
      description: what becomes its `model.json`.
    """

    contents: dict[str, bytes]
    description: dict[str, Any]


def install(output_dir: str, *, assets: pathlib.Path = files.ASSETS) -> list[str]:
    """Copies the networks of a release into the package, replacing the old ones.

    Args:
      output_dir: output folder of `experiments.release`.
      assets: folder of the package's networks.

    Returns:
      A sentence for each folder that was written.

    Raises:
      InputError: there is no such folder; it holds no release, networks of another
        package, or not all networks of a folder; a file is missing or not the one that
        the release describes, or the package cannot read it.
    """
    source = pathlib.Path(output_dir)
    if not os.path.isdir(source):
        what = "is a file" if os.path.lexists(source) else "no such folder"
        raise InputError(
            f"--install={output_dir}: {what}; give the --output_dir of a release."
        )
    found = release_files.read(source, flag="install").get("releases", {})
    if not found:
        raise InputError(f"--install={output_dir}: no finished network is in it.")
    for folder, description in found.items():
        _check_complete(source, folder, description["sha256"])
    checked = {
        folder: _checked(source, folder, description, assets / folder)
        for folder, description in found.items()
    }
    said = []
    for folder, (contents, description) in checked.items():
        release_folders.put(assets / folder, contents, description)
        said.append(f"wrote {', '.join(description['sha256'])} into {folder}")
    return said


def _check_complete(
    source: pathlib.Path, folder: str, described: Mapping[str, str]
) -> None:
    """Checks that the networks of a folder are those that the package has in it."""
    if folder not in RELEASES:
        raise InputError(
            f"--install={source}: {DESCRIPTION} describes {folder}, and the package "
            f"has {', '.join(RELEASES)} only; fetch the release again."
        )
    missing = [name for name in RELEASES[folder] if name not in described]
    if missing:
        raise InputError(
            f"--install={source}: {folder} lacks the {missing[0]}; the command that "
            "began the release goes on with it."
        )
    if unknown := sorted(described.keys() - {*RELEASES[folder]}):
        raise InputError(
            f"--install={source}: {DESCRIPTION} describes a network {unknown[0]}, and "
            f"{folder} has {', '.join(RELEASES[folder])} only; fetch the release again."
        )


def _checked(
    source: pathlib.Path,
    folder: str,
    description: dict[str, Any],
    target: pathlib.Path,
) -> _Checked:
    """Returns a folder as it is to be written, once the package could read it."""
    contents = {
        f"{name}.safetensors": _content(source / f"{name}.safetensors", sha256)
        for name, sha256 in description["sha256"].items()
    }
    description = _as_licensed(target, description)
    with (
        tempfile.TemporaryDirectory() as temporary,
        _refused(source, pathlib.Path(temporary)),
    ):
        candidate = pathlib.Path(temporary) / folder
        release_folders.put(candidate, contents, description)
        known = _read(candidate, folder)
        if unread := sorted({*RELEASES[folder]} - known):
            raise InputError(
                f"{candidate}: is described as a model without the {unread[0]}; fetch "
                "the release again."
            )
    return _Checked(contents, description)


def _read(candidate: pathlib.Path, folder: str) -> set[str]:
    """Returns the names of the networks that the package reads in a folder."""
    if folder == "dcgan":
        return {*weights.load(candidate).networks}
    return {*networks.load(candidate, model=folder).networks}


@contextlib.contextmanager
def _refused(source: pathlib.Path, temporary: pathlib.Path) -> Iterator[None]:
    """Says of every error in a release that it is one of --install."""
    try:
        yield
    except OutputError:
        raise
    except InputError as error:
        where = str(error).removeprefix(f"{temporary}{os.sep}")
        raise InputError(f"--install={source}: {where}") from error
    except Exception as error:
        # The model card is written from a provenance that anyone may have made.
        raise InputError(
            f"--install={source}: {DESCRIPTION} has a provenance of another type "
            f"({reason(error)}); fetch the release again."
        ) from error


def _content(path: pathlib.Path, sha256: str) -> bytes:
    try:
        content = files.read_bytes(path)
    except OSError as error:
        raise InputError(
            f"--install={path.parent}: {path.name} cannot be read ({reason(error)}); "
            "fetch the release again."
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(
            f"--install={path.parent}: {path.name} is not the network that "
            f"{DESCRIPTION} describes; fetch the release again."
        )
    return content


def _as_licensed(target: pathlib.Path, description: dict[str, Any]) -> dict[str, Any]:
    """Adds the licence and the biases of the networks that are replaced."""
    try:
        before = json.loads(folders.read(target, "model.json"))
    except FileNotFoundError:
        return description
    known = before.get("provenance", {})
    kept = {name: known[name] for name in ("licence", "known_biases") if name in known}
    return {**description, "provenance": kept | description.get("provenance", {})}
