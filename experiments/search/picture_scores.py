"""Scores completed pictures whose original is known, by what comes out."""

import jax.numpy as jnp

from experiments.common import cases
from experiments.search import landmark_scores, photo_results
from inpaint_jax import types
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import alignment, pixels


def hole_fraction(case: cases.Case) -> float:
    """Returns how much is hidden of what the photograph has in a frame.

    Args:
      case: the input.
    """
    region = _within(case)
    return float(jnp.sum(region * (1.0 - case.mask)) / jnp.sum(region))


def _within(case: cases.Case) -> types.Mask:
    """Returns 1 where a frame shows the photograph, 0 beyond its edge."""
    if case.placement is None:
        return jnp.ones_like(case.mask)
    beyond = alignment.outside(
        case.placement.frame, case.placement.photo.shape, size=len(case.picture)
    )
    return jnp.asarray(~beyond, jnp.float32)[None, ..., None]


def scores(
    face: cases.Picture,
    original: cases.Picture,
    case: cases.Case,
    scorer: landmark_scores.Scorer | None,
) -> dict[str, float]:
    """Scores what the frame shows once the face is put back into the photograph.

    Args:
      face: the completed face, uint8 `[size, size, 3]`.
      original: the undamaged one.
      case: the input.
      scorer: measures landmark errors; None if not wanted.

    Returns:
      "psnr", "psnr_hole", "ssim" and, with a scorer, "nme".
    """
    if case.placement is not None:
        face = photo_results.shown(case.placement, face)
    scored, truth = (pixels.from_bytes(each)[None] for each in (face, original))
    region = _within(case)
    found = {
        "psnr": float(metrics.psnr(scored, truth, region)[0]),
        "psnr_hole": float(metrics.psnr(scored, truth, region * (1.0 - case.mask))[0]),
        "ssim": float(metrics.ssim(scored, truth, region=region)[0]),
    }
    if scorer is not None:
        found["nme"] = scorer.error(original, scored, crop=case.crop)
    return found
