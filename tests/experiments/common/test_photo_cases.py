"""The faces of a photograph become cases that hide its hole and nothing else."""

import functools

import numpy as np
import pytest

from experiments.common import chosen_faces, input_paths, mask_specs, photo_cases
from inpaint_jax.errors import InputError
from inpaint_jax.images import alignment, framing
from inpaint_jax.io import picture_files

SIZE = 64
SHAPE = (150, 240)
# Frames of 80 and 60 pixels, the second one turned, and one over the photograph's edge.
LARGE = alignment.fit(
    np.array([(19.5, 29.5), (99.5, 29.5)]), np.array([(-0.5, -0.5), (63.5, -0.5)])
)
TURNED = alignment.fit(
    np.array([(150.0, 40.0), (198.0, 76.0)]), np.array([(-0.5, -0.5), (63.5, -0.5)])
)
BEYOND = alignment.fit(
    np.array([(-20.5, 69.5), (59.5, 69.5)]), np.array([(-0.5, -0.5), (63.5, -0.5)])
)


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), np.uint8)
    picture_files.write(path, pixels)
    return path


GIVEN = ("the frames that are given",)


class Finder:
    """Finds given faces, and sees the face of a framed picture in a given frame."""

    def __init__(self, *frames, settled=None, guessed=None):
        self.frames, self.at, self.guessed = frames, settled, guessed

    def faces(self, picture, hole, given=()):
        found = given if self.frames == GIVEN else self.frames
        return [chosen_faces.Framed(frame, frame is self.guessed) for frame in found]

    def settled(self, picture, hole, frame):
        return frame if self.at is None else self.at


def read(path, mask, *frames, face="all", **options):
    choice = chosen_faces.Choice(face, Finder(*frames, **options), 128, SIZE)
    wanted = photo_cases.Wanted(
        functools.partial(chosen_faces.frames, choice=choice),
        crop=128,
        size=SIZE,
        seed=0,
        original_known=True,
    )
    given = input_paths.Input(path, path.stem)
    return photo_cases.read(given, mask_specs.read_mask(mask), wanted=wanted)


def hidden(case):
    return np.asarray(case.mask[0, ..., 0]) == 0


def test_a_preset_lies_in_each_faces_frame(photograph):
    cases = read(photograph, "left", LARGE, TURNED)
    assert [case.name for case in cases] == ["photo_face1", "photo_face2"]
    for case in cases:
        assert hidden(case)[:, :32].all() and not hidden(case)[:, 32:].any()
        assert case.placement.count == 2 and case.placement.name == "photo"
    hole = cases[0].placement.hole
    assert hole[40:100, 25:59].all() and not hole[:, 60:100].any()
    # Of a frame of 80 x 80 and one of 60 x 60 half is the hole.
    assert hole.sum() == pytest.approx(80 * 40 + 60 * 30, rel=0.02)


def test_only_faces_that_the_hole_meets_are_completed(photograph, capsys):
    (case,) = read(photograph, "rect:30,50,20,10", LARGE, TURNED)
    assert case.name == "photo" and capsys.readouterr().out == ""
    found = hidden(case)
    # 0.8 pixels of the frame for each pixel of the photograph.
    assert found[16:24, 8:24].all() and not found[:15].any() and not found[:, 25:].any()
    assert case.placement.hole.sum() == 200


def test_what_stays_of_a_hole_is_named(photograph, capsys):
    read(photograph, "rect:80,50,40,10", LARGE)
    said = capsys.readouterr().out
    assert "50% of the hole, 20 x 10 pixels from (100, 50) on" in said


def test_a_face_that_is_only_guessed_is_named(photograph, capsys):
    sure, guessed = read(photograph, "left", LARGE, TURNED, guessed=TURNED)
    assert (sure.placement.guessed, guessed.placement.guessed) == (False, True)
    (said,) = capsys.readouterr().out.splitlines()
    assert "photo.png: where a face lies is only guessed" in said
    assert "turned by -37 degrees, framed by 60 pixels" in said
    read(photograph, "rect:30,50,20,10", LARGE, TURNED, guessed=TURNED)
    assert capsys.readouterr().out == ""


def test_what_lies_beyond_the_photograph_is_hidden(photograph):
    (case,) = read(photograph, "rect:10,80,5,5", BEYOND)
    assert hidden(case)[:, :16].all() and not hidden(case)[30:60, 40:].any()


def test_the_hole_does_not_leak_into_what_is_known(photograph, tmp_path):
    dark, light = (tmp_path / name for name in ("dark.png", "light.png"))
    for path, level in ((dark, 0), (light, 255)):
        pixels = picture_files.read(photograph).copy()
        pixels[50:60, 30:50] = level
        picture_files.write(path, pixels)
    one, other = (read(path, "rect:30,50,20,10", LARGE)[0] for path in (dark, light))
    known = ~hidden(one)
    np.testing.assert_array_equal(one.picture[known], other.picture[known])


