"""Faces come in as they were labelled, or not at all."""

import itertools
import re

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inpaint_jax.errors import InputError
from inpaint_jax.images import masks, pixels
from inpaint_jax.landmarks import labelled_faces

PART = "<part name='{}' x='{}' y='{}'/>"
PARTS = PART.format("00", 3, 4) + PART.format("01", 8, 9)
BOX = "<box top='2' left='1' width='12' height='10'>{}</box>"
IMAGE = "<image file='a.png'>{}</image>"
XML = "<?xml version='1.0'?><dataset><images>{}</images></dataset>"
ENTITIES = "".join(
    f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in itertools.pairwise("abcdefghi")
)
LAUGHS = f"<!DOCTYPE x [<!ENTITY a 'ha'>{ENTITIES}]><dataset>&i;</dataset>"


def write(folder, images, *, width=20, height=16):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(noise).save(folder / "a.png")
    path = folder / "faces.xml"
    path.write_text(XML.format(images))
    return path


def arrays(**changes):
    rng = np.random.default_rng(0)
    stored = {
        "images": rng.integers(0, 256, (2, 16, 20, 3), np.uint8),
        "boxes": np.array([[1, 2, 12, 11], [-3, -2, 8, 9]]),
        "landmarks": rng.uniform(0, 15, (2, 5, 2)).astype(np.float32),
    }
    return {**stored, **changes}


def labelled(**changes):
    stored = {**arrays(), "image_index": np.arange(2), "names": ["first", "second"]}
    stored["images"] = list(stored["images"])
    return labelled_faces.LabelledFaces(**{**stored, **changes})


def test_xml_gives_boxes_and_parts(tmp_path):
    path = write(tmp_path, IMAGE.format(BOX.format(PARTS)))
    faces = labelled_faces.read_xml(path)
    # dlib's rectangles hold their right and bottom pixels.
    np.testing.assert_array_equal(faces.boxes, [[1, 2, 12, 11]])
    np.testing.assert_array_equal(faces.landmarks, [[[3, 4], [8, 9]]])
    assert faces.landmarks.dtype == np.float32


def test_xml_gives_the_pixels_of_the_picture_beside_it(tmp_path):
    path = write(tmp_path, IMAGE.format(BOX.format(PARTS)))
    with Image.open(tmp_path / "a.png") as picture:
        expected = np.asarray(picture)
    np.testing.assert_array_equal(labelled_faces.read_xml(path).images[0], expected)


def test_parts_go_by_their_numbers_not_by_their_place(tmp_path):
    numbers = [10, 2, 0, 1, 9, 3, 8, 4, 7, 5, 6]
    parts = "".join(PART.format(i, i, 2 * i) for i in numbers)
    path = write(tmp_path, IMAGE.format(BOX.format(parts)))
    expected = np.stack([np.arange(11), 2 * np.arange(11)], axis=-1)
    np.testing.assert_array_equal(labelled_faces.read_xml(path).landmarks[0], expected)


def test_faces_know_their_picture(tmp_path):
    two, none = IMAGE.format(2 * BOX.format(PARTS)), IMAGE.format("")
    faces = labelled_faces.read_xml(write(tmp_path, two + none + two))
    assert len(faces.images) == 2
    np.testing.assert_array_equal(faces.image_index, [0, 0, 1, 1])


def test_ignored_boxes_are_left_out(tmp_path):
    ignored = BOX.format("").replace("<box", "<box ignore='1'")
    path = write(tmp_path, IMAGE.format(ignored + BOX.format(PARTS)))
    faces = labelled_faces.read_xml(path)
    assert faces.names == (f"{path}: a.png, box 2",)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_what_is_written_is_read(tmp_path_factory, data):
    points = data.draw(st.integers(2, 12))
    corner = st.tuples(st.integers(-8, 15), st.integers(-8, 11))
    size = st.tuples(st.integers(9, 40), st.integers(9, 40))
    xy = st.lists(
        st.tuples(st.integers(-99, 999), st.integers(-99, 999)),
        min_size=points,
        max_size=points,
        unique=True,
    )
    faces = data.draw(st.lists(st.tuples(corner, size, xy), min_size=1, max_size=3))
    boxes = "".join(
        f"<box left='{left}' top='{top}' width='{width}' height='{height}'>"
        + "".join(PART.format(i, x, y) for i, (x, y) in enumerate(parts))
        + "</box>"
        for (left, top), (width, height), parts in faces
    )
    path = write(tmp_path_factory.mktemp("xml"), IMAGE.format(boxes))
    read = labelled_faces.read_xml(path)
    np.testing.assert_array_equal(read.boxes[:, :2], [face[0] for face in faces])
    sides = read.boxes[:, 2:] - read.boxes[:, :2] + 1
    np.testing.assert_array_equal(sides, [face[1] for face in faces])
    np.testing.assert_array_equal(read.landmarks, [face[2] for face in faces])


