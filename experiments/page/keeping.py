"""Keeps finished searches in a folder, if that is asked for."""

import pathlib
import time
from typing import NamedTuple

from experiments.page import completing
from experiments.page.completing import Completed
from experiments.page.engines import Damaged
from inpaint_jax.io import files, picture_files


class Kept(NamedTuple):
    """A finished search.

    Attributes:
      damaged: the photograph with its hole.
      command: the command line that does the same; "" if there is none.
      completed: the result.
    """

    damaged: Damaged
    command: str
    completed: Completed


def keep(kept: Kept, *, folder: pathlib.Path) -> None:
    """Writes a finished search into a new folder: photograph, mask, result, command.

    The command runs there as it is.

    Args:
      kept: the search.
      folder: in which the new folder lies.

    Raises:
      OutputError: it cannot be written.
    """
    path = pathlib.Path(kept.damaged.name)
    stamp = time.strftime("%Y%m%d_%H%M%S")
    count = sum(each.name.startswith(stamp) for each in folder.iterdir())
    own = files.make_directory(folder / f"{stamp}_{count}")
    mask = completing.stencil(kept.damaged.hole)
    picture_files.write(own / f"{path.stem}_mask.png", mask)
    contents = {
        path.name: kept.damaged.content,
        f"{path.stem}_completed.png": kept.completed.photograph(0),
    }
    for name, content in contents.items():
        with files.replacing(own / name) as temporary:
            temporary.write_bytes(content)
    if kept.command:
        files.write_text(own / "command.txt", f"{kept.command}\n")
