"""Says whether a generator is fit to be searched: is what it draws a face?"""

from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from experiments import reporting
from inpaint_jax import adversarial, data, files, pixels, weights
from inpaint_jax.landmarks import host

SAMPLES = 500
_BATCH = 100
_SHOWN_ROWS = 8


def check(
    key: jax.Array, model: weights.Model, faces: data.Faces, *, run_dir: str
) -> dict[str, Any]:
    """Compares a generator's samples with real faces; writes `health.json` and a sheet.

    Args:
      key: of the samples.
      model: with the generator.
      faces: real faces that it was not trained on; the first 500 are used.
      run_dir: folder to write to.

    Returns:
      What `health.json` holds: `face_share` is the share of samples in which dlib's
      detector finds exactly one face, `face_share_real` the same of the real faces.
    """
    directory = files.make_directory(run_dir)
    samples = _draw(key, model)
    real = faces.images[:SAMPLES]
    detector = host.Detector()
    health = {
        "face_share": _face_share(detector, samples),
        "face_share_real": _face_share(detector, real),
        "samples": len(samples),
        "real": len(real),
        "model": model.source,
        **reporting.environment(),
    }
    rows = [list(samples[8 * i : 8 * i + 8]) for i in range(_SHOWN_ROWS)]
    files.write_picture(directory / "health.png", reporting.sheet(rows, enlarge=2))
    files.write_json(directory / "health.json", health)
    return health


def _draw(key, model) -> UInt8[np.ndarray, "count height width 3"]:
    z = adversarial.sample_z(key, SAMPLES, model.architecture.z_dim)
    generate = jax.jit(lambda z: pixels.to_bytes(model.generate(z)))
    batches = [
        np.asarray(generate(z[i : i + _BATCH])) for i in range(0, SAMPLES, _BATCH)
    ]
    return np.concatenate(batches)


def _face_share(detector, images):
    return float(np.mean([len(detector.boxes(image)) == 1 for image in images]))
