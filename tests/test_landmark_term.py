"""The landmark count is measured on what it says, in one box, with the known pixels."""

import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax import landmark_term, masks, pixels
from inpaint_jax.landmarks import host


class Recorder(host.Predictor):
    """Puts all points at the brightest pixel and remembers what it was shown."""

    def __init__(self):
        self.seen = []

    def predict(self, images, boxes):
        self.seen.append((images, boxes))
        at = images.sum(-1).reshape(len(images), -1).argmax(1)
        point = np.stack([at % images.shape[2], at // images.shape[2]], -1)
        points = np.repeat(point[:, None].astype(np.float32), host.POINTS, axis=1)
        return points, np.zeros(len(images), np.int32)


class OneBox(host.Detector):
    def __init__(self, boxes):
        self._boxes = np.asarray(boxes, np.int32).reshape(-1, 4)

    def boxes(self, image):
        return self._boxes


@pytest.fixture
def face(key):
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.uniform(-0.9, 0.5, (1, 16, 16, 3)), jnp.float32)
    return image.at[0, 1, 2].set(0.9), masks.centre(key, (16, 16))[None]


def with_bright_pixel(row, column):
    return jnp.full((1, 16, 16, 3), -0.5).at[0, row, column].set(1.0)


def test_the_target_is_measured_on_the_damaged_image(face):
    image, mask = face
    predictor = Recorder()
    hidden_light = image.at[0, 8, 8].set(1.0)
    target = landmark_term.masked_target(
        OneBox([2, 3, 12, 13]), predictor, hidden_light, mask, crop=128
    )
    shown, boxes = predictor.seen[0]
    np.testing.assert_array_equal(shown, pixels.to_bytes(mask * image))
    np.testing.assert_array_equal(boxes, [[2, 3, 12, 13]])
    assert target.box_source == "detected"
    np.testing.assert_array_equal(target.points, np.tile([2.0, 1.0], (68, 1)))


@pytest.mark.parametrize("boxes", [[], [[1, 1, 5, 5], [2, 2, 6, 6]]])
def test_without_exactly_one_face_the_constant_box_serves(face, boxes):
    image, mask = face
    target = landmark_term.masked_target(
        OneBox(boxes), Recorder(), image, mask, crop=128
    )
    assert target.box_source == "aligned"
    assert tuple(target.box) == host.aligned_box(crop=128, size=16)


def test_masked_input_does_not_see_the_hole_of_the_generated_face(face):
    image, mask = face
    predictor = Recorder()
    target = landmark_term.masked_target(OneBox([]), predictor, image, mask, crop=128)
    count = landmark_term.counter(predictor, target, image, mask, threshold=1.0)
    generated = jnp.concatenate([with_bright_pixel(8, 8), with_bright_pixel(1, 2)])
    scores = count(generated)
    shown, boxes = predictor.seen[-1]
    np.testing.assert_array_equal(shown, pixels.to_bytes(mask * generated))
    np.testing.assert_array_equal(boxes, np.tile(target.box, (2, 1)))
    # Row 0 hides its light, so the hole's grey at (4, 4) is brightest; target (2, 1).
    np.testing.assert_array_equal(scores, [68.0, 0.0])


def test_composite_input_sees_the_known_image_and_the_generated_hole(face):
    image, mask = face
    predictor = Recorder()
    target = landmark_term.masked_target(OneBox([]), predictor, image, mask, crop=128)
    count = landmark_term.counter(
        predictor, target, image, mask, composite=True, threshold=5.0
    )
    scores = count(jnp.concatenate([with_bright_pixel(8, 8), with_bright_pixel(0, 0)]))
    shown, _ = predictor.seen[-1]
    known = np.asarray(mask[0, ..., 0]) > 0
    np.testing.assert_array_equal(shown[0][known], pixels.to_bytes(image)[0][known])
    # (8, 8) against (2, 1): both coordinates of all 68 points are more than 5 px off.
    np.testing.assert_array_equal(scores, [68.0, 0.0])
