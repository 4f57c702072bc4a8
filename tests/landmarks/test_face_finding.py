"""Faces are found, placed and aligned wherever a detector sees them in a view.

A detector and a predictor that know a drawn mark stand in for dlib's: what is tested is
the geometry. Real faces show that dlib finds enough of them.
"""

import numpy as np
import pytest

from inpaint_jax.images import alignment
from inpaint_jax.io import files, picture_files
from inpaint_jax.landmarks import (
    dlib_host,
    face_detection,
    face_finding,
    frame_settling,
)

FRAME = {"crop": 128, "size": 64}


def drawn_face(similarity, height, width):
    """A grey photograph with a green disc at the eyes and a red one at the mouth."""
    y, x = np.mgrid[:height, :width].astype(float)
    place = similarity.apply(np.stack([x, y], -1))
    picture = np.full((height, width, 3), 128, np.uint8)
    for middle, colour in (((31.5, 33.5), (0, 255, 0)), ((31.5, 54.5), (255, 0, 0))):
        inside = np.linalg.norm(place - np.array(middle), axis=-1) < 5
        picture[inside] = colour
    return picture


def marks(picture):
    """Centres of the green and of the red disc, or None."""
    values = picture.astype(int)
    found = []
    for one, other in ((1, 0), (0, 1)):
        y, x = np.nonzero(values[:, :, one] - values[:, :, other] > 100)
        if len(x) < 4:
            return None
        found.append(np.array([x.mean(), y.mean()]))
    return found


class Marks:
    """Detects upright marks as dlib does upright faces, and places points by them."""

    def scored(self, image, *, threshold):
        del threshold
        both = marks(image)
        if both is None:
            return np.zeros((0, 4), np.int32), np.zeros(0)
        down = both[1] - both[0]
        tilt = np.rad2deg(np.arctan2(down[0], down[1]))
        if abs(tilt) > 20 or down[1] < 10:
            return np.zeros((0, 4), np.int32), np.zeros(0)
        half = np.array([1.0, 1.0]) * down[1]
        corners = [*(both[0] - half), *(both[0] + half)]
        return np.array([corners]).round().astype(np.int32), np.array([1.0])

    def predict(self, images, boxes):
        del boxes
        points = np.full((len(images), 68, 2), np.nan, np.float32)
        status = np.ones(len(images), np.int32)
        for i, image in enumerate(images):
            both = marks(image)
            if both is not None:
                where = alignment.fit(
                    np.array([(31.5, 33.5), (31.5, 54.5)]), np.array(both)
                )
                points[i] = where.apply(alignment.template(**FRAME))
                status[i] = 0
        return points, status


def find(picture, hole=None, **options):
    return face_finding.find(
        picture, hole, detector=Marks(), predictor=Marks(), **FRAME, **options
    )


def turned(scale, degrees, middle):
    turn = scale * np.exp(1j * np.deg2rad(degrees))
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return alignment.Similarity(
        np.column_stack([linear, 31.5 - linear @ np.array(middle, float)])
    )


def off(found, true):
    """Mean distance of the frame's corners in pixels of the frame."""
    there = true.apply(found.inverse.apply(alignment.corners(64)))
    return np.linalg.norm(there - alignment.corners(64), axis=1).mean()


@pytest.mark.parametrize("degrees", [0, 15, -40, 80, 180])
def test_a_face_is_found_at_any_turn_and_aligned(degrees):
    true = turned(0.6, degrees, (120, 90))
    (face,) = find(drawn_face(true, 180, 240))
    assert off(face.similarity, true) < 0.5
    expected = true.inverse.apply(alignment.template(**FRAME))
    np.testing.assert_allclose(face.points, expected, atol=1)
    assert face.how == "detected" and face.score == 1.0


def test_nothing_is_found_where_nothing_is():
    assert find(np.full((90, 120, 3), 128, np.uint8)) == []
    picture = drawn_face(turned(0.6, 0, (120, 90)), 180, 240)
    assert find(picture, np.ones((180, 240), bool)) == []


def test_what_shows_the_face_moves_it_and_only_if_it_has_a_hole():
    true = turned(0.6, 0, (120, 90))
    picture = drawn_face(true, 180, 240)
    hole = np.zeros((180, 240), bool)
    calls = []

    def locate(shown, hidden):
        calls.append((shown.shape, int(hidden.sum())))
        # All points lie half a pixel to the right of where they were.
        return alignment.template(**FRAME) + [0.5, 0.0], np.ones(68)

    find(picture, hole, locate=locate)
    assert not calls
    hole[130:140, 90:150] = True
    (face,) = find(picture, hole, locate=locate)
    assert {shape for shape, _ in calls} == {(64, 64, 3)}
    assert np.mean([count > 0 for _, count in calls]) > 0.7
    # Each round moves the frame by half a pixel: eight from each start, then twenty.
    assert len(calls) == 7 * 8 + 20
    moved = face.similarity.apply(true.inverse.apply(np.array([[31.5, 31.5]])))
    np.testing.assert_allclose(moved, [[31.5 - 14, 31.5]], atol=0.7)


