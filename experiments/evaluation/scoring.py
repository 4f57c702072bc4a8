"""Scores completions of known faces, with one number per face and score.

Landmark errors are measured by two landmark detectors. A search with the landmark loss
optimises the 68 points, by dlib's model or by a net trained on its labels, so its gain
there could be specific to that detector. No search uses the five points. They belong to
another model, trained on other faces (of dlib's author, not iBUG 300-W), but it is also
a cascade of dlib, and it covers only the corners of the eyes and the base of the nose,
not mouth, jaw and brows.

Original and completion are measured in the same bounding box, so that only the pictures
make landmarks differ. dlib predicts landmarks in any picture, so the number of faces
that its detector finds in the completion is a score of its own.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy
from jaxtyping import Bool, Float, Float32, Int, Real, UInt8

from inpaint_jax import types
from inpaint_jax.evaluation import metrics, visible
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
    "eye_detail",
    "sharpness",
    "faces_found",
)
"""See `metrics` and `visible`; faces_found is the number of faces that dlib detects."""

Pictures = UInt8[np.ndarray, "faces size size 3"]
Mask = Float32[np.ndarray, "faces size size 1"]
Columns = dict[str, Real[np.ndarray, " faces"]]


class Detectors(NamedTuple):
    """dlib's models, loaded once.

    Attributes:
      faces: detects faces.
      landmarks68: predicts the 68 landmarks that searches optimise.
      landmarks5: predicts the five independent landmarks.
    """

    faces: dlib_host.Detector
    landmarks68: dlib_host.Predictor
    landmarks5: dlib_host.Predictor


class Truth(NamedTuple):
    """The originals, with which completions are compared.

    Attributes:
      images: the originals.
      landmarks68: their landmarks (x, y) in pixels; NaN without a detected face.
      landmarks5: their five independent landmarks; NaN without a detected face.
      embeddings: their face embeddings.
      boxes: bounding boxes for both landmark models: the detected box, or the usual box
        of aligned pictures if not exactly one face is detected.
      has_face: whether a face is detected in the original.
      crop: side of the images in CelebA pixels.
      detectors: dlib's models, to measure completions.
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
        """Returns the truth of the images with these indices."""
        arrays = {
            name: values[np.asarray(rows, int)]
            for name, values in self._asdict().items()
            if isinstance(values, np.ndarray)
        }
        return self._replace(**arrays)


class Scored(NamedTuple):
    """Completions as they are judged.

    Attributes:
      columns: {name in `COLUMNS`: `[faces]`}. PSNR is infinite for equal images;
        landmark errors are NaN if the original has no detected face; faces_found are
        whole numbers.
      embeddings: of the completions, to compare them as a set.
    """

    columns: Columns
    embeddings: Float32[np.ndarray, "faces 128"]


class _Seen(NamedTuple):
    """Images with their landmarks and embeddings, on the host or traced."""

    images: UInt8[Any, "faces size size 3"]
    landmarks68: Float32[Any, "faces 68 2"]
    landmarks5: Float32[Any, "faces 5 2"]
    embeddings: Float32[Any, "faces 128"]


def check_available() -> None:
    """Checks that dlib and its models are there, before long work that is scored.

    Raises:
      InputError: one of them is not.
    """
    dlib_host.import_dlib()
    for points in (dlib_host.POINTS, 5):
        dlib_host.find_model(None, points=points)
    embedding.find_model()


def truth(images: Pictures, *, crop: int, landmark_model: str | None = None) -> Truth:
    """Measures landmarks and embeddings of the originals.

    Args:
      images: RGB bytes of undamaged aligned faces.
      crop: side of the images in CelebA pixels, see `framing.frame`.
      landmark_model: file of dlib's 68-point model; None for the installed one.

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
    *,
    block: int = 50,
) -> Scored:
    """Scores completions, in bytes as they are written to files.

    Args:
      completed: one completion of each original, in bytes.
      truth: the originals, from `truth`.
      mask: mask of each image, 1 = known.
      block: number of faces in one call of the compiled program.

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
    columns = _in_blocks(seen, known, np.asarray(mask, np.float32), block)
    columns["faces_found"] = np.array(
        [len(detectors.faces.boxes(image)) for image in completed]
    )
    return Scored({name: columns[name] for name in COLUMNS}, seen.embeddings)


def open_eyes(faces_found: Real[np.ndarray, " faces"] | float, eye_detail: Any) -> Any:
    """Returns whether completions show one face with two open eyes.

    Args:
      faces_found: as in `COLUMNS`.
      eye_detail: as in `COLUMNS`.
    """
    return (faces_found == 1) & (eye_detail >= visible.OPEN)


def agreement(
    nme: Float[np.ndarray, " faces"], nme_independent: Float[np.ndarray, " faces"]
) -> dict[str, float]:
    """Measures how far two landmark detectors agree on the order of faces.

    Args:
      nme: errors by one detector, or differences of the errors of two methods.
      nme_independent: the same quantity by the other detector, for the same faces.

    Returns:
      "faces": number of faces with both errors; for these, "spearman": rank
      correlation, and "same_order": fraction of pairs of faces that both detectors put
      in the same order, among pairs without ties. NaN if undefined.
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
    """Returns dlib's landmarks and embeddings of pictures, in given bounding boxes."""
    return _Seen(
        images,
        detectors.landmarks68.predict(images, boxes)[0],
        detectors.landmarks5.predict(images, boxes)[0],
        embedding.embed(images, crop=crop),
    )


def _in_blocks(found: _Seen, known: _Seen, mask: Mask, size: int) -> Columns:
    """Compares in blocks of one size, so that one compiled program is enough."""
    count = len(mask)

    def block(start: int) -> dict[str, types.PerExample]:
        rows = np.arange(start, start + size) % count
        seen = jax.tree.map(lambda x: x[rows], (found, known, mask))
        # Outside the program, whose roundings could set equal bytes apart.
        images = (pixels.from_bytes(x.images[rows]) for x in (found, known))
        return _compare(*images, *seen)

    parts = [block(start) for start in range(0, count, size)]
    return jax.tree.map(lambda *columns: np.concatenate(columns)[:count], *parts)


@jax.jit
def _compare(
    completed: types.Image,
    original: types.Image,
    found: _Seen,
    known: _Seen,
    mask: types.Mask,
) -> dict[str, types.PerExample]:
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
        "eye_detail": visible.eye_detail(completed, original, known.landmarks68),
        "sharpness": visible.sharpness(completed, original, hole),
    }
