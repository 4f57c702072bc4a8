"""The networks of a server, and the faces of the photographs that come to it."""

import contextvars
import functools
import pathlib
import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments.common import (
    cases,
    chosen_faces,
    input_paths,
    mask_specs,
    photo_cases,
)
from experiments.evaluation import completion_methods
from experiments.page import choices
from experiments.search import face_finder, search_methods
from inpaint_jax.images import alignment
from inpaint_jax.io import photographs
from inpaint_jax.pretrained import weights

Check = Callable[[], None]

CHECK: contextvars.ContextVar[Check] = contextvars.ContextVar("check")
"""Is called again and again by what completes in this thread; it may raise `Ended`."""

_KEPT_PROGRAMS = 8


class Ended(Exception):
    """A completion ends before its end; the text says why."""


class Damaged(NamedTuple):
    """A photograph with its hole.

    Attributes:
      name: of its file, on which the seed of the search depends.
      content: the file's bytes.
      photo: the photograph.
      hole: True in the hole.
    """

    name: str
    content: bytes
    photo: photographs.Photograph
    hole: mask_specs.HolePixels


class Engine:
    """The networks and methods of a server.

    Searches are for one thread; faces are found by one thread after the other.
    """

    def __init__(
        self, model: weights.Model, learned: completion_methods.Learned
    ) -> None:
        """Takes the networks; methods are prepared when they are asked for.

        Args:
          model: the networks of searches.
          learned: the networks and faces of the other methods.
        """
        size = model.architecture.image_size
        self._model, self._crop, self._size = model, model.crop, size
        self._finder = face_finder.Finder(model.crop, size, check=check)
        self._finding = threading.Lock()
        self._learned = learned
        self.search = functools.lru_cache(_KEPT_PROGRAMS)(self._prepared)
        self.one_pass = functools.cache(self._named)

    def outlines(self, photo: photographs.Photograph) -> list[list[list[float]]]:
        """Returns the corners of the frames of a photograph's faces, in its pixels."""
        with self._finding:
            found = self._finder.faces(photo.on_white(), None)
        return [corners(face.frame, self._size) for face in found]

    def cases(self, damaged: Damaged, choice: choices.Choice) -> list[cases.Case]:
        """Frames the faces that the hole meets.

        Raises:
          InputError: there is none.
        """
        asked = choice.asked
        face = "none" if asked.framed else "all"
        faces = chosen_faces.Choice(face, self._finder, self._crop, self._size)
        path = pathlib.Path(damaged.name)
        spec = mask_specs.MaskSpec(
            "the brush", None, lambda *_: mask_specs.Hole(damaged.hole, "the hole")
        )
        wanted = photo_cases.Wanted(
            functools.partial(chosen_faces.frames, choice=faces),
            crop=self._crop,
            size=self._size,
            seed=0,
            original_known=asked.original_known,
        )
        given = input_paths.Input(path, path.stem)
        with self._finding:
            return photo_cases.framed(given, damaged.photo, spec, wanted=wanted)

    def _prepared(self, asked: search_methods.Asked) -> search_methods.SearchMethod:
        return search_methods.prepare("search", asked, self._model, images=1)

    def _named(self, name: str) -> completion_methods.CompletionMethod:
        return completion_methods.named(
            name, self._model, self._learned, at_once=1, flag="--method"
        )


def check() -> None:
    """Asks whether what runs in this thread may go on.

    Raises:
      Ended: it may not.
    """
    CHECK.get(lambda: None)()


def corners(frame: alignment.Similarity, size: int) -> list[list[float]]:
    """Returns the corners of a frame in the pixels of its photograph."""
    return np.round(frame.inverse.apply(alignment.corners(size)) + 0.5, 1).tolist()
