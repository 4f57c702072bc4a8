"""Pictures that are left out, with the reason."""

import dataclasses
import pathlib

from experiments.common import progress
from inpaint_jax.errors import InputError, printable


@dataclasses.dataclass(frozen=True)
class Skipped:
    """Pictures that could not be completed.

    Attributes:
      alone: whether there is only one picture, so that its error ends the run.
      reasons: the reason for each skipped picture.
    """

    alone: bool
    reasons: list[str] = dataclasses.field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """1 if a picture was skipped, otherwise 0."""
        return 1 if self.reasons else 0

    def add(self, path: pathlib.Path, error: InputError) -> None:
        """Records and prints that a picture is skipped, with the reason.

        Raises:
          InputError: it is the only picture.
        """
        if self.alone:
            raise error
        text = str(error)
        if printable(path.stem) not in text:
            text = f"{path}: {text}"
        progress.say(f"skipped {text}")
        self.reasons.append(text)