def part(name="01", x="8", y="9"):
    return BOX.format(PART.format("00", 3, 4) + PART.format(name, x, y))


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (BOX.format(""), "box 1: part 0 is missing"),
        (part(name="00"), "box 1: part 0 occurs twice"),
        (part(name="02"), "box 1: part 1 is missing"),
        (part(name="nose"), "part has name='nose'; give a whole number"),
        (part(x="8.5"), "part has x='8.5'; give a whole number"),
        (part(y=""), "part has y=''; give a whole number"),
        (part(x="1" * 5000), r"part has x='1{20}'; give a whole number"),
        (part(x="3", y="4"), "box 1: all landmarks are in one pixel"),
        (part() + BOX.format(PARTS + PART.format(2, 1, 1)), "box 2: has 3 parts; .* 2"),
        (part().replace("top='2'", ""), "box has top=''; give a whole number"),
        (part().replace("left='1'", "left='20'"), r"\[20, 2, 31, 11\].* 20 x 16"),
        (part().replace("left='1'", "left='-12'"), r"\[-12, 2, -1, 11\].* 20 x 16"),
        (part().replace("top='2'", "top='16'"), r"\[1, 16, 12, 25\].* 20 x 16"),
        (part().replace("top='2'", "top='-10'"), r"\[1, -10, 12, -1\].* 20 x 16"),
        (part().replace("width='12'", "width='1'"), r"\[1, 2, 1, 11\].* left < right"),
        (part().replace("height='10'", "height='1'"), r"\[1, 2, 12, 2\].* top < bot"),
        ("", "no image has a labelled box"),
    ],
)
def test_bad_labels_are_input_errors(tmp_path, boxes, message):
    path = write(tmp_path, IMAGE.format(boxes))
    with pytest.raises(InputError, match=f"{re.escape(str(path))}: .*{message}"):
        labelled_faces.read_xml(path)


def test_a_missing_picture_is_an_input_error(tmp_path):
    path = write(tmp_path, IMAGE.format(part()).replace("a.png", "b.png"))
    with pytest.raises(InputError, match=r"faces\.xml: .*b\.png: no such file"):
        labelled_faces.read_xml(path)


def test_a_picture_of_another_size_than_labelled_is_an_input_error(tmp_path):
    image = IMAGE.format(part()).replace("<image", "<image width='{}' height='{}'")
    labelled_faces.read_xml(write(tmp_path, image.format(20, 16)))
    path = write(tmp_path, image.format(16, 20))
    with pytest.raises(InputError, match=r"a\.png is 20 x 16 pixels, not 16 x 20"):
        labelled_faces.read_xml(path)


@pytest.mark.parametrize(
    "content", ["", "no XML", "<dataset><images>", "<?xml version='1.0' encoding='x'?>"]
)
def test_what_is_no_xml_is_an_input_error(tmp_path, content):
    path = tmp_path / "faces.xml"
    path.write_text(content)
    with pytest.raises(InputError, match=r"faces\.xml: cannot be read .*imglab"):
        labelled_faces.read_xml(path)


def test_entities_are_refused_before_they_expand(tmp_path):
    path = tmp_path / "faces.xml"
    path.write_text(LAUGHS)
    with pytest.raises(InputError, match="a DOCTYPE is not allowed"):
        labelled_faces.read_xml(path)


def test_a_file_that_is_missing_or_too_large_is_an_input_error(tmp_path):
    path = tmp_path / "faces.xml"
    with pytest.raises(InputError, match=r"faces\.xml: cannot be read \(No such file"):
        labelled_faces.read_xml(path)
    with path.open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(InputError, match="is too large.* at most 64 MiB"):
        labelled_faces.read_xml(path)