def test_of_several_starts_the_surest_is_taken():
    picture = drawn_face(turned(0.6, 0, (120, 90)), 180, 240)
    hole = np.zeros((180, 240), bool)
    hole[130:140, 90:150] = True
    (guess,) = find(picture, None)
    # The face lies ten pixels beside the guess: only from there it is seen, and kept.
    there = alignment.Similarity(guess.similarity.matrix + [[0, 0, -10.0], [0, 0, 0]])

    def locate(shown, hidden):
        expected = alignment.outside(there, picture.shape, size=64)
        expected |= alignment.hole_to_frame(hole, there, size=64)
        near = np.mean(hidden != expected)
        return alignment.template(**FRAME), np.full(68, np.exp(-100 * near))

    (face,) = find(picture, hole, locate=locate)
    expected = there.inverse.apply(np.array([[31.5, 31.5]]))
    np.testing.assert_allclose(face.similarity.apply(expected), [[31.5] * 2], atol=4)


class Blind(Marks):
    """Detects nothing."""

    def scored(self, image, *, threshold):
        del image, threshold
        return np.zeros((0, 4), np.int32), np.zeros(0)


@pytest.mark.parametrize("stays", [True, False])
def test_a_given_frame_stays_if_its_face_is_surest_there(stays):
    true = turned(0.6, 0, (120, 90))
    picture = drawn_face(true, 180, 240)
    given = alignment.Similarity(true.matrix + [[0, 0, 8.0], [0, 0, -6.0]])

    def locate(shown, hidden):
        points, _ = Marks().predict(shown[None], np.zeros((1, 4), np.int32))
        off = float(np.abs(points[0] - alignment.template(**FRAME)).mean())
        return points[0].astype(float), np.full(68, np.exp(off if stays else -off))

    (face,) = face_finding.find(
        *(picture, None),
        **{"detector": Blind(), "predictor": Marks(), **FRAME},
        locate=locate,
        given=[given],
    )
    assert off(face.similarity, given if stays else true) < (1e-9 if stays else 0.7)
    np.testing.assert_allclose(
        face.points, face.similarity.inverse.apply(alignment.template(**FRAME))
    )


