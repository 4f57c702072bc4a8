"""Curves of a training's log: read from it, and drawn over the steps."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from experiments.common import plots
from inpaint_jax.errors import InputError
from inpaint_jax.io import json_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = list[tuple[float, float]]
"""(step, value) in the order of the steps."""


def read(
    path: str | os.PathLike[str], *, names: Sequence[str]
) -> dict[str, list[tuple[float, float]]]:
    """Reads curves from a `metrics.jsonl`.

    Args:
      path: the log.
      names: which values; those that are nowhere in the log are left out.

    Returns:
      {name: curve}, in the order of `names`.

    Raises:
      InputError: the file is not the log of a training.
    """
    curves: dict[str, Curve] = {name: [] for name in names}
    lines = json_files.read_lines(
        path,
        dict[str, float | None],
        expected="the log of a training",
        give="give the --run_dir of one",
    )
    for values in lines:
        if (step := values.get("step")) is None:
            raise InputError(
                f"{path}: not the log of a training (a line has no step); give the "
                "--run_dir of one."
            )
        for name in names:
            if (value := values.get(name)) is not None:
                curves[name].append((step, value))
    return {name: curve for name, curve in curves.items() if curve}


def draw(
    panels: Mapping[str, Mapping[str, Curve]], *, width: int, height: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws curves over the steps, one panel below the other.

    Args:
      panels: {label of the vertical axis: {name: curve}}; at least one panel, none of
        them and none of the curves empty.
      width: of the picture in pixels.
      height: of the picture in pixels.

    Returns:
      An RGB picture.
    """

    def panels_of(figure: "Figure") -> None:
        every = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axes, (label, curves) in zip(every, panels.items(), strict=True):
            for i, (name, curve) in enumerate(curves.items()):
                axes.plot(*np.transpose(curve), label=name, **plots.line(i))
            axes.set_ylabel(label)
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        every[-1].set_xlabel("step")
        figure.align_ylabels(every)

    return plots.render(panels_of, width=width, height=height)
