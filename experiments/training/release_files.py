"""Reads and writes the files of a release in the making: networks and logs.

The output folder is flat, so that it is easy to download: a `.safetensors` file for
each network, `release.json` with all descriptions, and `logs.zip`.
"""

import json
import os
import pathlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from typing import Any

import msgspec

from experiments.training import materials
from inpaint_jax.errors import InputError, naming
from inpaint_jax.io import files, folders, json_files

DESCRIPTION = "release.json"
_LOGS = "logs.zip"
# {folder of a release in the package: the networks in it}
RELEASES = {
    "dcgan": ("generator", "discriminator", "encoder"),
    "landmark_net": ("net",),
    "ce": ("ce",),
    "gfc": ("gfc",),
}


class _Trained(msgspec.Struct):
    seconds: float


class _Described(msgspec.Struct):
    sha256: dict[str, str]
    provenance: dict[str, Any] = {}


class _Content(msgspec.Struct):
    """What `release.json` may hold; the rest of a description is not looked at."""

    options: dict[str, Any] = {}
    materials: dict[str, dict[str, str]] = {}
    networks: dict[str, _Trained] = {}
    releases: dict[str, _Described] = {}


def read(
    output_dir: str | os.PathLike[str], *, flag: str = "output_dir"
) -> dict[str, Any]:
    """Returns the content of `release.json`; {} if it does not exist yet.

    Args:
      output_dir: the folder.
      flag: name of the flag that names it.

    Raises:
      InputError: the file is damaged, or a field is of another type.
    """
    path = pathlib.Path(output_dir) / DESCRIPTION
    if not os.path.lexists(path):
        return {}
    said = {
        "expected": "the description of a release",
        "give": f"give another --{flag}",
    }
    with naming(f"--{flag}", output_dir):
        found = json_files.read(path, dict[str, dict[str, Any]], **said)
        json_files.check(found, _Content, path=path, **said)
    return found


def check_ours(output_dir: str | os.PathLike[str]) -> None:
    """Checks that a folder holds a release, or none of the files of one.

    Args:
      output_dir: the folder, which need not exist.

    Raises:
      InputError: one of the files that a release writes is there, and no release.
    """
    if "options" in read(output_dir):
        return
    networks = (name for names in RELEASES.values() for name in names)
    for name in (DESCRIPTION, _LOGS, *(f"{name}.safetensors" for name in networks)):
        path = pathlib.Path(output_dir) / name
        if os.path.lexists(path):
            raise InputError(
                f"--output_dir={output_dir}: {name} is there, and no release was begun "
                "in this folder; move it away or give another folder."
            )


def check_same(output_dir: str | os.PathLike[str], options: dict[str, Any]) -> None:
    """Checks that a folder is free for a release, or holds one with the same options.

    Args:
      output_dir: folder of the release.
      options: options of the release, as JSON values.

    Raises:
      InputError: it was started with other options, or other files are there.
    """
    check_ours(output_dir)
    before = read(output_dir).get("options", {})
    for name, value in options.items():
        # The same pictures may be in another place, see `check_materials`.
        alike = name in ("minutes", "data") or before.get(name, value) == value
        if not alike:
            raise InputError(
                f"--{name}={value}: the release in {output_dir} was begun with "
                f"{before[name]}; give the same or another --output_dir."
            )


def check_materials(
    output_dir: str | os.PathLike[str], given: materials.Materials
) -> None:
    """Checks that a release, if there is one, was begun with the same faces and labels.

    Args:
      output_dir: folder of the release.
      given: faces and labels, by their flags.

    Raises:
      InputError: it was begun with others.
    """
    if found := read(output_dir):
        begun = f"the release in {output_dir}"
        known = found.get("materials", {})
        materials.check(known, given, begun=begun, give="another --output_dir")


def begin(
    output_dir: pathlib.Path, options: dict[str, Any], given: materials.Materials
) -> None:
    """Records in `release.json` what is being made, before anything else is written.

    The files of a release that is killed are known by it as that release's.

    Args:
      output_dir: folder of the release.
      options: options of the release, as JSON values.
      given: faces and labels, by their flags.

    Raises:
      InputError: the folder holds files of another origin under the same names, or a
        release with other options, faces or labels.
    """
    with folders.alone(output_dir):
        check_same(output_dir, options)
        check_materials(output_dir, given)
        if not read(output_dir):
            begun = {"options": options, "materials": materials.stored(given)}
            files.write_json(output_dir / DESCRIPTION, begun)


def add(
    output_dir: pathlib.Path,
    folder: str,
    export: Callable[[str], None],
) -> None:
    """Adds networks to a release; each file is written whole or not at all.

    Args:
      output_dir: folder of the release.
      folder: the networks' key of `RELEASES`.
      export: writes the networks and `model.json` into the folder that it is given.
    """
    with tempfile.TemporaryDirectory() as temporary:
        export(temporary)
        description = json.loads(
            (pathlib.Path(temporary) / "model.json").read_text(encoding="utf-8")
        )
        for name in RELEASES[folder]:
            source = pathlib.Path(temporary) / f"{name}.safetensors"
            if os.path.isfile(source):
                with files.replacing(output_dir / source.name) as target:
                    shutil.copyfile(source, target)
    with folders.alone(output_dir):
        release = read(output_dir)
        release.setdefault("releases", {})[folder] = description
        files.write_json(output_dir / DESCRIPTION, release)


def describe(output_dir: pathlib.Path, name: str, about: dict[str, Any]) -> None:
    """Records in `release.json` that a network is finished.

    Args:
      output_dir: folder of the release.
      name: name of the network.
      about: provenance of the network, as JSON values.
    """
    with folders.alone(output_dir):
        release = read(output_dir)
        release.setdefault("networks", {})[name] = about
        files.write_json(output_dir / DESCRIPTION, release)


def write_logs(output_dir: pathlib.Path, run_dir: pathlib.Path) -> None:
    """Writes the logs and the last sample sheets of all networks into one archive."""
    with (
        folders.alone(output_dir),
        files.replacing(output_dir / _LOGS) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for log in sorted(run_dir.glob("*/metrics.jsonl")):
            archive.write(log, f"{log.parent.name}/metrics.jsonl")
            sheets = sorted(log.parent.glob("samples/*.png"))
            for sheet in sheets[-2:]:
                archive.write(sheet, f"{log.parent.name}/{sheet.name}")
