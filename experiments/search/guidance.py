"""What guides a search beside the known pixels: landmarks, a structural prior."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from experiments.common import cases
from experiments.search import targets
from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.images import pixels
from inpaint_jax.search import landmark_term, problem, structure_term


class Guide(Protocol):
    """A term of the loss, and what it draws each face to."""

    @property
    def sees_original(self) -> bool:
        """Whether it uses the undamaged image, so that results are an upper bound."""
        ...

    def loss(self) -> problem.WeightedTerm:
        """Returns the term."""
        ...

    def target(self, case: cases.Case, image: types.Image) -> tuple[Any, targets.Entry]:
        """Returns (what one face is drawn to, entry for the report).

        Args:
          case: the face.
          image: the damaged image, `[1, H, W, 3]`.

        Raises:
          InputError: it cannot be found.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Returns the report's entry about the term and its models."""
        ...


@dataclasses.dataclass(frozen=True)
class Landmarks:
    """A landmark loss.

    Attributes:
      weight: of the loss.
      term: the loss with its models.
      finder: finds the target landmarks of an image.
    """

    weight: float
    term: landmark_term.LandmarkTerm
    finder: targets.Target

    @property
    def sees_original(self) -> bool:
        """See `Guide`."""
        return self.finder.sees_original

    def loss(self) -> problem.WeightedTerm:
        """See `Guide`."""
        return problem.WeightedTerm(
            self.weight, self.term, self.term.settings.has_gradient
        )

    def target(
        self, case: cases.Case, image: types.Image
    ) -> tuple[landmark_term.Target, targets.Entry]:
        """See `Guide`."""
        target, entry = self.finder.of(case, image)
        if not bool(jnp.isfinite(target.landmarks).all()):
            raise InputError(
                f"{case.name}: no landmarks can be placed in the box "
                f"{target.box[0].tolist()}."
            )
        return target, entry

    def describe(self) -> dict[str, Any]:
        """See `Guide`."""
        described = dataclasses.asdict(self.term.settings)
        described |= {"target": self.finder.name}
        if self.sees_original:
            described["note"] = "upper bound: the target is the undamaged image's"
        return described


@dataclasses.dataclass(frozen=True)
class Structure:
    """A structural prior.

    Attributes:
      weight: of the term.
      term: the term.
      draw: functions that draw the hole; each is a pytree.
      tolerance: as in `structure_term.target`.
      sources: their names.
      models: {name: hash} of the model files that were read.
      fades: whether its weight falls to 0 in the course of the search.
    """

    weight: float
    term: structure_term.StructureTerm
    draw: tuple[structure_term.Draw, ...]
    tolerance: float
    sources: tuple[str, ...]
    models: Mapping[str, Any]
    fades: bool = True
    sees_original = False

    def loss(self) -> problem.WeightedTerm:
        """See `Guide`."""
        return problem.WeightedTerm(self.weight, self.term, fades=self.fades)

    def target(
        self, case: cases.Case, image: types.Image
    ) -> tuple[structure_term.Target, targets.Entry]:
        """See `Guide`."""
        return _structure(self.draw, image, case.mask, tolerance=self.tolerance), {}

    def describe(self) -> dict[str, Any]:
        """See `Guide`."""
        return {
            **dataclasses.asdict(self.term),
            "tolerance": self.tolerance,
            "fades": self.fades,
            "sources": list(self.sources),
        }


@dataclasses.dataclass(frozen=True)
class Guidance:
    """All that guides a search.

    Attributes:
      landmarks: the landmark loss; None without it.
      structure: the structural prior; None without it.
      landmark_models: {name: hash} of the model files that were read for landmarks, be
        it for scores alone.
    """

    landmarks: Landmarks | None = None
    structure: Structure | None = None
    landmark_models: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def guides(self) -> dict[str, Guide]:
        """{name of the term: its guide} of those that there are."""
        named = {
            landmark_term.NAME: self.landmarks,
            structure_term.NAME: self.structure,
        }
        return {name: guide for name, guide in named.items() if guide is not None}

    @property
    def sees_original(self) -> bool:
        """Whether it uses the undamaged image, so that results are an upper bound."""
        return any(guide.sees_original for guide in self.guides.values())

    @property
    def models(self) -> dict[str, Any]:
        """{name: hash} of the model files that were read."""
        drawn = {} if self.structure is None else self.structure.models
        return {**self.landmark_models, **drawn}

    def terms(self) -> dict[str, problem.WeightedTerm]:
        """Returns the terms of all searches by their names."""
        return {name: guide.loss() for name, guide in self.guides.items()}

    def problem(self, case: cases.Case) -> tuple[problem.Problem, targets.Entry]:
        """Returns (problem of one face with its targets, entry for the report).

        Raises:
          InputError: a target cannot be found.
        """
        image = pixels.from_bytes(case.picture)[None] * case.mask
        found, entry = {}, {}
        for name, guide in self.guides.items():
            found[name], described = guide.target(case, image)
            entry |= described
        return problem.Problem(image, case.mask, found), entry

    def describe(self) -> dict[str, Any]:
        """Returns the report's entries about the terms and their models."""
        return {
            "landmarks": None if self.landmarks is None else self.landmarks.describe(),
            "structure": None if self.structure is None else self.structure.describe(),
            "models": self.models,
        }


_structure = jax.jit(structure_term.target, static_argnames="tolerance")
