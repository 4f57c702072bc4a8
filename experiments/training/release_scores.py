"""Scores checkpoints of a release's networks on validation faces, without dlib."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from experiments.training import gan_training, keeping
from inpaint_jax import losses, types
from inpaint_jax.evaluation import distribution
from inpaint_jax.images import masks, pixels
from inpaint_jax.io import data, hashes
from inpaint_jax.landmarks import annotation
from inpaint_jax.models import landmark_net
from inpaint_jax.pretrained import landmark_predictor, networks, weights
from inpaint_jax.training import train_gan

_BATCH = 100
_MASKS = ("centre", "left", "right", "random80")


def of_samples(
    faces: data.Faces, *, z_dim: int, predictor: networks.Pretrained
) -> keeping.Judge:
    """Returns a judge that scores G by the Frechet distance of landmark net features.

    Args:
      faces: real faces; as many samples are drawn.
      z_dim: length of z.
      predictor: the landmark net, whose last hidden layer gives the features.
    """
    side = predictor.architecture.image_size

    @jax.jit
    def see(
        images: UInt8[Array, "batch height width 3"],
    ) -> Float[Array, "batch dimensions"]:
        image = pixels.from_bytes(images)
        shape = (len(image), side, side, 3)
        resized = jax.image.resize(image, shape, "linear")
        return landmark_predictor.features(predictor, resized)

    def embed(
        images: UInt8[np.ndarray, "count height width 3"],
    ) -> Float[np.ndarray, "count dimensions"]:
        return np.concatenate([np.asarray(see(block)) for block in _blocks(images)])

    real = embed(faces.images)
    z = train_gan.sample_z(jax.random.key(0), len(real), z_dim)

    def score(draw: gan_training.Draw, networks: keeping.Networks) -> float:
        samples = [np.asarray(draw(networks["generator"], part)) for part in _blocks(z)]
        return distribution.frechet(embed(np.concatenate(samples)), real)

    # The released landmark net may be another one by then.
    sees = hashes.of_json([faces.digest, predictor.source])
    return keeping.Judge(score, sees)


def of_guesses(
    faces: data.Faces, model: weights.Model, *, window: int = 21
) -> keeping.Judge:
    """Returns a judge that scores the encoder of damaged faces by its training loss.

    Args:
      faces: undamaged faces.
      model: the model with G.
      window: side of the context weights' window, in pixels.
    """
    image, mask = _damaged(faces)

    @jax.jit
    def error(
        networks: tuple[types.Variables, types.Generate],
        image: types.Image,
        mask: types.Mask,
    ) -> types.PerExample:
        # G is an argument: XLA would spend long on folding its weights as constants.
        variables, generate = networks
        z: Any = model.architecture.encoder().apply(variables, image, mask, train=False)
        generated = generate(z)
        around = losses.image.context_weights(mask, window=window)
        whole = jnp.mean(jnp.abs(generated - image), axis=(1, 2, 3))
        return whole + losses.image.context(generated, image, around, normalised=True)

    def score(networks: keeping.Networks) -> float:
        return _mean(error, (networks["encoder"], model.generate), image, mask)

    return keeping.Judge(score, sees=faces.digest)


def of_landmarks(
    faces: data.Faces,
    landmarks: Float[np.ndarray, "count points 2"],
    architecture: landmark_net.Architecture,
) -> keeping.Judge:
    """Returns a judge that scores a landmark net by its normalised mean error.

    Args:
      faces: undamaged faces.
      landmarks: their landmarks in pixels, `[count, points, 2]`.
      architecture: of the net.
    """
    image, mask = _damaged(faces)
    truth = jnp.tile(jnp.asarray(landmarks), (len(_MASKS), 1, 1))
    unit = annotation.eye_distance(truth)

    @jax.jit
    def error(
        variables: types.Variables,
        image: types.Image,
        mask: types.Mask,
        truth: Float[Array, "batch points 2"],
        unit: types.PerExample,
    ) -> types.PerExample:
        points, _ = architecture.network().apply(variables, image, mask, train=False)  # pyright: ignore[reportGeneralTypeIssues]
        distance = jnp.linalg.norm(points - truth, axis=-1)
        return jnp.mean(distance, axis=1) / unit

    def score(networks: keeping.Networks) -> float:
        return _mean(error, networks["net"], image, mask, truth, unit)

    sees = hashes.of_json([faces.digest, hashes.of_arrays(landmarks)])
    return keeping.Judge(score, sees)


def of_completion(faces: data.Faces) -> keeping.Judge:
    """Returns a judge that scores CE and GFC by the hole's negative PSNR in dB."""
    image, mask = _damaged(faces)

    @jax.jit
    def negative_psnr(
        apply: jax.tree_util.Partial, image: types.Image, mask: types.Mask
    ) -> types.PerExample:
        hole = 1.0 - mask
        error = jnp.sum(hole * (apply(image, mask) - image) ** 2, axis=(1, 2, 3))
        error = error / (3.0 * jnp.sum(hole, axis=(1, 2, 3)))
        return 10.0 * jnp.log10(error / 4.0)

    def score(network: networks.Pretrained) -> float:
        return _mean(negative_psnr, network.apply, image, mask)

    return keeping.Judge(score, sees=faces.digest)


def _damaged(
    faces: data.Faces,
) -> tuple[Float[Array, "count height width 3"], Float[Array, "count height width 1"]]:
    """Returns all faces, with each of the thesis's masks in turn: (images, masks)."""
    image = jnp.asarray(pixels.from_bytes(faces.images))
    count, height, width, _ = image.shape
    drawn = [
        jax.vmap(lambda key, name=name: masks.MASKS[name](key, (height, width)))(
            jax.random.split(jax.random.key(number), count)
        )
        for number, name in enumerate(_MASKS)
    ]
    return jnp.tile(image, (len(_MASKS), 1, 1, 1)), jnp.concatenate(drawn)


def _mean(
    function: Callable[..., types.PerExample], variables: Any, *arrays: jax.Array
) -> float:
    parts = zip(*(_blocks(array) for array in arrays), strict=True)
    return float(np.mean(np.concatenate([function(variables, *p) for p in parts])))


def _blocks(array: Any) -> list[Any]:
    return [array[i : i + _BATCH] for i in range(0, len(array), _BATCH)]
