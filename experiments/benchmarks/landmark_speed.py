"""Speed of landmark prediction: by dlib, by its cascade in JAX, by the landmark net."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from experiments.benchmarks import timing
from inpaint_jax import types
from inpaint_jax.images import framing, pixels
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.landmarks.cascade import prediction
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel
from inpaint_jax.pretrained import landmark_predictor, networks, weights
from inpaint_jax.training import train_gan


def runs(key: types.PRNGKey, *, batch_size: int) -> timing.Runs:
    """Returns functions that predict the landmarks of generated faces, to be timed.

    Those named "..._gradient" also compute the gradient with respect to the pixels.

    Args:
      key: random key of the faces.
      batch_size: number of faces.

    Raises:
      InputError: dlib is missing.
    """
    generator = weights.load("release")
    z = train_gan.sample_z(key, batch_size, generator.architecture.z_dim)
    image = jax.block_until_ready(jax.jit(generator.generate)(z))
    size = image.shape[1]
    box = np.array([framing.aligned_box(crop=generator.crop, size=size)], np.int32)
    box = box.repeat(batch_size, axis=0)
    predictor = dlib_host.Predictor()
    model = jax.tree.map(jnp.asarray, predictor.model)
    bytes_seen = np.asarray(pixels.to_bytes(image))
    predict = landmark_predictor.predict(networks.load("release", model="landmark_net"))
    soft = functools.partial(prediction.predict_soft, temperature=4.0)

    def soft_distance(
        image: types.Image, model: ShapeModel, box: Int[jax.Array, "batch 4"]
    ) -> Float[jax.Array, ""]:
        return jnp.sum(jnp.abs(soft(model, image, box)))

    exact, soft_gradient = (
        jax.jit(prediction.predict),
        jax.jit(jax.value_and_grad(soft_distance)),
    )
    known = jnp.ones((batch_size, size, size, 1))
    net_gradient = jax.jit(
        jax.value_and_grad(lambda x: jnp.sum(jnp.abs(predict(x, known)[0])))
    )
    return {
        "dlib": lambda: predictor.predict(bytes_seen, box),
        "landmarks_exact": lambda: exact(model, image, box),
        "landmarks_soft_gradient": lambda: soft_gradient(image, model, box),
        "landmarks_net_gradient": lambda: net_gradient(image),
    }
