"""Refuses inputs that further results of `experiments.inpaint` would overwrite.

`input_listing.list_inputs` knows `NAME.png` and what each run writes; here are the
files that flags ask for, and contact sheets.
"""

import os
import pathlib
from collections.abc import Sequence

from experiments.common import input_paths
from experiments.search import sheet_pages
from inpaint_jax.errors import InputError
from inpaint_jax.search.problem import Settings


def answer(name: str, number: int) -> str:
    """Returns the name of the file with an answer for a picture, counted from 1."""
    return f"{name}.png" if number == 1 else f"{name}_{number}.png"


def animation(name: str) -> str:
    """Returns the name of the file with the search for a picture as an animation."""
    return f"{name}.webp"


def check(
    inputs: Sequence[input_paths.Input],
    *,
    mask: str,
    output: pathlib.Path,
    answers: int,
    animate: bool,
) -> None:
    """Checks that no further result replaces an input, the mask or another result.

    Args:
      inputs: the pictures, from `input_listing.list_inputs`.
      mask: name or file of the mask.
      output: folder of the results.
      answers: number of answers for each picture.
      animate: whether animations are written.

    Raises:
      InputError: one would.
    """
    names = [name for _, name in inputs]
    further = {
        answer(name, number): f"answer {number} for {name}"
        for name in names
        for number in range(2, answers + 1)
    }
    for path, name in inputs:
        if f"{name}.png" in further:
            raise InputError(
                f"--answers={answers}: {path} would be written as {name}.png, like "
                f"{further[f'{name}.png']}; rename it or give fewer answers."
            )
    written = {*further, *(animation(name) for name in names if animate)}
    written |= {sheet_pages.name(page) for page in sheet_pages.numbers(len(inputs))}
    outputs = {os.path.realpath(output / name) for name in written}
    for path in (*(path for path, _ in inputs), mask):
        if os.path.exists(path) and os.path.realpath(path) in outputs:
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
