"""Writes the reports of runs: logs, sheets of pictures, tables, versions."""

import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from inpaint_jax import runtime
from inpaint_jax.errors import InputError, printable
from inpaint_jax.io import files

INK = (30, 30, 30)
"""Colour of text on pictures."""
_FONT = 13  # pixels


class JsonLines:
    """A log with one JSON object per line, which a resumed run continues."""

    def __init__(self, path: str | os.PathLike[str], *, resume_after: int = -1) -> None:
        """Opens the log; the file changes with the first line that is added.

        Args:
          path: the file.
          resume_after: step of the checkpoint from which the run resumes; lines with a
            larger "step" are dropped.
        """
        self._path = pathlib.Path(path)
        self._kept: list[str] | None = _lines_until(self._path, resume_after)

    def append(self, **values: Any) -> None:
        """Adds one line.

        Raises:
          OutputError: the line cannot be written.
        """
        line = json.dumps(files.finite(values), allow_nan=False) + "\n"
        if self._kept is not None:
            files.write_text(self._path, "".join(kept + "\n" for kept in self._kept))
            self._kept = None
        files.append_text(self._path, line)


def sheet(
    rows: list[list[UInt8[np.ndarray, "height width 3"]]], *, enlarge: int = 1
) -> UInt8[np.ndarray, "sheet_height sheet_width 3"]:
    """Arranges pictures of one size in rows on white, with a gap of two pixels.

    Args:
      rows: rows of pictures; shorter rows are filled with white.
      enlarge: whole-number scale, without smoothing.

    Returns:
      The sheet as one picture.
    """
    height, width = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    canvas = np.full(
        (len(rows) * (height + 2) + 2, columns * (width + 2) + 2, 3), 255, np.uint8
    )
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = 2 + i * (height + 2), 2 + j * (width + 2)
            canvas[top : top + height, left : left + width] = picture
    return canvas.repeat(enlarge, axis=0).repeat(enlarge, axis=1)


def captioned_sheet(
    rows: list[list[UInt8[np.ndarray, "height width 3"]]],
    *,
    headings: Sequence[str],
    names: Sequence[str] = (),
    enlarge: int = 1,
) -> UInt8[np.ndarray, "sheet_height sheet_width 3"]:
    """Arranges pictures as `sheet` does, with headings above and names on the left.

    Args:
      rows: rows of pictures.
      headings: headings of the columns, from the left; a long one overlaps the next.
      names: names of the rows, or none.
      enlarge: whole-number scale of the pictures.
    """
    pictures = Image.fromarray(sheet(rows, enlarge=enlarge))
    font = ImageFont.load_default(size=_FONT)
    names = [printable(name) for name in names]
    margin = round(max((font.getlength(name) for name in names), default=-8)) + 8
    size = margin + pictures.width, _FONT + 6 + pictures.height
    image = Image.new("RGB", size, "white")
    image.paste(pictures, (margin, _FONT + 6))
    pen = ImageDraw.Draw(image)
    height, width = (enlarge * (side + 2) for side in rows[0][0].shape[:2])
    for i, heading in enumerate(headings):
        pen.text((margin + 2 + i * width, 1), heading, INK, font)
    for i, name in enumerate(names):
        middle = _FONT + 6 + (i + 0.5) * height
        pen.text((4, middle), name, INK, font, anchor="lm")
    return np.asarray(image)


def in_rows(
    images: UInt8[np.ndarray, "count height width 3"], columns: int = 8
) -> list[list[UInt8[np.ndarray, "height width 3"]]]:
    """Arranges pictures in rows for a `sheet`."""
    return [list(images[i : i + columns]) for i in range(0, len(images), columns)]


def table(rows: Sequence[Sequence[Any]]) -> str:
    """Returns a table in Markdown.

    Args:
      rows: rows of cells; the first row is the head.
    """
    head, *body = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *body])


def environment() -> dict[str, Any]:
    """Returns versions of packages, commit and device, for reports."""
    packages = ("inpaint-jax", "jax", "jaxlib", "flax", "optax", "numpy", "pillow")
    optional = ("dlib-bin", "dlib")
    versions = {name: _version(name) for name in packages}
    versions |= {name: v for name in optional if (v := _version(name)) is not None}
    device = jax.devices()[0]
    return {
        "versions": versions,
        "commit": _commit(),
        "python": platform.python_version(),
        "device": f"{device.platform}: {device.device_kind}",
        "cores": runtime.available_cores(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=pathlib.Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def _lines_until(path: pathlib.Path, step: int) -> list[str]:
    if step < 0 or not os.path.isfile(path):
        return []
    try:
        text = path.read_text(encoding="utf-8")
        # An incomplete last line is left out.
        lines = text[: text.rfind("\n") + 1].splitlines()
        return [line for line in lines if json.loads(line)["step"] <= step]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: not the log of a run; move it away or give another folder."
        ) from error
