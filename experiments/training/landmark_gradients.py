"""Measures the accuracy of the landmark losses' gradients at random z."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from inpaint_jax import types
from inpaint_jax.images import masks
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel
from inpaint_jax.pretrained import landmark_predictor, networks, weights
from inpaint_jax.search import landmark_term
from inpaint_jax.search.problem import Networks, Problem
from inpaint_jax.training import train_gan

_RESTARTS = 16
_PAIRS = (4, 16, 64, 256)
_STEP = 0.02


def measure(key: jax.Array) -> dict[str, Any]:
    """Compares gradients with respect to z, for a generated face under a centre mask.

    Args:
      key: random key of the face and of 16 points z.

    Returns:
      "norm": mean length of the gradient of step, soft and net; "finite_differences":
      for soft and net, the slope along the gradient over its length (1 if correct);
      "cosine": {estimator: {number of evaluations: mean cosine with soft's gradient}}.
    """
    key_face, key_z, key_draw = jax.random.split(key, 3)
    problem, model, cascade, predict = _problem(key_face)
    generate = model.generate
    z = train_gan.sample_z(key_z, _RESTARTS, model.architecture.z_dim)

    def score(settings: landmark_term.Settings, z: types.Latent) -> types.PerExample:
        loss = landmark_term.LandmarkTerm(settings, cascade, predict)
        return loss(key_draw, z, generate(z), problem, Networks(generate, None))

    def gradient(settings: landmark_term.Settings) -> types.Latent:
        return jax.jit(jax.grad(lambda z: jnp.sum(score(settings, z))))(z)

    without = functools.partial(landmark_term.Settings, threshold=0.0)
    smooth = {term: without(term=term) for term in ("soft", "net")}
    gradients = {term: gradient(settings) for term, settings in smooth.items()}
    gradients["step"] = gradient(landmark_term.Settings(term="step", threshold=3.0))
    found: dict[str, Any] = {
        "norm": {t: float(jnp.mean(_length(g))) for t, g in gradients.items()},
        "finite_differences": {},
        "cosine": {},
    }
    for term, settings in smooth.items():
        value = jax.jit(functools.partial(score, settings))
        unit = gradients[term] / _length(gradients[term])[:, None]
        slope = (value(z + _STEP * unit) - value(z - _STEP * unit)) / (2 * _STEP)
        ratio = np.asarray(slope / _length(gradients[term]))
        found["finite_differences"][term] = float(np.median(ratio))
    for name in ("spsa", "es"):
        found["cosine"][name] = {}
        for pairs in _PAIRS:
            estimated = gradient(
                landmark_term.Settings(
                    term="step", threshold=3.0, gradient=name, pairs=pairs
                )
            )
            cosine = _cosine(estimated, gradients["soft"])
            found["cosine"][name][1 + 2 * pairs] = float(jnp.mean(cosine))
    return found


def _cosine(estimated: types.Latent, true: types.Latent) -> types.PerExample:
    lengths = jnp.maximum(_length(estimated), 1e-9) * _length(true)
    return jnp.sum(estimated * true, axis=1) / lengths


def _problem(
    key: jax.Array,
) -> tuple[Problem, weights.Model, ShapeModel, landmark_term.Predict]:
    model = weights.load("release")
    predict = landmark_predictor.predict(networks.load("release", model="landmark_net"))
    cascade = jax.tree.map(jnp.asarray, dlib_host.Predictor().model)
    face = model.generate(train_gan.sample_z(key, 1, model.architecture.z_dim))
    height, width = face.shape[1:3]
    mask = masks.centre(key, (height, width))[None]
    points, whitening = predict(face, mask)
    target = landmark_term.target_of_net(points, whitening, cascade)
    targets = {landmark_term.NAME: target}
    return Problem(face * mask, mask, targets), model, cascade, predict


def _length(rows: types.Latent) -> types.PerExample:
    return jnp.sqrt(jnp.sum(rows**2, axis=1))
