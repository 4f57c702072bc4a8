"""How well a generator can reconstruct real, undamaged faces."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from experiments.common import progress, statistics
from inpaint_jax import types
from inpaint_jax.errors import InputError
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import framing, pixels
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.pretrained import weights
from inpaint_jax.search import inversion
from inpaint_jax.training import train_gan

_BATCH, _SHOWN = 20, 8
# The bootstrap of fewer faces gives intervals that are much too narrow.
_LEAST = 20

Faces = UInt8[np.ndarray, "count height width 3"]


def score(
    key: jax.Array,
    model: weights.Model,
    images: Faces,
    *,
    restarts: int = 2,
    iterations: int = 300,
    least: int = _LEAST,
) -> dict[str, Any]:
    """Searches for each face without a mask, and scores the best of the restarts.

    Args:
      key: of the starting points.
      model: with the generator.
      images: real faces that it was not trained on.
      restarts: searches for each face, of which the first begins at the encoder's z.
      iterations: steps of each search.
      least: the smallest number of faces that is scored.

    Returns:
      "psnr" in dB, "ssim" and "nme" (of dlib's points in the box of the aligned set,
      divided by the distance between the eyes): {"value", "low", "high"}, mean and
      95 % interval; "faces", "restarts", "iterations"; and "pairs", faces and
      reconstructions, uint8 `[rows, 2, H, W, 3]`.

    Raises:
      InputError: too few faces; or dlib or its model is missing.
    """
    if len(images) < least:
        raise InputError(
            f"--reconstruct={len(images)}: too few faces to score their "
            f"reconstructions; give at least {least}, or 0."
        )
    predictor = dlib_host.Predictor()
    reconstructions = _reconstruct(
        key, model, images, restarts=restarts, iterations=iterations
    )
    real, found = pixels.from_bytes(images), pixels.from_bytes(reconstructions)
    box = framing.aligned_box(crop=model.crop, size=model.architecture.image_size)
    points, truth = (_points(predictor, x, box) for x in (reconstructions, images))
    return {
        "psnr": _mean(metrics.psnr(found, real)),
        "ssim": _mean(metrics.ssim(found, real)),
        "nme": _mean(metrics.nme(points, truth)),
        "faces": len(images),
        "restarts": restarts,
        "iterations": iterations,
        "pairs": np.stack([images[:_SHOWN], reconstructions[:_SHOWN]], axis=1),
    }


def _points(
    predictor: dlib_host.Predictor, faces: Faces, box: Sequence[float]
) -> Float[Array, "count 68 2"]:
    boxes = np.tile(np.asarray(box, np.int32), (len(faces), 1))
    return jnp.asarray(predictor.predict(np.asarray(faces), boxes)[0])


def _reconstruct(
    key: jax.Array,
    model: weights.Model,
    images: Faces,
    *,
    restarts: int,
    iterations: int,
) -> Faces:
    z_dim = model.architecture.z_dim

    @jax.jit
    def reconstruct(key: jax.Array, image: types.Image) -> types.ImageBytes:
        z = train_gan.sample_z(key, restarts * len(image), z_dim)
        z = z.reshape(restarts, len(image), -1)
        if model.encoder is not None:
            z = z.at[0].set(model.encode(image, jnp.ones_like(image[..., :1])))
        best, error = inversion.invert(
            key,
            jnp.tile(image, (restarts, 1, 1, 1)),
            z.reshape(restarts * len(image), -1),
            generate=model.generate,
            iterations=iterations,
        )
        chosen = jnp.argmin(error.reshape(restarts, len(image)), axis=0)
        best = best.reshape(restarts, len(image), -1)
        return pixels.to_bytes(model.generate(best[chosen, jnp.arange(len(image))]))

    parts = _blocks(images)
    watched = progress.over(parts, len(parts), what="reconstructing", unit="batches")
    return np.concatenate(
        [
            np.asarray(reconstruct(jax.random.fold_in(key, i), pixels.from_bytes(part)))
            for i, part in enumerate(watched)
        ]
    )


def _blocks(images: Faces) -> list[UInt8[Array, "batch height width 3"]]:
    return [jnp.asarray(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]


def _mean(scores: types.PerExample) -> dict[str, float]:
    rng = np.random.default_rng(0)
    found = statistics.interval(np.asarray(scores, np.float64), rng)
    return {"value": found["mean"], "low": found["low"], "high": found["high"]}
