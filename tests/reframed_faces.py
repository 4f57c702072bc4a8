"""Completes aligned faces in other frames: tilted, moved, framed as in FFHQ.

    python -m tests.reframed_faces --images=DIR --first=9101 --count=32 --work=DIR \
        -- --restarts=8

The folder holds aligned pictures, named by their numbers. For each way of framing each
is a photograph of its own; its hole is the central square of the aligned frame, carried
along. The control is the aligned picture, taken as it is framed. What follows `--` are
flags of `experiments.inpaint`. Prints the PSNR in the hole beside the control's, with
the paired difference and its interval, and draws all into `sheet_N.png`.
"""

import argparse
import pathlib

import numpy as np
from PIL import Image

from experiments.common import reporting, statistics
from inpaint_jax.images import alignment
from inpaint_jax.io import files, picture_files
from tests import annotated_photographs as annotated

WIDTH, HEIGHT = 178, 218
MIDDLE = np.array([WIDTH - 1, HEIGHT - 1]) / 2
SQUARE = 64  # side of the hole in CelebA pixels
EYES, MOUTH = (slice(36, 42), slice(42, 48)), [48, 54]
SIDE = 256  # of a picture framed as in FFHQ
ROWS = 8


def turned(degrees: float, *, down: float = 0.0) -> alignment.Similarity:
    """Turns an aligned picture about its middle, and moves it."""
    a = np.deg2rad(degrees)
    linear = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    shift = MIDDLE - linear @ MIDDLE + [0.0, down]
    return alignment.Similarity(np.column_stack([linear, shift]))


def ffhq() -> alignment.Similarity:
    """FFHQ's square around a mean face (Karras et al. 2019, appendix C).

    Four eye distances wide, or 3.6 times from the eyes to the mouth, and a tenth of
    that way below the eyes.
    """
    points = alignment.TEMPLATE + MIDDLE
    left, right = (points[eye].mean(axis=0) for eye in EYES)
    eyes, mouth = (left + right) / 2, points[MOUTH].mean(axis=0)
    side = max(4.0 * np.hypot(*(right - left)), 3.6 * np.hypot(*(mouth - eyes)))
    middle, scale = eyes + 0.1 * (mouth - eyes), SIDE / side
    shift = (SIDE - 1) / 2 - scale * middle
    return alignment.Similarity(np.column_stack([scale * np.eye(2), shift]))


CONTROL = "aligned"
WAYS = {
    CONTROL: (turned(0), (HEIGHT, WIDTH)),
    "tilted by 15 degrees": (turned(15), (HEIGHT, WIDTH)),
    "tilted by 30 degrees": (turned(30), (HEIGHT, WIDTH)),
    "25 pixels down": (turned(0, down=25), (HEIGHT, WIDTH)),
    "framed as in FFHQ": (ffhq(), (SIDE, SIDE)),
}


def reframed(picture, hole, way: alignment.Similarity, shape: tuple[int, int]):
    """An aligned picture, continued by reflection, and its hole in another frame."""
    padded = np.pad(picture, ((HEIGHT,) * 2, (WIDTH,) * 2, (0, 0)), "symmetric")
    corner = np.column_stack([np.eye(2), [-WIDTH, -HEIGHT]])
    from_padded = way.after(alignment.Similarity(corner))
    size, (height, width) = max(shape), shape
    found = alignment.to_frame(padded, from_padded, size=size)[:height, :width]
    return found, alignment.hole_to_frame(hole, way, size=size)[:height, :width]


def prepare(folder: pathlib.Path, names: list[str], work: pathlib.Path) -> dict:
    """Writes the pictures and their masks; returns {way: {name: (picture, hole)}}."""
    square = np.zeros((HEIGHT, WIDTH), bool)
    top, left = (HEIGHT - SQUARE) // 2, (WIDTH - SQUARE) // 2
    square[top : top + SQUARE, left : left + SQUARE] = True
    cases = {}
    for way, given in WAYS.items():
        for part in (way, f"{way} masks"):
            files.make_directory(work / part)
        cases[way] = {}
        for name in names:
            (path,) = folder.glob(f"{name}.*")
            large = Image.open(path).convert("RGB").resize((WIDTH, HEIGHT), 3)
            picture, hole = reframed(np.asarray(large), square, *given)
            damaged = np.where(hole[..., None], np.uint8(255), picture)
            picture_files.write(work / way / f"{name}.png", damaged)
            mask = annotated.stencil(hole)
            picture_files.write(work / f"{way} masks" / f"{name}.png", mask)
            cases[way][name] = picture, hole
    return cases


def completed(work: pathlib.Path, way: str, name: str):
    """The completed picture; None if its face was not found."""
    path = work / "completed" / way / f"{name}.png"
    return picture_files.read(path) if path.exists() else None


def table(work: pathlib.Path, cases: dict) -> str:
    """A row for each way: faces found, PSNR, and the difference from the control."""
    scores = {}
    for way, given in cases.items():
        scores[way] = {}
        for name, (picture, hole) in given.items():
            result = completed(work, way, name)
            if result is not None:
                scores[way][name] = annotated.hidden_psnr(result, picture, hole)
    rows = [("framed", "completed", "PSNR, dB", "control", "difference, 95 % interval")]
    for way, found in scores.items():
        values = np.array(list(found.values()))
        control = np.array([scores[CONTROL][name] for name in found])
        told = statistics.interval(values - control, np.random.default_rng(0))
        difference = "{mean:+.2f} [{low:+.2f}, {high:+.2f}]".format(**told)
        means = f"{values.mean():.2f}", f"{control.mean():.2f}"
        rows += [(way, f"{len(found)} of {len(cases[way])}", *means, difference)]
    return reporting.table(rows)


def sheets(work: pathlib.Path, cases: dict, names: list[str]) -> None:
    """Draws what came out, turned back into the aligned frame."""
    for page, first in enumerate(range(0, len(names), ROWS), start=1):
        shown, tiles = names[first : first + ROWS], []
        for name in shown:
            row = [cases[CONTROL][name][0]]
            for way in WAYS:
                result = completed(work, way, name)
                row.append(np.zeros_like(row[0]) if result is None else result)
            back = [turned(0), *(way for way, _ in WAYS.values())]
            frame = alignment.central(HEIGHT, WIDTH, crop=128, size=128)
            tiles.append(
                [
                    alignment.to_frame(each, frame.after(way.inverse), size=128)
                    for each, way in zip(row, back, strict=True)
                ]
            )
        sheet = reporting.captioned_sheet(
            tiles, headings=["original", *WAYS], names=shown, enlarge=1
        )
        picture_files.write(work / f"sheet_{page}.png", sheet)


def main() -> None:
    """Prepares, completes and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--measure_only", action="store_true")
    parser.add_argument("flags", nargs="*")
    asked = parser.parse_args()
    names = [f"{asked.first + i:06d}" for i in range(asked.count)]
    cases = prepare(asked.images, names, asked.work)
    for way in WAYS if not asked.measure_only else ():
        as_framed = ["--face=none"] if way == CONTROL else []
        annotated.complete(asked.work, way, f"{way} masks", [*asked.flags, *as_framed])
    print(table(asked.work, cases))
    sheets(asked.work, cases, names)


if __name__ == "__main__":
    main()
