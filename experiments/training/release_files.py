"""Reads and writes the files of a release in the making: networks and logs.

The output folder is flat, so that it is easy to download: a `.safetensors` file for
each network, `release.json` with all descriptions, and `logs.zip`.
"""

import hashlib
import json
import os
import pathlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from typing import Any

from inpaint_jax.errors import InputError, reason
from inpaint_jax.io import files, folders, json_files
from inpaint_jax.pretrained import releases

DESCRIPTION = "release.json"
_LOGS = "logs.zip"
# {folder of a release in the package: the networks in it}
RELEASES = {
    "dcgan": ("generator", "discriminator", "encoder"),
    "landmark_net": ("net",),
    "ce": ("ce",),
    "gfc": ("gfc",),
}


def read(output_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the content of `release.json`; {} if it does not exist yet.

    Raises:
      InputError: the file is damaged.
    """
    path = pathlib.Path(output_dir) / DESCRIPTION
    if not os.path.exists(path):
        return {}
    return json_files.read(
        path,
        dict[str, dict[str, Any]],
        expected="the description of a release",
        give="give another --output_dir",
    )


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


def begin(output_dir: pathlib.Path, options: dict[str, Any]) -> None:
    """Records in `release.json` what is being made, before anything else is written.

    The files of a release that is killed are known by it as that release's.

    Args:
      output_dir: folder of the release.
      options: options of the release, as JSON values.

    Raises:
      InputError: the folder holds files of another origin under the same names.
    """
    with folders.alone(output_dir):
        check_ours(output_dir)
        if not read(output_dir):
            files.write_json(output_dir / DESCRIPTION, {"options": options})


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


def install(output_dir: str, *, assets: pathlib.Path = files.ASSETS) -> list[str]:
    """Copies the networks of a release into the package, replacing the old ones.

    Args:
      output_dir: output folder of `experiments.release`.
      assets: folder of the package's networks.

    Returns:
      A sentence for each folder that was written.

    Raises:
      InputError: the folder holds no release, or a file is missing or not the one that
        the release describes.
    """
    source = pathlib.Path(output_dir)
    found = read(source).get("releases", {})
    if not found:
        raise InputError(f"--install={output_dir}: no finished network is in it.")
    wanted = {
        folder: {
            f"{name}.safetensors": _checked(source / f"{name}.safetensors", sha256)
            for name, sha256 in description["sha256"].items()
        }
        for folder, description in found.items()
    }
    said = []
    for folder, contents in wanted.items():
        target = assets / folder
        releases.put(target, contents, _as_licensed(target, found[folder]))
        said.append(f"wrote {', '.join(found[folder]['sha256'])} into {folder}")
    return said


def _checked(path: pathlib.Path, sha256: str) -> bytes:
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
