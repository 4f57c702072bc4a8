"""Reads and writes the files of a release in the making: labels, networks and logs.

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
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.common import progress
from experiments.training import labelling
from inpaint_jax.errors import InputError, reason
from inpaint_jax.io import data, files, folders, json_files
from inpaint_jax.landmarks import dlib_host
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

_LABELS = ("landmark_model_sha256", "size", "crop", "faces_names", "validation_names")

Points = Float[np.ndarray, "count 68 2"]


class Landmarks(NamedTuple):
    """Landmarks of the training faces and of the validation faces, in pixels."""

    faces: Points
    validation: Points


def label(path: str, faces: data.Faces, validation: data.Faces, *, crop: int) -> None:
    """Labels all faces with dlib and writes the file that `read_labels` reads.

    Args:
      path: the .npz file to write.
      faces: training faces.
      validation: validation faces.
      crop: side of their crop in CelebA pixels.
    """
    predictor = dlib_host.Predictor(None)
    arrays: dict[str, Any] = {
        "landmark_model_sha256": predictor.sha256,
        "size": faces.images.shape[1],
        "crop": crop,
    }
    for name, part in (("faces", faces), ("validation", validation)):
        found = labelling.label(predictor, part, crop=crop, nudged=True)
        arrays |= {f"{name}_names": np.array(part.names), name: found.landmarks}
    with files.replacing(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, **arrays)
    progress.say(f"wrote {path}")


def holds_labels(path: str | os.PathLike[str]) -> bool:
    """Returns whether a file is one that `label` wrote, by the names of its arrays."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {*_LABELS} <= {*stored.files}
    except Exception:  # the parsers fail with BadZipFile and many others
        return False


def read_labels(
    path: str, faces: data.Faces, validation: data.Faces, *, crop: int
) -> Landmarks:
    """Reads the landmarks that `label` wrote.

    Args:
      path: the .npz file.
      faces: all or some of the labelled training faces, identified by their names.
      validation: all or some of the labelled validation faces.
      crop: side of their crop in CelebA pixels.

    Raises:
      InputError: the file cannot be read, lacks a face, or is for another size or crop.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            made = {name: int(stored[name]) for name in ("size", "crop")}
            named = {
                part: (list(stored[f"{part}_names"]), stored[part])
                for part in ("faces", "validation")
            }
    except Exception as error:
        # The parsers of zip files and headers fail with BadZipFile and many others.
        raise InputError(
            f"--labels={path}: cannot be read ({reason(error)}); make it with "
            "--labels_only."
        ) from error
    wanted = {"size": faces.images.shape[1], "crop": crop}
    if made != wanted:
        raise InputError(
            f"--labels={path}: made for faces of {made}, but these are of {wanted}; "
            "make it anew with --labels_only."
        )
    return Landmarks(
        _of(path, faces, *named["faces"]), _of(path, validation, *named["validation"])
    )


def _of(
    path: str,
    part: data.Faces,
    names: list[str],
    points: Float[np.ndarray, "labelled 68 2"],
) -> Points:
    place = {name: i for i, name in enumerate(names)}
    missing = [name for name in part.names if name not in place]
    if missing or points.shape != (len(names), 68, 2):
        raise InputError(
            f"--labels={path}: has no landmarks of {len(missing)} of the "
            f"{len(part.names)} faces, as {(missing or part.names)[0]}; make it anew "
            "with --labels_only."
        )
    return np.asarray(points[[place[name] for name in part.names]], np.float32)


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


def describe(
    output_dir: pathlib.Path,
    name: str,
    about: dict[str, Any],
    *,
    options: dict[str, Any],
) -> None:
    """Records in `release.json` that a network is finished.

    Args:
      output_dir: folder of the release.
      name: name of the network.
      about: provenance of the network, as JSON values.
      options: options of the release, as JSON values.
    """
    with folders.alone(output_dir):
        release = read(output_dir)
        networks = {**release.get("networks", {}), name: about}
        release |= {"networks": networks, "options": options}
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
