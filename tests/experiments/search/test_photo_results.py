"""Completed faces meet their photograph, and nothing outside the hole changes."""

import numpy as np
import pytest

from experiments.common import cases
from experiments.search import photo_results
from inpaint_jax.images import alignment
from inpaint_jax.io import photographs
from tests import drawn

SHAPE = (150, 240)
FRAMES = [
    alignment.fit(np.array(points, float), np.array([(-0.5, -0.5), (63.5, -0.5)]))
    for points in ([(19.5, 29.5), (99.5, 29.5)], [(150, 40), (198, 76)])
]


def smooth():
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.stack([rows, columns, 250 - columns], -1).astype(np.uint8)


def placements(hole, *frames):
    photo = photographs.Photograph(
        smooth(), None, grey=False, format="PNG", turned=False, converted=False
    )
    return [
        cases.Placement("photo", photo, hole, frame, number, len(frames))
        for number, frame in enumerate(frames, start=1)
    ]


def rectangle(*corners):
    hole = np.zeros(SHAPE, bool)
    for left, top, right, bottom in corners:
        hole[top:bottom, left:right] = True
    return hole


@pytest.mark.parametrize("frame", FRAMES)
def test_a_face_that_is_the_photographs_own_changes_little(frame):
    hole = rectangle((40, 45, 80, 90), (156, 62, 172, 76))
    face = alignment.to_frame(smooth(), frame, size=64)
    missing = hole.copy()
    found = photo_results.inserted(smooth(), missing, face, frame)
    filled = hole & ~missing
    assert filled.sum() in (40 * 45, 16 * 14)
    np.testing.assert_array_equal(found[~filled], smooth()[~filled])
    difference = np.abs(found.astype(int) - smooth())[filled]
    assert difference.max() <= 2


def test_a_brighter_face_is_blended():
    face = alignment.to_frame(smooth(), FRAMES[0], size=64)
    missing = rectangle((40, 45, 80, 90))
    found = photo_results.inserted(smooth(), missing, face // 2 + 100, FRAMES[0])
    edge = found[45:90, 40].astype(int) - smooth()[45:90, 39]
    assert np.abs(edge).max() <= 12 and not missing.any()


def test_a_photograph_is_complete_with_its_last_face():
    hole = rectangle((40, 45, 80, 90), (156, 62, 172, 76), (0, 0, 5, 5))
    faces = [alignment.to_frame(smooth(), frame, size=64) for frame in FRAMES]
    assembly = photo_results.Assembly()
    first, last = placements(hole, *FRAMES)
    assert assembly.add(first, [faces[0], 255 - faces[0]]) == []
    best, second = assembly.add(last, [faces[1]])
    for completed in (best, second):
        kept = ~hole | rectangle((0, 0, 5, 5))  # which lies in no frame
        np.testing.assert_array_equal(completed.pixels[kept], smooth()[kept])
    alike = np.s_[62:76, 156:172]  # of which there is one answer
    np.testing.assert_array_equal(best.pixels[alike], second.pixels[alike])
    assert (best.pixels[50:80, 45:75] != second.pixels[50:80, 45:75]).any()


def test_a_photograph_of_which_a_face_failed_leaves_nothing_behind():
    hole = rectangle((40, 45, 80, 90))
    face = alignment.to_frame(smooth(), FRAMES[0], size=64)
    assembly = photo_results.Assembly()
    first, _ = placements(hole, *FRAMES)
    (alone,) = placements(hole, FRAMES[0])
    assert assembly.add(first, [face]) == []
    assert len(assembly.add(alone._replace(name="other"), [face])) == 1


def test_a_face_is_shown_and_put_back_in_the_tone_of_its_photograph():
    face = drawn.noise(64, 64, 3, seed=5)
    coloured = placements(rectangle((40, 45, 80, 90)), FRAMES[0])[0]
    np.testing.assert_array_equal(photo_results.in_tone(coloured, face), face)
    np.testing.assert_array_equal(photo_results.in_tone(None, face), face)
    grey = np.repeat(smooth()[..., :1], 3, axis=-1)
    photo = photographs.Photograph(
        grey, None, grey=True, format="PNG", turned=False, converted=False
    )
    found = photo_results.in_tone(coloured._replace(photo=photo), face)
    assert np.ptp(found.astype(int), axis=-1).max() == 0
    np.testing.assert_allclose(found[..., 0], face.mean(axis=-1), atol=1)
