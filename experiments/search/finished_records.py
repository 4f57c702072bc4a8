"""Records of finished photographs, from which a run goes on that was interrupted.

A record is a hidden file for each photograph: what its results depend on, the hashes of
the files that were written, and all that a report shows of its faces. It is written
once all of them are, and whole or not at all. A run that is resumed reports the faces
of a record as if it had just completed them.
"""

import json
import os
import pathlib
from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np

from experiments.common import cases, identity
from experiments.search.picture_results import Finished
from inpaint_jax.errors import InputError
from inpaint_jax.io import files, hashes, json_files

FOLDER = ".finished"
"""Folder of the records in the folder of the results."""

_EXPECTED = "the record of a finished picture"
_GIVE = "so its picture is computed again"

Identity = dict[str, Any]
"""{what results depend on: its JSON value or hash}"""


class Face(NamedTuple):
    """A finished face of a photograph.

    Attributes:
      finished: what the report shows of it.
      company: hash of the faces that shared its program, see `picture_search.Result`.
    """

    finished: Finished
    company: str


class Record(NamedTuple):
    """A finished photograph.

    Attributes:
      name: name of its result, see `input_paths.Input`.
      depends: what its results depend on.
      together: number of images in the program of its searches.
      results: {name of a file that was written: hash of its bytes}.
      faces: its faces.
    """

    name: str
    depends: Identity
    together: int
    results: dict[str, str]
    faces: list[Face]


_Text = Annotated[str, msgspec.Meta(max_length=10_000)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Point = tuple[float, float]


class _Answer(msgspec.Struct):
    file: _Text
    score: float
    distance: float | None


class _Entry(msgspec.Struct):
    """What is shown of an entry; the rest of it is only written to the report."""

    image: _Text
    photograph: _Text
    hole_fraction: float
    iterations: _Count
    score: float
    seconds: float
    terms: dict[str, float]
    psnr: float = 0.0
    psnr_hole: float = 0.0
    ssim: float = 0.0
    nme: float = 0.0
    answers: list[_Answer] = []
    fewer_answers: _Text = ""
    looks_otherwise: _Text = ""
    guessed: _Text = ""
    stays: _Text = ""


class _Line(msgspec.Struct):
    """What is shown of a line of the log."""

    image: _Text
    step: _Count
    loss: list[float]
    best_loss: list[float]
    seconds: float


class _Face(msgspec.Struct, forbid_unknown_fields=True):
    """A face as it is stored; pictures are the bytes of `[side, side, 3]`."""

    entry: dict[str, Any]
    trace: list[dict[str, Any]]
    row: dict[str, bytes]
    answers: Annotated[list[bytes], msgspec.Meta(min_length=1)]
    landmarks: dict[str, list[_Point]]
    company: str


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    version: Literal[1]
    name: str
    depends: Identity
    together: Annotated[int, msgspec.Meta(ge=1)]
    results: dict[_Text, str]
    side: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    faces: Annotated[list[_Face], msgspec.Meta(min_length=1)]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    sha256: str
    content: dict[str, Any]


def file_name(name: str) -> str:
    """Returns the name of the file with the record of a photograph."""
    # The photograph's may have folders, and be as long as that of a file may be.
    return f"{hashes.of_json(name)[:32]}.json"


def write(folder: pathlib.Path, record: Record) -> None:
    """Writes a record in place of an earlier one of the same name.

    Args:
      folder: `FOLDER` in the folder of the results.
      record: the record.

    Raises:
      OutputError: it cannot be written.
    """
    content = _Content(
        version=1,
        name=record.name,
        depends=record.depends,
        together=record.together,
        results=record.results,
        side=len(record.faces[0].finished.faces[0]),
        faces=[_packed(*face) for face in record.faces],
    )
    # A report takes NumPy's numbers as well.
    plain = msgspec.to_builtins(content, enc_hook=lambda value: value.tolist())
    stored = {"sha256": hashes.of_json(plain), "content": plain}
    files.write_text(folder / file_name(record.name), json.dumps(stored) + "\n")


def read(output: pathlib.Path, name: str) -> Record | None:
    """Reads the record of a photograph; None without one.

    Raises:
      InputError: it is damaged, of another version, or another photograph's.
    """
    path = output / FOLDER / file_name(name)
    if not os.path.lexists(path):
        return None
    found = _read(path)
    if found.name != name:
        raise _unfit(path, "of another picture")
    return found


def changed(record: Record, output: pathlib.Path) -> list[str]:
    """Returns the files of a record that are not there as they were written."""
    return [
        name
        for name, sha256 in record.results.items()
        if hash_of_result(output, name) != sha256
    ]


def hash_of_result(output: pathlib.Path, name: str) -> str:
    """Returns the hash of a result; an empty text if it is not there."""
    try:
        return identity.of_file(output / name)
    except (OSError, ValueError):
        return ""


def as_stored(value: Identity) -> Identity:
    """Returns JSON values as they are when they are read again."""
    return json.loads(json.dumps(files.finite(value)))


def tidy(output: pathlib.Path, kept: Iterable[str]) -> None:
    """Removes records that cannot be read, or whose results are gone or changed.

    Args:
      output: folder of the results.
      kept: names of photographs whose records are not looked at.

    Raises:
      OutputError: one cannot be removed.
    """
    known = set(map(file_name, kept))
    for path in _paths(output):
        if path.name in known:
            continue
        try:
            holds = not changed(_read(path), output)
        except InputError:
            holds = False
        if not holds:
            files.remove(path)


def _paths(output: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files that are named as records are."""
    return sorted((output / FOLDER).glob(f"{32 * '[0-9a-f]'}.json"))


def _packed(finished: Finished, company: str) -> _Face:
    points = {name: each.tolist() for name, each in finished.landmarks.items()}
    return _Face(
        entry=finished.entry,
        trace=finished.trace,
        row={name: picture.tobytes() for name, picture in finished.row.items()},
        answers=[picture.tobytes() for picture in finished.faces],
        landmarks=points,
        company=company,
    )


def _read(path: pathlib.Path) -> Record:
    file = json_files.read_stored(path, _File, expected=_EXPECTED, give=_GIVE)
    if hashes.of_json(file.content) != file.sha256:
        raise _unfit(path, "its hash is another")
    try:
        content = msgspec.convert(file.content, _Content)
        faces = [_unpacked(face, content.side) for face in content.faces]
        for name in content.results:
            if os.path.isabs(name) or ".." in pathlib.PurePath(name).parts:
                raise ValueError(f"{name} lies outside its folder")
    except ValueError as error:
        raise _unfit(path, str(error)) from error
    return Record(
        content.name, content.depends, content.together, content.results, faces
    )


def _unpacked(face: _Face, side: int) -> Face:
    def picture(stored: bytes) -> cases.Picture:
        return np.frombuffer(stored, np.uint8).reshape(side, side, 3)

    entry = msgspec.convert(face.entry, _Entry)
    msgspec.convert(face.trace, list[_Line])
    row = {name: picture(stored) for name, stored in face.row.items()}
    answers = [picture(stored) for stored in face.answers]
    if not {"input", "completed"} <= row.keys() or len(entry.answers) > len(answers):
        raise ValueError("a picture is missing")
    landmarks = {
        name: np.array(points, np.float32) for name, points in face.landmarks.items()
    }
    finished = Finished(
        face.entry, row, face.trace, answers, {}, {}, landmarks=landmarks
    )
    return Face(finished, face.company)


def _unfit(path: pathlib.Path, why: str) -> InputError:
    return InputError(f"{path}: not {_EXPECTED} ({why}); {_GIVE}.")
