"""Defines the landmarks: the 68 of iBUG 300-W (Sagonas et al. 2013), and dlib's five.

Right and left are the person's: in a picture, the right eye lies left of the left eye.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from inpaint_jax import types

Landmarks = Float[Array, "batch 68 2"]
"""(x, y) in pixels; the centre of the first pixel is (0, 0)."""

FivePoints = Float[Array, "batch 5 2"]
"""(x, y) in pixels of the outer and inner corner of the left eye, the outer and inner
corner of the right eye, and the base of the nose."""

JAW = slice(0, 17)
RIGHT_BROW = slice(17, 22)
LEFT_BROW = slice(22, 27)
NOSE = slice(27, 36)
RIGHT_EYE = slice(36, 42)
LEFT_EYE = slice(42, 48)
MOUTH = slice(48, 68)

_EYES = {68: (RIGHT_EYE, LEFT_EYE), 5: (slice(2, 4), slice(0, 2))}

MIRRORED = np.array(
    [
        *range(16, -1, -1),  # the jaw, from ear to ear
        *range(26, 16, -1),  # both brows, from end to end
        *range(27, 31),  # the bridge of the nose
        *range(35, 30, -1),  # its base
        *(45, 44, 43, 42, 47, 46),  # each eye: the upper lid, then the lower
        *(39, 38, 37, 36, 41, 40),
        *range(54, 47, -1),  # the outer lips: the upper, then the lower
        *range(59, 54, -1),
        *range(64, 59, -1),  # the inner lips
        *range(67, 64, -1),
    ]
)
"""On a mirrored face, point i lies where point MIRRORED[i] was."""


def eye_distance(landmarks: Landmarks | FivePoints) -> types.PerExample:
    """Returns the distance between the centres of the eyes.

    A centre is the mean of an eye's points, six of the 68 or two of the five. Landmark
    errors are divided by this distance, so that they do not depend on the face's size.

    Args:
      landmarks: `[batch, 68, 2]` or `[batch, 5, 2]`, (x, y) in pixels.

    Returns:
      `[batch]`, in pixels.
    """
    right, left = (
        jnp.mean(landmarks[:, eye], axis=1) for eye in _EYES[landmarks.shape[1]]
    )
    return jnp.linalg.norm(left - right, axis=-1)


def mirror(landmarks: Landmarks, width: int) -> Landmarks:
    """Returns the landmarks of the image flipped left to right, in the order of the 68.

    Args:
      landmarks: `[batch, 68, 2]`, (x, y) in pixels.
      width: width of the image in pixels.
    """
    flipped = landmarks[:, MIRRORED]
    return flipped.at[..., 0].set(width - 1 - flipped[..., 0])
