"""Training of the landmark net on labelled faces under random masks."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.images import masks, pixels
from inpaint_jax.landmarks import annotation
from inpaint_jax.models import landmark_net
from inpaint_jax.training import descent, supervised

_WARM = 0.025  # fraction of the training in which the learning rate rises
_MAX_CONTRAST, _MAX_BRIGHTNESS = 0.1, 0.1


class Moves(NamedTuple):
    """How far faces are moved in their frames, at most.

    Attributes:
      turn: in degrees.
      zoom: how many times larger or smaller, at least 1.
      shift: in sides of the frame.
    """

    turn: float = 0.0
    zoom: float = 1.0
    shift: float = 1 / 64


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
    moves: Moves,
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
      moves: how far faces are moved in their frames.

    Returns:
      The next state, and metrics of this step.
    """
    key_view, key_mask = jax.random.split(key)
    shown = pixels.from_bytes(images)
    image, known, truth = random_view(key_view, shown, landmarks, moves=moves)
    batch, height, width, _ = image.shape
    mask = known * masks.sample(key_mask, batch, (height, width))

    def objective(
        variables: types.Variables,
    ) -> tuple[Float[Array, ""], tuple[FitInfo, types.Variables]]:
        (points, whitening), updated = architecture.network().apply(
            variables, image, mask, train=True, mutable=["batch_stats"]
        )
        unlikely = landmark_net.negative_log_likelihood(points, whitening, truth)
        far = _distance(points, truth)
        info = FitInfo(jnp.mean(unlikely, axis=1), jnp.mean(far, axis=1))
        return jnp.mean(info.negative_log_likelihood + info.error), (info, updated)

    rate = descent.warm_cosine(progress, warm=_WARM)
    return supervised.step(state, objective, optimizer=optimizer, rate=rate)


def random_view(
    key: types.PRNGKey,
    image: types.Image,
    landmarks: landmark_net.Landmarks,
    *,
    moves: Moves,
) -> tuple[types.Image, types.Mask, landmark_net.Landmarks]:
    """Changes each face, and its points with it.

    Args:
      key: of the changes.
      image: `[batch, H, W, 3]`.
      landmarks: in pixels.
      moves: how far faces are moved; small changes are more frequent than large ones.

    Returns:
      Image, mask and points: mirrored half of the time, moved, with other contrast and
      brightness; the mask is 0 where the image shows nothing.
    """
    key_mirror, key_move, key_light = jax.random.split(key, 3)
    batch, height, width, _ = image.shape
    flip = jax.random.bernoulli(key_mirror, shape=(batch, 1, 1))
    image = jnp.where(flip[..., None], image[:, :, ::-1], image)
    mirrored = annotation.mirror(landmarks, width=width)
    landmarks = jnp.where(flip, mirrored, landmarks)
    keys = jax.random.split(key_move, batch)
    drawn = jax.vmap(lambda key: _random_move(key, moves))(keys)
    image, known, landmarks = jax.vmap(_moved)(image, landmarks, drawn)
    light = jax.random.uniform(key_light, (2, batch, 1, 1, 1), minval=-1.0)
    contrast, brightness = 1.0 + _MAX_CONTRAST * light[0], _MAX_BRIGHTNESS * light[1]
    return contrast * image + brightness, known, landmarks


class _Move(NamedTuple):
    """A turn with a zoom about the image's centre, and a shift over its height."""

    linear: Float[Array, "2 2"]
    shift: Float[Array, "2"]


def _random_move(key: types.PRNGKey, moves: Moves) -> _Move:
    key_reach, key_move = jax.random.split(key)
    most = [math.radians(moves.turn), math.log(moves.zoom), *[moves.shift] * 2]
    # All four are small or large together, as the errors of a frame are.
    reach = jax.random.uniform(key_reach) * jnp.array(most)
    move = reach * jax.random.uniform(key_move, (4,), minval=-1.0)
    cosine, sine = jnp.cos(move[0]), jnp.sin(move[0])
    turn = jnp.array([[cosine, -sine], [sine, cosine]])
    return _Move(jnp.exp(move[1]) * turn, move[2:])


def _moved(
    image: Float[Array, "height width 3"],
    points: Float[Array, "points 2"],
    move: _Move,
) -> tuple[
    Float[Array, "height width 3"],
    Float[Array, "height width 1"],
    Float[Array, "points 2"],
]:
    """Moves what an image shows, and its points; returns also where that is known."""
    height, width, _ = image.shape
    centre = jnp.array([(width - 1) / 2, (height - 1) / 2])
    shift = height * move.shift
    columns, rows = jnp.meshgrid(jnp.arange(0.0, width), jnp.arange(0.0, height))
    here = jnp.stack([columns - centre[0] - shift[0], rows - centre[1] - shift[1]])
    x, y = jnp.einsum("ij,jhw->ihw", jnp.linalg.inv(move.linear), here)
    x, y = x + centre[0], y + centre[1]
    within = (x > -0.5) & (y > -0.5) & (x < width - 0.5) & (y < height - 0.5)
    sample = jax.vmap(
        lambda plane: jax.scipy.ndimage.map_coordinates(
            plane, [y, x], order=1, mode="nearest"
        ),
        in_axes=-1,
        out_axes=-1,
    )
    there = jnp.stack([points[:, 0] - centre[0], points[:, 1] - centre[1]])
    x_after, y_after = move.linear @ there
    after = [x_after + centre[0] + shift[0], y_after + centre[1] + shift[1]]
    known = within[..., None].astype(image.dtype)
    return sample(image), known, jnp.stack(after, axis=-1)


def _distance(
    a: landmark_net.Landmarks, b: landmark_net.Landmarks
) -> Float[Array, "batch points"]:
    # The norm has no gradient at 0, which a little inside the root takes care of.
    return jnp.sqrt(jnp.sum((a - b) ** 2, axis=-1) + 1e-6)
