"""The names of the points agree with what dlib finds on a face and its mirror image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from inpaint_jax.io import files
from inpaint_jax.landmarks import annotation, dlib_host

PORTRAIT = files.ASSETS / "portrait.png"
PARTS = {
    "jaw": annotation.JAW,
    "right brow": annotation.RIGHT_BROW,
    "left brow": annotation.LEFT_BROW,
    "nose": annotation.NOSE,
    "right eye": annotation.RIGHT_EYE,
    "left eye": annotation.LEFT_EYE,
    "mouth": annotation.MOUTH,
}


@pytest.fixture(scope="module")
def portrait():
    """A picture and the box of its face."""
    image = np.asarray(Image.open(PORTRAIT).convert("RGB"))
    return image, dlib_host.Detector().boxes(image)[0]


@pytest.fixture(scope="module")
def face(portrait):
    """A portrait's points, those of its mirror image, and its width."""
    image, (left, top, right, bottom) = portrait
    width = image.shape[1]
    boxes = [
        (left, top, right, bottom),
        (width - 1 - right, top, width - 1 - left, bottom),
    ]
    points, status = dlib_host.Predictor().predict(
        np.stack([image, image[:, ::-1]]), np.asarray(boxes)
    )
    assert not status.any()
    return jnp.asarray(points[:1]), jnp.asarray(points[1:]), width


def random_points(batch=3):
    rng = np.random.default_rng(0)
    return rng.uniform(0, 64, (batch, 68, 2)).astype(np.float32)


def test_each_point_belongs_to_one_part():
    points = np.concatenate([np.arange(68)[part] for part in PARTS.values()])
    np.testing.assert_array_equal(points, np.arange(68))


def test_the_parts_lie_where_they_lie_on_a_face(face):
    points = np.asarray(face[0][0])
    at = {name: points[part].mean(axis=0) for name, part in PARTS.items()}
    down = [at[name][1] for name in ("right brow", "right eye", "nose", "mouth")]
    assert down == sorted(down)
    for part in ("eye", "brow"):
        assert at[f"right {part}"][0] < at["nose"][0] < at[f"left {part}"][0]
    jaw = points[annotation.JAW]
    assert (jaw[[0, 8, 16], 0] == np.sort(jaw[[0, 8, 16], 0])).all()
    assert jaw[8, 1] == points[:, 1].max()


def test_dlib_finds_the_same_permutation_on_the_mirrored_picture(face):
    points, of_mirrored, width = (np.asarray(x) for x in face)
    flipped = points[0] * [-1, 1] + [width - 1, 0]
    distance = np.linalg.norm(of_mirrored[0][:, None] - flipped, axis=-1)
    np.testing.assert_array_equal(distance.argmin(axis=1), annotation.MIRRORED)


def test_mirroring_agrees_with_dlib_on_the_mirrored_picture(face):
    points, of_mirrored, width = face
    off = np.linalg.norm(annotation.mirror(points, width) - of_mirrored, axis=-1)
    # dlib answers in whole pixels; it is not quite symmetric itself.
    assert np.median(off) <= 0.5


def test_mirroring_twice_changes_nothing():
    points = jnp.asarray(random_points())
    mirror = jax.jit(annotation.mirror, static_argnums=1)
    once = mirror(points, 64)
    assert not np.allclose(once, points)
    np.testing.assert_allclose(mirror(once, 64), points, atol=1e-5)


def test_mirroring_moves_a_pixel_to_its_place_in_the_flipped_image():
    # Point 8, the chin, is its own mirror image.
    points = jnp.zeros((1, 68, 2)).at[0, 8].set(jnp.array([3.0, 5.0]))
    image = np.zeros((8, 10))
    image[5, 3] = 1
    x, y = annotation.mirror(points, 10)[0, 8].astype(int)
    assert image[:, ::-1][y, x] == 1


def test_the_five_points_are_the_corners_of_the_eyes_and_the_base_of_the_nose(
    portrait, face
):
    image, box = (x[None] for x in portrait)
    (five,), _ = dlib_host.Predictor(points=5).predict(image, box)
    # The same places among the 68: left eye, right eye, nose.
    off = np.linalg.norm(five[:, None] - np.asarray(face[0][0]), axis=-1)
    eye = float(annotation.eye_distance(face[0])[0])
    same = [45, 42, 36, 39, 33]
    # Far less than the width of an eye, which is about half that distance.
    assert off[np.arange(5), same].max() < 0.15 * eye
    np.testing.assert_allclose(
        annotation.eye_distance(jnp.asarray(five[None])), [eye], rtol=0.05
    )


def test_eye_distance_is_that_of_the_centres():
    points = random_points()
    expected = []
    for face in points.astype(np.float64):
        right = sum(face[i] for i in range(36, 42)) / 6
        left = sum(face[i] for i in range(42, 48)) / 6
        expected.append(np.hypot(*(left - right)))
    got = annotation.eye_distance(jnp.asarray(points))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
