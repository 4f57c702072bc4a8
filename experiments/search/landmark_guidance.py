"""Landmark guidance of a search: none, or a landmark loss and a target."""

import dataclasses
from typing import Any, Protocol

import jax.numpy as jnp

from experiments.common import cases
from experiments.search import targets
from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.images import pixels
from inpaint_jax.search import landmark_term, problem


class LandmarkGuidance(Protocol):
    """How a search uses landmarks."""

    @property
    def sees_original(self) -> bool:
        """Whether it uses the undamaged image, so that results are an upper bound."""
        ...

    def loss(self) -> problem.LandmarkLoss | None:
        """Returns the landmark loss of all searches, or None."""
        ...

    def problem(self, case: cases.Case) -> tuple[problem.Problem, targets.Entry]:
        """Returns (problem of one picture with its target, entry for the report).

        Raises:
          InputError: the target landmarks cannot be found.
        """
        ...

    def describe(self) -> dict[str, Any] | None:
        """Returns the report's entry about landmark loss and models, or None."""
        ...


@dataclasses.dataclass(frozen=True)
class WithoutLandmarks:
    """A search without landmarks.

    Attributes:
      models: {name: hash} of the model files that were read for scores.
    """

    models: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def sees_original(self) -> bool:
        """See `LandmarkGuidance`."""
        return False

    def loss(self) -> None:
        """See `LandmarkGuidance`."""

    def problem(self, case: cases.Case) -> tuple[problem.Problem, targets.Entry]:
        """See `LandmarkGuidance`."""
        return problem.Problem(_damaged(case), case.mask), {}

    def describe(self) -> dict[str, Any] | None:
        """See `LandmarkGuidance`."""
        return {"models": self.models} if self.models else None


@dataclasses.dataclass(frozen=True)
class WithLandmarks:
    """A search with a landmark loss.

    Attributes:
      term: the landmark loss with its models.
      target: finds the target landmarks of an image.
      models: {name: hash} of the model files that were read.
    """

    term: landmark_term.LandmarkTerm
    target: targets.Target
    models: dict[str, Any]

    @property
    def sees_original(self) -> bool:
        """See `LandmarkGuidance`."""
        return self.target.sees_original

    def loss(self) -> problem.LandmarkLoss:
        """See `LandmarkGuidance`."""
        return problem.LandmarkLoss(self.term, self.term.settings.has_gradient)

    def problem(self, case: cases.Case) -> tuple[problem.Problem, targets.Entry]:
        """See `LandmarkGuidance`."""
        image = _damaged(case)
        target, entry = self.target.of(case, image)
        if not bool(jnp.isfinite(target.landmarks).all()):
            raise InputError(
                f"{case.name}: no landmarks can be placed in the box "
                f"{target.box[0].tolist()}."
            )
        return problem.Problem(image, case.mask, target), entry

    def describe(self) -> dict[str, Any]:
        """See `LandmarkGuidance`."""
        description = dataclasses.asdict(self.term.settings)
        description |= {"target": self.target.name, "models": self.models}
        if self.sees_original:
            description["note"] = "upper bound: the target is the undamaged image's"
        return description


def _damaged(case: cases.Case) -> types.Image:
    return pixels.from_bytes(case.picture)[None] * case.mask