def test_arrays_are_read_as_they_are(tmp_path):
    np.savez(tmp_path / "faces.npz", **arrays())
    faces = labelled_faces.read_arrays(tmp_path / "faces.npz")
    for name, expected in arrays().items():
        np.testing.assert_array_equal(getattr(faces, name), expected)
    np.testing.assert_array_equal(faces.image_index, [0, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"images": np.zeros((2, 16, 20, 3), np.float32)},
            r"images is float32 \[2, 16",
        ),
        ({"images": np.zeros((2, 16, 20), np.uint8)}, r"images is uint8 \[2, 16, 20\]"),
        ({"images": np.zeros((2, 0, 20, 3), np.uint8)}, r"images is uint8 \[2, 0, 20"),
        ({"boxes": np.zeros((2, 4))}, r"boxes is float64 \[2, 4\]"),
        ({"boxes": np.zeros((2, 3), int)}, r"boxes is int64 \[2, 3\]"),
        ({"boxes": np.array([[1, 2, 12, 11]])}, r"boxes is int64 \[1, 4\]"),
        ({"landmarks": np.zeros((2, 5, 3))}, r"landmarks is float64 \[2, 5, 3\]"),
        ({"landmarks": np.zeros((2, 5, 2), int)}, r"landmarks is int64 \[2, 5, 2\]"),
        ({"landmarks": np.zeros((2, 5, 2))}, "face 0: all landmarks are in one pixel"),
        ({"landmarks": np.full((2, 5, 2), np.nan)}, "face 0: a landmark is not finite"),
        (
            {"landmarks": np.eye(10).reshape(2, 5, 10)[..., :2] * 1e30},
            "or beyond 1,000",
        ),
        ({"boxes": np.array([[1, 2, 12, 11]] * 2, object)}, "cannot be read"),
        ({"boxes": np.full((2, 4), np.iinfo(np.int64).min)}, "face 0: the box"),
        ({"boxes": np.array([[-(10**9), 0, 10**9, 9]] * 2)}, "face 0: the box"),
    ],
)
def test_bad_arrays_are_input_errors(tmp_path, changes, message):
    path = tmp_path / "faces.npz"
    np.savez(path, **arrays(**changes))
    with pytest.raises(InputError, match=f"{re.escape(str(path))}: .*{message}"):
        labelled_faces.read_arrays(path)


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_what_is_no_npz_is_an_input_error(tmp_path, content):
    path = tmp_path / "faces.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="give an .npz with images, boxes, landmarks"):
        labelled_faces.read_arrays(path)


def test_a_missing_array_is_an_input_error(tmp_path):
    stored = arrays()
    del stored["landmarks"]
    np.savez(tmp_path / "faces.npz", **stored)
    with pytest.raises(InputError, match="'landmarks is not a file"):
        labelled_faces.read_arrays(tmp_path / "faces.npz")


def test_no_faces_are_an_input_error():
    with pytest.raises(InputError, match="give at least one"):
        labelled(
            images=[],
            image_index=np.arange(0),
            boxes=np.zeros((0, 4), int),
            landmarks=np.zeros((0, 5, 2)),
            names=[],
        )


@pytest.mark.parametrize("name", masks.MASKS)
def test_masked_faces_are_what_a_masked_image_is_in_bytes(name):
    faces = labelled()
    keys = jax.random.split(jax.random.key(1), 2)
    mask = jax.jit(lambda key: masks.MASKS[name](key, (16, 20)))
    known = [mask(key) for key in keys]
    damaged = labelled_faces.mask_faces(faces, known)
    for image, mask, got in zip(faces.images, known, damaged.images, strict=True):
        expected = pixels.to_bytes(mask * pixels.from_bytes(image))
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == np.uint8 and (got != image).any()


def test_masking_changes_nothing_but_the_images():
    faces = labelled()
    before = [image.copy() for image in faces.images]
    damaged = labelled_faces.mask_faces(faces, [np.zeros((16, 20, 1))] * 2)
    np.testing.assert_array_equal(faces.images, before)
    assert damaged.boxes is faces.boxes and damaged.landmarks is faces.landmarks


def test_each_picture_needs_its_own_mask():
    with pytest.raises(ValueError, match="shorter"):
        labelled_faces.mask_faces(labelled(), [np.zeros((16, 20, 1))])
