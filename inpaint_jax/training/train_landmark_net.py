"""Training of the landmark net on labelled faces under random masks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from inpaint_jax import types
from inpaint_jax.images import masks, pixels
from inpaint_jax.landmarks import annotation
from inpaint_jax.models import landmark_net
from inpaint_jax.training import descent, supervised

_MAX_SHIFT = 1
_WARM = 0.025  # fraction of the training in which the learning rate rises
_MAX_CONTRAST, _MAX_BRIGHTNESS = 0.1, 0.1


class FitInfo(NamedTuple):
    """Metrics of a step; no step depends on them.

    Attributes:
      negative_log_likelihood: of the points, mean over each face, `[batch]`.
      error: distance from the labels in pixels, mean over each face, `[batch]`.
    """

    negative_log_likelihood: types.PerExample
    error: types.PerExample


def init(
    key: types.PRNGKey,
    mean: Float[Array, "points 2"],
    *,
    architecture: landmark_net.Architecture,
    optimizer: optax.GradientTransformation,
) -> supervised.State:
    """Returns the state of a training whose net predicts the mean shape at first.

    Args:
      key: of the initial weights.
      mean: mean of the labels, in pixels.
      architecture: of the net.
      optimizer: of its weights.
    """
    size = architecture.image_size
    image, mask = jnp.zeros((1, size, size, 3)), jnp.zeros((1, size, size, 1))
    variables = architecture.network().init(key, image, mask, train=False)
    last = {**variables["params"]["to_points"], "bias": mean.reshape(-1) / size}
    params = {**variables["params"], "to_points": last}
    variables = {"params": params, "batch_stats": variables["batch_stats"]}
    return supervised.init(variables, optimizer=optimizer)


def train_step(
    key: types.PRNGKey,
    state: supervised.State,
    images: types.ImageBytes,
    landmarks: landmark_net.Landmarks,
    progress: descent.Progress = _WARM,
    *,
    architecture: landmark_net.Architecture,
    optimizer: optax.GradientTransformation,
) -> tuple[supervised.State, FitInfo]:
    """Takes one step of the net.

    The loss is the negative log-likelihood, from which the net learns its uncertainty,
    plus the distance, without which it would neglect the points that are hard to see.

    Args:
      key: of the views and the masks.
      state: of the training.
      images: undamaged faces, uint8 `[batch, H, W, 3]`.
      landmarks: their points in pixels.
      progress: fraction of the training that is over; the learning rate rises with
        it, then falls to 0.
      architecture: of the net.
      optimizer: of its weights.

    Returns:
      The next state, and metrics of this step.
    """
    key_view, key_mask = jax.random.split(key)
    image, truth = random_view(key_view, pixels.from_bytes(images), landmarks)
    batch, height, width, _ = image.shape
    mask = masks.sample(key_mask, batch, (height, width))

    def objective(
        variables: types.Variables,
    ) -> tuple[Float[Array, ""], tuple[FitInfo, types.Variables]]:
        (points, whitening), updated = architecture.network().apply(
            variables, image, mask, train=True, mutable=["batch_stats"]
        )
        info = FitInfo(
            negative_log_likelihood=jnp.mean(
                landmark_net.negative_log_likelihood(points, whitening, truth), axis=1
            ),
            error=jnp.mean(_distance(points, truth), axis=1),
        )
        return jnp.mean(info.negative_log_likelihood + info.error), (info, updated)

    rate = descent.warm_cosine(progress, warm=_WARM)
    return supervised.step(state, objective, optimizer=optimizer, rate=rate)


def random_view(
    key: types.PRNGKey, image: types.Image, landmarks: landmark_net.Landmarks
) -> tuple[types.Image, landmark_net.Landmarks]:
    """Changes each face a little, and its points with it.

    Args:
      key: of the changes.
      image: `[batch, H, W, 3]`.
      landmarks: in pixels.

    Returns:
      Image and points, mirrored half of the time, moved by up to 1 px at 64 px, with
      other contrast and brightness.
    """
    batch, height, width, _ = image.shape
    key_mirror, key_shift, key_light = jax.random.split(key, 3)
    flip = jax.random.bernoulli(key_mirror, shape=(batch, 1, 1))
    image = jnp.where(flip[..., None], image[:, :, ::-1], image)
    mirrored = annotation.mirror(landmarks, width=width)
    landmarks = jnp.where(flip, mirrored, landmarks)

    reach = _MAX_SHIFT * height // 64
    corner = jax.random.randint(key_shift, (batch, 2), 0, 2 * reach + 1)
    around = ((0, 0), (reach, reach), (reach, reach), (0, 0))
    padded = jnp.pad(image, around, mode="edge")

    def window(
        padded: Float[Array, "height_around width_around 3"], corner: Int[Array, "2"]
    ) -> Float[Array, "height width 3"]:
        start = (corner[0], corner[1], 0)
        return jax.lax.dynamic_slice(padded, start, (height, width, 3))

    image = jax.vmap(window)(padded, corner)
    moved = (reach - corner[:, None, ::-1]).astype(jnp.float32)
    light = jax.random.uniform(key_light, (2, batch, 1, 1, 1), minval=-1.0)
    contrast, brightness = 1.0 + _MAX_CONTRAST * light[0], _MAX_BRIGHTNESS * light[1]
    return contrast * image + brightness, landmarks + moved


def _distance(
    a: landmark_net.Landmarks, b: landmark_net.Landmarks
) -> Float[Array, "batch points"]:
    # The norm has no gradient at 0, which a little inside the root takes care of.
    return jnp.sqrt(jnp.sum((a - b) ** 2, axis=-1) + 1e-6)