@pytest.mark.parametrize(
    ("mask", "face", "frames", "said"),
    [
        ("centre", "all", [], "no face was found; give --face=none"),
        ("rect:200,120,9,9", "all", [LARGE], "9 x 9 pixels from .200, 120. on, lies"),
        ("rect:160,60,9,9", "largest", [LARGE, TURNED], "lies outside the frame"),
        (
            "centre",
            "3",
            [LARGE, TURNED],
            "--face=3: .* shows 2 faces; give a number",
        ),
        ("rect:0,0,239,149", "all", [LARGE], "hides a whole face"),
        ("rect:0,0,9,9", "none", [], "9 x 9 .* lies outside the picture's frame"),
    ],
)
def test_what_cannot_be_completed_is_refused(photograph, mask, face, frames, said):
    with pytest.raises(InputError, match=said):
        read(photograph, mask, *frames, face=face)


def test_a_face_is_chosen_by_its_number(photograph):
    (case,) = read(photograph, "centre", LARGE, TURNED, face="2")
    np.testing.assert_allclose(case.placement.frame.matrix, TURNED.matrix)


def test_a_framed_picture_is_taken_as_it_is(photograph):
    (case,) = read(photograph, "centre", face="none")
    pixels = picture_files.read(photograph)
    np.testing.assert_array_equal(
        case.original, framing.frame(pixels, crop=128, size=SIZE)
    )
    assert hidden(case).sum() == 32 * 32


@pytest.mark.parametrize("face", ["some", "", "0", "-1", "1.5", "²", "1" * 5000])
def test_there_is_no_other_choice(face):
    choice = chosen_faces.Choice(face, Finder(), 128, SIZE)
    with pytest.raises(
        InputError, match="^--face=.*: must be all, largest, none"
    ) as no:
        chosen_faces.check(choice)
    assert len(str(no.value)) < 100


@pytest.fixture
def aligned(tmp_path):
    """A picture with the proportions of aligned ones."""
    path = tmp_path / "aligned.png"
    pixels = np.random.default_rng(0).integers(0, 256, (218, 178, 3), np.uint8)
    picture_files.write(path, pixels)
    return path


CENTRAL = alignment.central(218, 178, crop=128, size=SIZE)


def turned(degrees):
    """The central frame, turned about its centre."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    linear, centre = np.array([[cosine, -sine], [sine, cosine]]), (SIZE - 1) / 2
    shift = centre - linear @ (centre, centre)
    return alignment.Similarity(np.column_stack([linear, shift])).after(CENTRAL)


def test_an_aligned_picture_is_taken_as_it_is_framed(aligned, capsys):
    (case,) = read(aligned, "centre", LARGE, settled=turned(10))
    np.testing.assert_array_equal(case.placement.frame.matrix, CENTRAL.matrix)
    assert capsys.readouterr().out == ""


def test_a_face_that_is_turned_in_an_aligned_picture_is_framed_anew(aligned, capsys):
    (case,) = read(aligned, "centre", turned(31), settled=turned(30))
    np.testing.assert_array_equal(case.placement.frame.matrix, turned(31).matrix)
    said = capsys.readouterr().out
    assert "aligned.png" in said and "turned by 31 degrees" in said
    (case,) = read(aligned, "centre", turned(31), settled=turned(30), face="none")
    np.testing.assert_array_equal(case.placement.frame.matrix, CENTRAL.matrix)


def test_an_aligned_picture_stays_if_its_face_is_surest_there(aligned, capsys):
    (case,) = read(aligned, "centre", *GIVEN, settled=turned(30))
    np.testing.assert_array_equal(case.placement.frame.matrix, CENTRAL.matrix)
    assert capsys.readouterr().out == ""


def test_a_picture_whose_turned_face_is_not_found_is_taken_as_framed(aligned, capsys):
    (case,) = read(aligned, "centre", settled=turned(30))
    np.testing.assert_array_equal(case.placement.frame.matrix, CENTRAL.matrix)
    assert "no face was found; taken as it is framed" in capsys.readouterr().out


def test_a_mask_of_the_models_size_needs_a_framed_picture(photograph, tmp_path):
    stencil = np.zeros((SIZE, SIZE, 3), np.uint8)
    stencil[:, :20] = 255
    picture_files.write(tmp_path / "mask.png", stencil)
    with pytest.raises(InputError, match="framed anew; give a mask of the picture"):
        read(photograph, str(tmp_path / "mask.png"), LARGE)
    (case,) = read(photograph, str(tmp_path / "mask.png"), face="none")
    np.testing.assert_array_equal(hidden(case), stencil[..., 0] > 0)


def test_an_aligned_picture_has_one_face(aligned):
    (first,) = read(aligned, "centre", face="1")
    (every,) = read(aligned, "centre")
    np.testing.assert_array_equal(first.picture, every.picture)
    with pytest.raises(InputError, match="--face=2: .* shows one face; give a number"):
        read(aligned, "centre", face="2")
    with pytest.raises(InputError, match="lies outside the frame of every face"):
        read(aligned, "rect:0,0,9,9")


def test_what_of_a_hole_lies_in_no_frame_is_told_and_kept(photograph, capsys):
    (case,) = read(photograph, "rect:30,50,400,10", LARGE)
    assert "of the hole, " in case.placement.stays
    assert case.placement.stays.endswith("and stays as it is")
    assert f"photo.png: {case.placement.stays}" in capsys.readouterr().out
    (case,) = read(photograph, "left", LARGE)
    assert case.placement.stays == ""
