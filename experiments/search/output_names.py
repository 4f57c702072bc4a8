"""The names of the results of `experiments.inpaint`, and inputs that clash with them.

`input_listing.list_inputs` knows `NAME.png` alone.
"""

import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Sequence

from experiments.common import application, input_paths
from inpaint_jax.errors import InputError
from inpaint_jax.search.settings import Settings

# The files that each run writes once.
_OF_A_RUN = ("report.json", "trace.jsonl")
_GRID, _SHEET = re.compile(r"grid(_\d+)?"), re.compile(r"contact_sheet(_\d+)?\.html")
_ANSWER = re.compile(r"(.+)_([2-9]|[1-9]\d{1,2})")
_FACE = re.compile(r"(.+)_face([1-9]\d*)")


def answer(name: str, number: int) -> str:
    """Returns the name of the file with an answer for a picture, counted from 1."""
    return f"{name}.png" if number == 1 else f"{name}_{number}.png"


def animation(name: str) -> str:
    """Returns the name of the file with the search for a face as an animation."""
    return f"{name}.webp"


def sheet(page: int) -> str:
    """Returns the name of a contact sheet's page, counted from 1."""
    return "contact_sheet.html" if page == 1 else f"contact_sheet_{page}.html"


def landmarks(name: str) -> str:
    """Returns the name of the file with the landmarks in the search for a face."""
    return f"{name}_landmarks.png"


@dataclasses.dataclass(frozen=True)
class Names:
    """The names of the files that a run may write; `in` tells whether one is.

    Attributes:
      inputs: the pictures, from `input_listing.list_inputs`.
      answers: number of answers for each picture.
      animate: whether animations are written.
      landmark_figure: whether landmarks are drawn.
      several: whether a photograph may have several faces, NAME_face1 and so on.
    """

    inputs: Sequence[input_paths.Input]
    answers: int = 1
    animate: bool = False
    landmark_figure: bool = False
    several: bool = False

    @functools.cached_property
    def _names(self) -> set[str]:
        return {name for _, name in self.inputs}

    @property
    def folders(self) -> set[str]:
        """The subfolders of the results; the empty text is their folder itself."""
        return {"", *(name.rpartition("/")[0] for name in self._names)}

    def __contains__(self, file: str) -> bool:
        """Returns whether a file of this name may be written."""
        name, _, suffix = file.rpartition(".")
        if suffix == "png":
            return name in self._names or self.further(name) is not None
        if suffix == "webp":
            return self.animate and self._is_face(name)
        known = file in {*_OF_A_RUN, application.FLAG_FILE}
        return known or _SHEET.fullmatch(file) is not None

    def further(self, name: str) -> str | None:
        """Returns what is written as NAME.png beside the picture of this name."""
        if _GRID.fullmatch(name):
            return "a grid of this run"
        found = _ANSWER.fullmatch(name)
        if found and found[1] in self._names and int(found[2]) <= self.answers:
            return f"answer {found[2]} for {found[1]}"
        face = name.removesuffix("_landmarks")
        if self.landmark_figure and face != name and self._is_face(face):
            return f"the landmarks of {face}"
        return None

    def face(self, name: str) -> str | None:
        """Returns the photograph of which a face may have this name."""
        found = _FACE.fullmatch(name) if self.several else None
        return found[1] if found and found[1] in self._names else None

    def _is_face(self, name: str) -> bool:
        return name in self._names or self.face(name) is not None


def check(names: Names, *, mask: str, output: pathlib.Path) -> None:
    """Checks that no further result replaces an input, the mask or another result.

    Args:
      names: of the files that the run may write.
      mask: name or file of the mask.
      output: folder of the results.

    Raises:
      InputError: one would.
    """
    for path, name in names.inputs:
        if like := names.further(name):
            of_answers = like.startswith("answer")
            flag = f"--answers={names.answers}: {path}"
            raise InputError(
                f"{flag if of_answers else f'--images={path}:'} would be written as "
                f"{name}.png, like {like}; rename it"
                f"{' or give fewer answers' if of_answers else ''}."
            )
        if photograph := names.face(name):
            raise InputError(
                f"--images={path}: would be called {name}, like a face of "
                f"{photograph}; rename it, or give --face=largest."
            )
    folder = os.path.realpath(output)
    for path in (*(path for path, _ in names.inputs), mask):
        if not os.path.exists(path):
            continue
        if os.path.relpath(os.path.realpath(path), folder) in names:
            raise InputError(
                f"--output_dir={output}: {path} would be overwritten by a result; give "
                "another folder."
            )


def check_count(answers: int, settings: Settings) -> None:
    """Checks that a search ends with as many restarts as answers are wanted.

    Raises:
      InputError: it does not.
    """
    restarts, _ = settings.stages[-1]
    if answers > restarts:
        raise InputError(
            f"--answers={answers}: the search ends with {restarts} restarts, so give "
            f"at most {restarts}."
        )
