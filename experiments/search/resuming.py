"""Which photographs of a run are finished already, by records of earlier ones.

A photograph is finished if all that its results depend on is as its record says, and
its files are as they were written. All else is computed anew.
"""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from experiments.common import (
    fields,
    identity,
    input_paths,
    mask_specs,
    progress,
    stopping,
)
from experiments.search import finished_records, guidance
from experiments.search.finished_records import Face, Identity, Record
from experiments.search.picture_results import Finished
from experiments.search.picture_search import Photo, Result
from inpaint_jax.errors import InputError
from inpaint_jax.io import files
from inpaint_jax.pretrained import weights

# Flags that name places, or are part of what follows them in `of_run`.
_OTHERS = {"images", "mask", "output_dir", "checkpoint", "landmark_model"}
_OTHERS |= {"landmark_net", "structure_gfc", "structure_ce", "images_at_once"}
_OTHERS |= {"max_memory", "original_known"}


def of_run(
    options: Sequence[Any],
    model: weights.Model,
    guides: guidance.Guidance,
    environment: Mapping[str, Any],
) -> Identity:
    """Returns what all results of a run depend on.

    Args:
      options: dataclasses of its flags.
      model: the networks.
      guides: what guides its searches.
      environment: from `reporting.environment`.
    """
    flags = [flag for each in options for flag in fields.listed(each)]
    return {
        **{
            f"--{flag.name}": flag.default for flag in flags if flag.name not in _OTHERS
        },
        "networks": {
            "sha256": identity.of_model(model.source),
            "architecture": dataclasses.asdict(model.architecture),
            "crop": model.crop,
            "encodes": model.encodes,
            "prior": model.prior,
        },
        "models that guide": {
            name: identity.of_model(source) if isinstance(source, Mapping) else source
            for name, source in guides.models.items()
        },
        "version of the code": identity.of_code(),
        "versions of packages": environment["versions"],
        "device": environment["device"],
    }


def of_picture(
    picture: input_paths.Input, hole: mask_specs.MaskSpec, run: Identity
) -> Identity:
    """Returns what the results of a picture depend on; nothing if it cannot be read.

    Args:
      picture: the picture.
      hole: its mask.
      run: what all results of the run depend on.
    """
    try:
        found = {
            "picture": identity.of_file(picture.path),
            "name of the picture": ascii(picture.path.name),  # its seed
            "mask": hole.identity(picture),
        }
    except (OSError, ValueError):
        return {}
    return finished_records.as_stored(found | run)


Depends = Callable[[input_paths.Input], Identity]
"""Input -> what its results depend on, see `of_picture`."""


class Resumed(NamedTuple):
    """The photographs of a run.

    Attributes:
      photos: all of them, in their order.
      together: number of images in the program of those that are finished; None if
        none is.
      finished: whether all are.
    """

    photos: Iterable[Photo]
    together: int | None
    finished: bool


def anew(inputs: Iterable[input_paths.Input], depends: Depends) -> Resumed:
    """Returns the photographs of a run that begins anew; files are read when needed.

    Args:
      inputs: the pictures.
      depends: returns what the results of a picture depend on.
    """
    photos = (Photo(each, depends(each)) for each in inputs)
    return Resumed(photos, None, finished=False)


def resumed(
    inputs: Sequence[input_paths.Input],
    depends: Depends,
    output: pathlib.Path,
) -> Resumed:
    """Returns the photographs of a run that goes on, and says what it passes over.

    Args:
      inputs: the pictures.
      depends: returns what the results of a picture depend on.
      output: folder of the results.
    """
    photos, together, again = [], None, collections.Counter[str]()
    for picture in inputs:
        stopping.check()
        photo = Photo(picture, depends(picture))
        record = _read(output, picture.name)
        why = [] if record is None else list(_changes(record, photo, output, together))
        if record is not None and not why:
            together = record.together
            companies = tuple(face.company for face in record.faces)
            photo = dataclasses.replace(photo, companies=companies)
        again[", ".join(why)] += bool(why)
        photos.append(photo)
    _tell(photos, +again)
    return Resumed(photos, together, all(photo.companies for photo in photos))


def _read(output: pathlib.Path, name: str) -> Record | None:
    try:
        return finished_records.read(output, name)
    except InputError as error:
        progress.say(f"{name}: {error}")
        return None


def _changes(
    record: Record, photo: Photo, output: pathlib.Path, together: int | None
) -> Iterator[str]:
    """Yields the names of what has changed since a photograph was finished."""
    now: Identity = photo.depends
    names = dict.fromkeys([*record.depends, *now])
    yield from (name for name in names if record.depends.get(name) != now.get(name))
    most = photo.depends.get("--images_at_once", 0)
    if record.together > most or together not in (None, record.together):
        yield "number of images in a program"
    if finished_records.changed(record, output):
        yield "results"


def _tell(photos: Sequence[Photo], again: Mapping[str, int]) -> None:
    finished = sum(bool(photo.companies) for photo in photos)
    text = f"--resume: {finished} of {len(photos)} pictures are finished"
    changed = "; ".join(f"{why} ({count})" for why, count in again.items())
    if changed:
        text += f"; computed again, as these changed: {changed}"
    progress.say(text)


class Records:
    """The records of a run: those that it finds, and those that it writes."""

    def __init__(self, output: pathlib.Path) -> None:
        """Begins without a face.

        Args:
          output: folder of the results.
        """
        self._output = output
        self._kept: set[str] = set()
        self._found: Record | None = None
        self._photo: Photo | None = None
        self._faces: list[Face] = []
        self._results: dict[str, str] = {}

    @functools.cached_property
    def _folder(self) -> pathlib.Path:
        return files.make_directory(self._output / finished_records.FOLDER)

    def finished(self, result: Result) -> Finished:
        """Returns a face of a photograph that is finished.

        Raises:
          InputError: its record is no longer there.
        """
        name = result.photo.picture.name
        if self._found is None or self._found.name != name:
            self._found = finished_records.read(self._output, name)
            self._kept.add(name)
        if self._found is None or result.number >= len(self._found.faces):
            raise InputError(
                f"{self._output}: the record of {name} has gone; give the same command "
                "again."
            )
        found = self._found.faces[result.number].finished
        last = result.number + 1 == len(self._found.faces)
        return found._replace(stored=tuple(self._found.results) if last else ())

    def add(self, result: Result, finished: Finished) -> None:
        """Adds a face, whose files are written, and the record with the last face.

        Raises:
          OutputError: it cannot be written.
        """
        if self._photo is not result.photo:
            self._photo, self._faces, self._results = result.photo, [], {}
        self._faces.append(Face(finished, result.company))
        for name in finished.files:
            sha256 = finished_records.hash_of_result(self._output, name)
            self._results[name] = sha256
        depends, name = result.photo.depends, result.photo.picture.name
        if not finished.photographs or not depends:
            return
        finished_records.write(
            self._folder,
            Record(name, depends, result.together, self._results, self._faces),
        )
        self._kept.add(name)

    def tidy(self) -> None:
        """Removes records of other runs that cannot be read, or no longer hold.

        Raises:
          OutputError: one cannot be removed.
        """
        finished_records.tidy(self._output, self._kept)
