"""Pictures that are left out, with the reason."""

import dataclasses
import pathlib
from collections.abc import Iterable

from experiments.common import input_listing, progress
from inpaint_jax.errors import InputError, printable


@dataclasses.dataclass(frozen=True)
class Skipped:
    """Pictures that could not be completed.

    Attributes:
      alone: whether there is only one picture, so that its error ends the run.
      reasons: the reason for each file that was passed over or skipped.
      failed: those of them that are pictures and should have been completed.
    """

    alone: bool
    reasons: list[str] = dataclasses.field(default_factory=list)
    failed: list[str] = dataclasses.field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """1 if a picture was skipped, otherwise 0."""
        return 1 if self.failed else 0

    def add(self, path: pathlib.Path, error: InputError) -> None:
        """Records and prints that a picture is skipped, with the reason.

        Raises:
          InputError: it is the only picture.
        """
        if self.alone:
            raise error
        text = str(error)
        if printable(str(path)) not in text:
            text = f"{path}: {text}"
        self._say(text)
        self.failed.append(text)

    def pass_over(self, files: Iterable[input_listing.PassedOver]) -> None:
        """Records and prints which files were not taken for pictures to complete.

        Unlike pictures that fail, they never end a run. Only those of them that are
        pictures, of a format that is not read, change its exit code.
        """
        for file in files:
            text = f"{file.path}: {file.why}"
            self._say(text)
            if file.is_picture:
                self.failed.append(text)

    def _say(self, text: str) -> None:
        progress.say(f"skipped {text}")
        self.reasons.append(text)
