"""From completions of known faces to columns of scores, one number a face.

Landmark errors are taken by two detectors. The 68 points are those that a search with
the landmark term follows, by their model or by a net that learned from them: what it
gains there might be that detector's alone. The five points took no part in any search.
They are of another model, trained on other faces (the author of dlib's own, not iBUG
300-W), but only cover the corners of the eyes and the base of the nose: they say
nothing of mouth, jaw and brows, and they too are a cascade of dlib's.

Original and completion are measured in one box, so that their points differ by the
pictures alone. dlib places points in anything, so faces that its detector finds in the
completion are counted beside it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy
from jaxtyping import Bool, Float, Float32, Int, Real, UInt8

from inpaint_jax import types
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import framing, pixels
from inpaint_jax.landmarks import dlib_host, embedding

COLUMNS = (
    "psnr",
    "psnr_hole",
    "ssim",
    "ssim_hole",
    "l1_hole",
    "seam",
    "nme",
    "nme_independent",
    "identity",
    "faces_found",
)
"""See `metrics`; faces_found is how many faces dlib finds in the completion."""

_BLOCK = 50  # faces of one call of the compiled program

Pictures = UInt8[np.ndarray, "faces size size 3"]
Mask = Float32[np.ndarray, "faces size size 1"]
Columns = dict[str, Real[np.ndarray, " faces"]]


class Detectors(NamedTuple):
    """dlib's models, loaded once.

    Attributes:
      faces: finds boxes.
      landmarks68: places the points that searches follow.
      landmarks5: places the independent ones.
    """

    faces: dlib_host.Detector
    landmarks68: dlib_host.Predictor
    landmarks5: dlib_host.Predictor


class Truth(NamedTuple):
    """What completions are compared with.

    Attributes:
      images: the originals.
      landmarks68: their points (x, y) in pixels; NaN where there is no face.
      landmarks5: the independent points; NaN likewise.
      embeddings: of the originals.
      boxes: in which both models place their points: the detector's, or that of the
        aligned set where it does not find exactly one face.
      has_face: whether the detector finds a face in the original.
      crop: side of the images in CelebA pixels.
      detectors: to look at completions with.
    """

    images: Pictures
    landmarks68: Float32[np.ndarray, "faces 68 2"]
    landmarks5: Float32[np.ndarray, "faces 5 2"]
    embeddings: Float32[np.ndarray, "faces 128"]
    boxes: Int[np.ndarray, "faces 4"]
    has_face: Bool[np.ndarray, " faces"]
    crop: int
    detectors: Detectors

    def take(self, rows: Sequence[int]) -> "Truth":
        """Returns the truth of some of the images."""
        arrays = {
            name: values[np.asarray(rows, int)]
            for name, values in self._asdict().items()
            if isinstance(values, np.ndarray)
        }
        return self._replace(**arrays)


class _Seen(NamedTuple):
    """What is compared, on the host or traced."""

    images: UInt8[Any, "faces size size 3"]
    landmarks68: Float32[Any, "faces 68 2"]
    landmarks5: Float32[Any, "faces 5 2"]
    embeddings: Float32[Any, "faces 128"]


def truth(images: Pictures, *, crop: int, landmark_model: str | None = None) -> Truth:
    """Finds out what can be known of the originals.

    Args:
      images: RGB bytes of undamaged aligned faces.
      crop: side of the images in CelebA pixels, see `framing.frame`.
      landmark_model: dlib's 68-point model; by default the installed one.

    Raises:
      InputError: dlib or one of its models is missing or damaged.
    """
    detectors = Detectors(
        dlib_host.Detector(),
        dlib_host.Predictor(landmark_model),
        dlib_host.Predictor(points=5),
    )
    found = [detectors.faces.boxes(image) for image in images]
    aligned = np.array(framing.aligned_box(crop=crop, size=images.shape[1]), np.int32)
    boxes = np.stack([each[0] if len(each) == 1 else aligned for each in found])
    has_face = np.array([len(each) > 0 for each in found])
    seen = _look(detectors, images, boxes, crop)
    for points in (seen.landmarks68, seen.landmarks5):
        points[~has_face] = np.nan
    return Truth(*seen, boxes, has_face, crop, detectors)


def score(
    completed: Pictures,
    truth: Truth,
    mask: Float[np.ndarray, "faces size size 1"]
    | Float[jax.Array, "faces size size 1"],
) -> Columns:
    """Scores completions, as the bytes that are written to files.

    Args:
      completed: one completion of each original.
      truth: of the originals.
      mask: of each, 1 = known.

    Returns:
      `[faces]` for each of `COLUMNS`: infinite PSNR where nothing differs; NaN landmark
      errors where the original has no face. faces_found are whole numbers.

    Raises:
      ValueError: there are not as many completions or masks as originals, or they are
        of another size.
    """
    if completed.shape != truth.images.shape:
        raise ValueError(
            f"completed is {completed.shape}, the originals {truth.images.shape}"
        )
    if mask.shape != (*completed.shape[:3], 1):
        raise ValueError(f"mask is {mask.shape}, completed {completed.shape}")
    detectors = truth.detectors
    seen = _look(detectors, completed, truth.boxes, truth.crop)
    known = _Seen(truth.images, truth.landmarks68, truth.landmarks5, truth.embeddings)
    columns = _in_blocks(seen, known, np.asarray(mask, np.float32))
    columns["faces_found"] = np.array(
        [len(detectors.faces.boxes(image)) for image in completed]
    )
    return {name: columns[name] for name in COLUMNS}


def agreement(
    nme: Float[np.ndarray, " faces"], nme_independent: Float[np.ndarray, " faces"]
) -> dict[str, float]:
    """Returns how far two detectors agree on which faces are better.

    Args:
      nme: errors by the one, or differences of the errors of two methods.
      nme_independent: by the other, of the same faces.

    Returns:
      "faces": how many both have a number for; of these, "spearman": the rank
      correlation, and "same_order": the share of pairs of faces that both put in the
      same order, of those in which neither sees a tie. NaN where there is no telling.
    """
    known = np.isfinite(nme) & np.isfinite(nme_independent)
    x, y = nme[known], nme_independent[known]
    differ = min(len(np.unique(x)), len(np.unique(y))) > 1
    orders = np.sign(np.subtract.outer(x, x)) * np.sign(np.subtract.outer(y, y))
    with np.errstate(invalid="ignore"):
        same_order = np.sum(orders > 0) / np.sum(orders != 0)
    return {
        "faces": len(x),
        "spearman": float(scipy.stats.spearmanr(x, y).statistic) if differ else np.nan,
        "same_order": float(same_order),
    }


def _look(
    detectors: Detectors,
    images: Pictures,
    boxes: Int[np.ndarray, "faces 4"],
    crop: int,
) -> _Seen:
    """What dlib sees in pictures; the boxes say where their faces are."""
    return _Seen(
        images,
        detectors.landmarks68.predict(images, boxes)[0],
        detectors.landmarks5.predict(images, boxes)[0],
        embedding.embed(images, crop=crop),
    )


def _in_blocks(found: _Seen, known: _Seen, mask: Mask) -> Columns:
    """Compares block by block, the last one filled up, so that one program does it."""
    count = len(mask)

    def block(start: int) -> dict[str, types.PerExample]:
        rows = np.arange(start, start + _BLOCK) % count
        return _compare(*jax.tree.map(lambda x: x[rows], (found, known, mask)))

    parts = [block(start) for start in range(0, count, _BLOCK)]
    return jax.tree.map(lambda *columns: np.concatenate(columns)[:count], *parts)


@jax.jit
def _compare(
    found: _Seen, known: _Seen, mask: types.Mask
) -> dict[str, types.PerExample]:
    completed, original = map(pixels.from_bytes, (found.images, known.images))
    hole = 1.0 - mask
    return {
        "psnr": metrics.psnr(completed, original),
        "psnr_hole": metrics.psnr(completed, original, hole),
        "ssim": metrics.ssim(completed, original),
        "ssim_hole": metrics.ssim(completed, original, region=hole),
        "l1_hole": metrics.l1(completed, original, hole),
        "seam": metrics.seam(completed, original, mask),
        "nme": metrics.nme(found.landmarks68, known.landmarks68),
        "nme_independent": metrics.nme(found.landmarks5, known.landmarks5),
        "identity": metrics.identity_distance(found.embeddings, known.embeddings),
    }
