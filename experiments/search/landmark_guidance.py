"""What a search is told of landmarks: nothing, or a term and where they should be."""

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
    """What tells a search about landmarks."""

    @property
    def sees_original(self) -> bool:
        """Whether it looks at the undamaged image: results are an upper bound."""
        ...

    def loss(self) -> problem.LandmarkLoss | None:
        """Returns the landmark loss of all searches, if there is one."""
        ...

    def problem(self, case: cases.Case) -> tuple[problem.Problem, targets.Entry]:
        """Returns what the search for one picture knows, and the report says of it.

        Raises:
          InputError: there is no telling where the landmarks should be.
        """
        ...

    def describe(self) -> dict[str, Any] | None:
        """Returns what the report says of the landmark term and the models."""
        ...


@dataclasses.dataclass(frozen=True)
class WithoutLandmarks:
    """A search without landmarks.

    Attributes:
      models: hashes of the model files that were read, for scores.
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
    """A search with the landmark term.

    Attributes:
      term: the landmark loss with its models.
      target: where the points should be.
      models: hashes of the model files that were read.
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
