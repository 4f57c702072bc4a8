"""The parts that 68 points outline, against scikit-image's polygons."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import draw

from inpaint_jax.landmarks import annotation, parsing

SIZE = 64


@pytest.fixture(scope="module")
def points():
    """A face made of circles, its points where the annotation has them."""
    face = np.zeros((68, 2))

    def arc(start, stop, count, centre, radius):
        angle = np.linspace(start, stop, count)
        across, down = np.cos(angle), np.sin(angle)
        return np.stack([across, down], axis=1) * radius + centre

    face[annotation.JAW] = arc(np.pi, 0, 17, (31.3, 28.2), 25)
    face[annotation.RIGHT_BROW] = arc(np.pi, 2 * np.pi, 5, (20.3, 22.2), (7, 3))
    face[annotation.LEFT_BROW] = arc(np.pi, 2 * np.pi, 5, (42.3, 22.2), (7, 3))
    face[27:31] = np.stack([np.full(4, 31.3), np.linspace(28, 36, 4)], axis=1)
    face[31:36] = np.stack([np.linspace(26, 37, 5), np.full(5, 38.4)], axis=1)
    face[annotation.RIGHT_EYE] = arc(np.pi, 3 * np.pi, 7, (20.3, 28.2), (5, 2.6))[:6]
    face[annotation.LEFT_EYE] = arc(np.pi, 3 * np.pi, 7, (42.3, 28.2), (5, 2.6))[:6]
    face[48:60] = arc(np.pi, 3 * np.pi, 13, (31.3, 45.2), (9, 4))[:12]
    face[60:68] = arc(np.pi, 3 * np.pi, 9, (31.3, 45.2), (6, 1))[:8]
    return jnp.asarray(face[None], jnp.float32)


PARSE = jax.jit(functools.partial(parsing.parse, size=SIZE))


@pytest.fixture(scope="module")
def parsed(points):
    return np.asarray(PARSE(points))


def filled(corners):
    corners = np.asarray(corners)
    return draw.polygon2mask((SIZE, SIZE), corners[:, ::-1])


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("eyes", [annotation.RIGHT_EYE, annotation.LEFT_EYE]),
        ("mouth", [slice(48, 60)]),
    ],
)
def test_eyes_and_mouth_are_the_polygons_of_their_points(points, parsed, name, parts):
    expected = np.any([filled(points[0, part]) for part in parts], axis=0)
    np.testing.assert_array_equal(parsed[0] == parsing.CLASSES.index(name), expected)


def test_the_face_is_all_that_jaw_and_brows_enclose(points, parsed):
    outline = np.r_[0:17, 26:16:-1]
    inside = filled(points[0, outline])
    assert (parsed[0][inside] > 0).all()
    outside = ~inside & (parsed[0] != parsing.CLASSES.index("brows"))
    assert (parsed[0][outside] == 0).all()


def test_brows_are_what_is_near_their_lines(points, parsed):
    eyes = float(annotation.eye_distance(points)[0])
    found = np.argwhere(parsed[0] == parsing.CLASSES.index("brows"))[:, ::-1]
    line = np.concatenate(
        [
            np.linspace(points[0, i], points[0, i + 1], 50)
            for i in (17, 18, 19, 20, 22, 23, 24, 25)
        ]
    )
    distance = np.linalg.norm(found[:, None] - line[None], axis=-1).min(axis=1)
    assert len(found) > 20 and distance.max() <= 0.08 * eyes + 0.1


def test_a_mirrored_face_has_a_mirrored_parsing(points, parsed):
    mirrored = annotation.mirror(points, SIZE)
    found = np.asarray(PARSE(mirrored))
    assert (found != parsed[:, :, ::-1]).mean() < 0.005


def test_all_parts_are_there(parsed):
    assert set(np.unique(parsed)) == set(range(len(parsing.CLASSES)))
