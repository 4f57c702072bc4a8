"""Labels are dlib's points, averaged over the boxes around the one that was found."""

import numpy as np
import pytest

from inpaint_jax.images import framing
from inpaint_jax.io import files, picture_files
from inpaint_jax.landmarks import dlib_host, labels

PORTRAIT = files.ASSETS / "portrait.png"
SIDE, CROP = 64, 128


@pytest.fixture(scope="module")
def images():
    """A face, noise in which there is none, and the same face a little lower."""
    face = framing.frame(picture_files.read(PORTRAIT), crop=CROP, size=SIDE)
    noise = np.random.default_rng(0).integers(0, 256, face.shape, dtype=np.uint8)
    return np.stack([face, noise, np.roll(face, 8, axis=0)])


@pytest.fixture(scope="module")
def predictor(toy_model):
    return dlib_host.Predictor(str(toy_model))


@pytest.fixture(scope="module")
def detector():
    return dlib_host.Detector()


@pytest.fixture(autouse=True)
def one_detector(monkeypatch, detector):
    """One for all threads: to load it takes longer than all that is done here."""
    monkeypatch.setattr(dlib_host, "Detector", lambda: detector)


@pytest.fixture(scope="module")
def expected_boxes(images, detector):
    return [dlib_host.face_box(detector, image, crop=CROP) for image in images]


class Corners(dlib_host.Predictor):
    """Places every point between the corners of the box, in whole pixels as dlib."""

    def __init__(self):
        self.boxes = []

    def predict(self, images, boxes):
        self.boxes.append(boxes)
        middle = (boxes[:, :2] + boxes[:, 2:]) // 2
        points = np.tile(middle[:, None], (1, dlib_host.POINTS, 1)).astype(np.float32)
        return points, np.zeros(len(images), np.int32)


def test_without_nudges_the_labels_are_those_of_dlib(predictor, images, expected_boxes):
    found = labels.label(predictor, images, crop=CROP, nudged=False)
    boxes = np.stack([box for box, _ in expected_boxes])
    np.testing.assert_array_equal(found.box, boxes)
    np.testing.assert_array_equal(found.landmarks, predictor.predict(images, boxes)[0])
    assert found.landmarks.dtype == np.float32


def test_nudged_labels_are_the_mean_over_seven_boxes(predictor, images, expected_boxes):
    found = labels.label(predictor, images, crop=CROP, nudged=True)
    for i, (image, (box, _)) in enumerate(zip(images, expected_boxes, strict=True)):
        left, top, right, bottom = (int(side) for side in box)
        boxes = [
            (left, top, right, bottom),
            (left + 1, top, right + 1, bottom),
            (left - 1, top, right - 1, bottom),
            (left, top + 1, right, bottom + 1),
            (left, top - 1, right, bottom - 1),
            (left - 1, top - 1, right + 1, bottom + 1),
            (left + 1, top + 1, right - 1, bottom - 1),
        ]
        points = [predictor.predict(image[None], np.array([b]))[0][0] for b in boxes]
        assert np.ptp(points, axis=0).max() >= 1  # the boxes matter
        np.testing.assert_allclose(found.landmarks[i], np.mean(points, 0), atol=1e-4)
        np.testing.assert_array_equal(found.box[i], box)


def test_a_face_that_is_not_found_gets_the_aligned_box(images):
    found = labels.label(Corners(), images, crop=CROP, nudged=False)
    np.testing.assert_array_equal(found.detected, [True, False, True])
    aligned = framing.aligned_box(crop=CROP, size=SIDE)
    np.testing.assert_array_equal(found.box[1], aligned)
    # The box follows the face down, in the detector's own steps of 4 to 5 pixels.
    assert (found.box[2] - found.box[0])[[1, 3]].min() >= 4


@pytest.mark.parametrize("crop", [108, 178])
def test_the_aligned_box_is_that_of_the_crop(images, crop):
    found = labels.label(Corners(), images[1:2], crop=crop, nudged=True)
    np.testing.assert_array_equal(
        found.box, [framing.aligned_box(crop=crop, size=SIDE)]
    )


def test_the_nudges_leave_the_middle_where_it_is(images):
    corners = Corners()
    found = labels.label(corners, images, crop=CROP, nudged=True)
    assert len(corners.boxes) == len({boxes.tobytes() for boxes in corners.boxes}) == 7
    np.testing.assert_allclose(np.mean(corners.boxes, axis=0), found.box, atol=1e-6)


def test_order_is_that_of_the_images(images):
    order = np.array([2, 0, 1, 0])
    found = labels.label(Corners(), images, crop=CROP, nudged=True)
    shuffled = labels.label(Corners(), images[order], crop=CROP, nudged=True)
    for field, other in zip(found, shuffled, strict=True):
        np.testing.assert_array_equal(field[order], other)