def test_the_eyes_count_four_times_in_a_frame():
    # The jaw is off by one pixel and the eyes by another, which a mean weighs.
    template = alignment.template(**FRAME)
    points, off_by = template.copy(), np.zeros((68, 2))
    off_by[36:48], off_by[:12] = (0.0, 1.0), (0.0, -1.0)
    points += off_by
    weights = np.ones(68)
    found = frame_settling.frame_of(points, **FRAME, weights=weights)
    four_times = np.where((np.arange(68) // 12) == 3, 4.0, 1.0)
    expected = alignment.fit(points, template, weights=four_times)
    np.testing.assert_allclose(found.matrix, expected.matrix, rtol=1e-12)
    np.testing.assert_array_equal(weights, np.ones(68))  # is the caller's
    again = frame_settling.frame_of(points, **FRAME)
    np.testing.assert_array_equal(again.matrix, found.matrix)


def test_a_frame_settles_where_its_face_is_and_stays():
    # A face that is shifted in the frame, of which each guess finds half.
    picture = np.zeros((180, 240, 3), np.uint8)
    true = alignment.central(180, 240, **FRAME)
    begun = alignment.Similarity(true.matrix + [[0, 0, 8.0], [0, 0, -6.0]])
    seen = []

    def locate(shown, hidden):
        seen.append(hidden)
        now = guesses[-1].after(true.inverse).apply(alignment.template(**FRAME))
        found = (now + alignment.template(**FRAME)) / 2
        moved = alignment.fit(found, alignment.template(**FRAME))
        guesses.append(moved.after(guesses[-1]))
        return found, np.ones(68)

    guesses = [begun]
    frames = frame_settling.Frames(picture, None, locate, **FRAME)
    at = frames.settled(begun).similarity
    assert alignment.distance(at, true, size=64) < 0.003
    assert 5 < len(seen) < 12
    # What the frame shows from beyond the picture is hidden.
    expected = alignment.outside(begun, picture.shape, size=64)
    np.testing.assert_array_equal(seen[0], expected)
    assert expected.any()


@pytest.fixture(scope="module")
def models():
    return {"detector": dlib_host.Detector(), "predictor": dlib_host.Predictor()}


@pytest.mark.parametrize(
    ("sure", "fills", "count"), [(0.0, 0.1, 1), (-2.0, 0.1, 0), (0.0, 0.75, 0)]
)
def test_what_is_guessed_in_cloth_must_be_sure_and_large(models, sure, fills, count):
    picture = np.full((200, 200, 3), 150, np.uint8)
    hole = np.zeros((200, 200), bool)
    hole[87:113, 87:113] = True
    (guess,) = face_finding.find(picture, hole, **models, **FRAME)
    assert guess.how == "under the hole"
    template = alignment.template(**FRAME)
    middle = template.mean(axis=0)

    def locate(shown, hidden):
        # Frames shrink until the hole fills that part of them.
        zoom = 0.9 if hidden.mean() < fills else 1.0
        return middle + zoom * (template - middle), np.full(68, np.exp(sure))

    found = face_finding.find(picture, hole, **models, **FRAME, locate=locate)
    assert len(found) == count


@pytest.mark.parametrize(("prefers", "degrees"), [("turned", 25), ("upright", 0)])
def test_of_heads_under_a_hole_the_surest_is_taken(models, prefers, degrees):
    # The detector sees one at each turn, as the mean face is drawn in.
    picture = np.full((200, 200, 3), 150, np.uint8)
    hole = np.zeros((200, 200), bool)
    hole[70:130, 70:130] = True

    def locate(shown, hidden):
        # A square that is turned does not fill the upright box around it.
        filled = hidden[hidden.any(axis=1)][:, hidden.any(axis=0)].mean()
        sure = 1.0 if (filled < 0.75) == (prefers == "turned") else -0.5
        return alignment.template(**FRAME), np.full(68, np.exp(sure))

    (face,) = face_finding.find(picture, hole, **models, **FRAME, locate=locate)
    assert abs(abs(np.rad2deg(face.similarity.angle)) - degrees) < 12
    # Less than that for what the frame leaves of the hole.
    assert -0.5 < face.sure <= 1.0


@pytest.mark.parametrize(
    ("how", "score", "sure", "guessed"),
    [
        ("under the hole", 2.0, -0.1, True),
        ("under the hole", 2.0, 0.1, False),
        ("detected", 0.4, -0.1, True),
        ("detected", 0.6, -0.1, False),
        ("given", 0.0, -0.1, False),
    ],
)
def test_a_face_that_is_not_sure_is_guessed(how, score, sure, guessed):
    frame = turned(0.6, 0, (120, 90))
    face = face_detection.Face(np.zeros((68, 2)), score, frame, how, sure)
    assert face_finding.is_guessed(face) == guessed


@pytest.mark.parametrize(
    ("prefers", "low", "high"), [("large", 0, 0.25), ("small", 0.5, 1)]
)
def test_of_sizes_under_a_hole_the_surest_is_taken(models, prefers, low, high):
    # The detector sees one of each size, as the mean face is drawn in.
    picture = np.full((200, 200, 3), 150, np.uint8)
    hole = np.zeros((200, 200), bool)
    hole[70:130, 70:130] = True

    def locate(shown, hidden):
        sure = 1.0 if low < hidden.mean() < high else -0.5
        return alignment.template(**FRAME), np.full(68, np.exp(sure))

    (face,) = face_finding.find(picture, hole, **models, **FRAME, locate=locate)
    there = alignment.hole_to_frame(hole, face.similarity, size=64).mean()
    # Less than 1 for what the frame leaves of the hole.
    assert face.sure > 0.7 and low < there < high, prefers


def test_the_portrait_is_found_where_it_is_aligned_and_with_its_eyes_hidden(models):
    picture = picture_files.read(files.ASSETS / "portrait.png")
    (face,) = face_finding.find(picture, None, **models, **FRAME)
    true = alignment.central(*picture.shape[:2], **FRAME)
    eye_distance = 19.6
    assert off(face.similarity, true) < 0.15 * eye_distance
    hole = np.zeros(picture.shape[:2], bool)
    left, top = np.floor(face.points[17:48].min(axis=0)).astype(int)
    right, bottom = np.ceil(face.points[17:48].max(axis=0)).astype(int)
    hole[top:bottom, left:right] = True
    damaged = np.where(hole[:, :, None], np.uint8(255), picture)
    (hidden,) = face_finding.find(damaged, hole, **models, **FRAME)
    assert off(hidden.similarity, face.similarity) < 0.6 * eye_distance


@pytest.mark.faces
def test_real_faces_are_found_turned_and_moved(models, faces_folder):
    near = []
    for number, degrees in ((9001, 0), (9009, 15), (9012, -30), (9031, 30)):
        picture = picture_files.read(faces_folder / f"{number:06d}.jpg")
        height, width = picture.shape[:2]
        upright = alignment.central(height, width, **FRAME)
        turn = turned(1.5, degrees, ((width - 1) / 2, (height - 1) / 2))
        moved = alignment.Similarity(turn.matrix + [[0, 0, 40.0], [0, 0, 50.0]])
        photo = alignment.to_frame(picture, moved, size=160)
        faces = face_finding.find(photo, None, **models, **FRAME)
        true = upright.after(moved.inverse)
        near.append(min((off(f.similarity, true) for f in faces), default=99.0))
    assert np.sum(np.array(near) < 4) >= 3
