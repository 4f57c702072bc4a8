"""Figures of an evaluation: the thesis's figures 3 and 5 to 8, and what went wrong."""

import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from experiments.common import cases, records, reporting
from experiments.evaluation import completion_methods, evaluation_tables, scoring
from inpaint_jax.io import picture_files

Picture = cases.Picture
Sheet = tuple[list[list[Picture]], list[str]]
"""(rows of pictures, titles of the columns)"""

_SHOWN, _WORST = 8, 8
_POINT = (255, 60, 40)
_LOW_IS_WORSE = ("psnr_hole", "ssim_hole", "eye_detail")
_HIGH_IS_WORSE = ("nme", "nme_independent", "identity", "seam")


class Gallery:
    """The pictures of an evaluation's folder."""

    def __init__(self, folder: pathlib.Path, rows: Sequence[records.Row]) -> None:
        """Looks up what there is.

        Args:
          folder: --output_dir of experiments.evaluate.
          rows: of its `scores.csv`.
        """
        self.folder, self.rows = folder, rows
        self.masks = list(dict.fromkeys(row["mask"] for row in rows))
        self.methods = list(dict.fromkeys(row["method"] for row in rows))

    def common(self) -> list[str]:
        """Returns the images that every method has completed under every mask."""
        found = [
            evaluation_tables.images(self.rows, method, mask)
            for method in self.methods
            for mask in self.masks
        ]
        return sorted(set.intersection(*found))

    def original(self, image: str) -> Picture:
        """Returns the undamaged picture."""
        return picture_files.read(self.folder / "originals" / f"{image}.png")

    def damaged(self, mask: str, image: str) -> Picture:
        """Returns what a method was given."""
        return picture_files.read(self.folder / "damaged" / mask / f"{image}.png")

    def completed(self, method: str, mask: str, image: str) -> Picture:
        """Returns what it made of it."""
        folder = self.folder / "completions" / mask / method
        return picture_files.read(folder / f"{image}.png")


def write(gallery: Gallery, *, crop: int) -> None:
    """Draws all figures that need no more than the pictures and scores of a folder.

    Args:
      gallery: of the folder.
      crop: side of the pictures in CelebA pixels.
    """
    common = gallery.common()
    # Spread over the images, so that no figure shows hand-picked ones.
    chosen = common[:: max(1, len(common) // _SHOWN)][:_SHOWN]
    if chosen:
        for name, methods in (
            ("local", completion_methods.LOCAL),
            ("learned", completion_methods.LEARNED),
        ):
            shown = [m for m in methods if m in gallery.methods]
            if shown:
                _save(gallery, f"{name}.png", *_beside(gallery, chosen, shown))
        each = chosen[: len(gallery.masks)]
        _save(gallery, "systems.png", *_beside(gallery, each, gallery.methods))
        _save(gallery, "samples.png", *_samples(gallery, chosen))
        _save(gallery, "points.png", *_points(gallery, chosen, crop))
    for method in gallery.methods:
        _save(gallery, f"failures_{method}.png", *_failures(gallery, method))


def write_steps(gallery: Gallery, traces: dict[str, list[dict[int, Picture]]]) -> None:
    """Draws what searches hold for the best face as they go on (thesis, fig. 3).

    Args:
      gallery: where to write.
      traces: {method: {iteration: face} for each image}; a figure for each method, with
        a row for each image.
    """
    for method, followed in traces.items():
        rows = [list(faces.values()) for faces in followed]
        first, *others = map(str, followed[0])
        _save(gallery, f"steps_{method}.png", rows, [f"{method}: {first}", *others])


def _beside(gallery: Gallery, chosen: Sequence[str], methods: Sequence[str]) -> Sheet:
    # Each image under one of the masks, in turn.
    masks = [gallery.masks[i % len(gallery.masks)] for i in range(len(chosen))]
    rows = [
        [
            gallery.damaged(mask, image),
            *(gallery.completed(method, mask, image) for method in methods),
            gallery.original(image),
        ]
        for mask, image in zip(masks, chosen, strict=True)
    ]
    return rows, ["input", *methods, "original"]


def _samples(gallery: Gallery, chosen: Sequence[str]) -> Sheet:
    method = _ours(gallery)
    rows = [
        [gallery.original(image)]
        + [
            picture
            for mask in gallery.masks
            for picture in (
                gallery.damaged(mask, image),
                gallery.completed(method, mask, image),
            )
        ]
        for image in chosen
    ]
    return rows, ["original", *(t for mask in gallery.masks for t in (mask, method))]


def _points(gallery: Gallery, chosen: Sequence[str], crop: int) -> Sheet:
    """Dlib's points on originals, on what is left of them, and on completions."""
    method, mask = _ours(gallery), gallery.masks[0]
    columns = {
        "original": [gallery.original(image) for image in chosen],
        "input": [gallery.damaged(mask, image) for image in chosen],
        method: [gallery.completed(method, mask, image) for image in chosen],
    }
    truth = scoring.truth(np.stack(columns["original"]), crop=crop)
    drawn = []
    for pictures in columns.values():
        points = truth.detectors.landmarks68.predict(np.stack(pictures), truth.boxes)
        drawn.append([_marked(*each) for each in zip(pictures, points[0], strict=True)])
    return [list(row) for row in zip(*drawn, strict=True)], list(columns)


def _failures(gallery: Gallery, method: str) -> Sheet:
    """Original and completion where each score is worst."""
    rows = []
    for metric in (*_LOW_IS_WORSE, *_HIGH_IS_WORSE):
        known = [
            row
            for row in gallery.rows
            if row["method"] == method and not np.isnan(row[metric])
        ]
        known.sort(key=lambda row: row[metric], reverse=metric in _HIGH_IS_WORSE)
        worst = [(row["mask"], row["image"]) for row in known[:_WORST]]
        if worst:
            rows.append([gallery.original(image) for _, image in worst])
            rows.append([gallery.completed(method, *each) for each in worst])
    return rows, [f"{method}: worst by {', '.join((*_LOW_IS_WORSE, *_HIGH_IS_WORSE))}"]


def _ours(gallery: Gallery) -> str:
    return "landmark" if "landmark" in gallery.methods else gallery.methods[0]


def _marked(
    picture: Picture, points: Float[np.ndarray, "68 2"], scale: int = 4
) -> Picture:
    image = Image.fromarray(picture).resize(
        (picture.shape[1] * scale, picture.shape[0] * scale), Image.Resampling.BICUBIC
    )
    draw = ImageDraw.Draw(image)
    for x, y in (points + 0.5) * scale:
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=_POINT)
    return np.asarray(image)


def _save(
    gallery: Gallery, name: str, rows: list[list[Picture]], titles: list[str]
) -> None:
    if not rows:
        return
    enlarge = 2 if rows[0][0].shape[0] <= 64 else 1
    sheet = reporting.captioned_sheet(rows, headings=titles, enlarge=enlarge)
    picture_files.write(gallery.folder / "figures" / name, sheet)
