"""Holes are found in stencils however they were painted and stored."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from inpaint_jax.errors import InputError
from inpaint_jax.images import stencils
from tests.drawn import noise

SIZE = (160, 120)


def painted(*, blur=0.0):
    picture = Image.new("L", SIZE, 0)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((40, 30, 90, 70), fill=255)
    draw.ellipse((100, 60, 140, 110), fill=255)
    draw.line((5, 110, 60, 85), fill=255, width=5)
    return picture.filter(ImageFilter.GaussianBlur(blur)) if blur else picture


MARKED = np.asarray(painted()) > 0


def found(picture, **options):
    rgba = np.asarray(picture.convert("RGBA"))
    return stencils.find_hole(rgba, name="m.png", **options)


def strokes(colour, ground):
    picture = Image.new("RGB", SIZE, ground)
    picture.paste(colour, mask=painted())
    return picture


def through_jpeg(picture, quality):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def refusal(picture, **options):
    with pytest.raises(InputError) as error:
        found(picture, **options)
    return str(error.value)


@pytest.mark.parametrize("colour", ["white", "red", "lime", "blue", (128, 0, 0)])
def test_strokes_of_any_colour_on_black(colour):
    np.testing.assert_array_equal(found(strokes(colour, "black")), MARKED)


@pytest.mark.parametrize("colour", ["black", "red", "blue", (60, 60, 60)])
def test_strokes_of_any_colour_on_white(colour):
    hole = found(strokes(colour, "white"), hole_is_white=False)
    np.testing.assert_array_equal(hole, MARKED)


@pytest.mark.parametrize("levels", [(0, 1), (0, 128), (100, 110), (254, 255)])
def test_two_levels_are_enough(levels):
    low, high = np.array(levels, np.uint8)
    bytes_ = Image.fromarray(np.where(MARKED, high, low))
    np.testing.assert_array_equal(found(bytes_), MARKED)
    inverse = Image.fromarray(np.where(MARKED, low, high))
    np.testing.assert_array_equal(found(inverse, hole_is_white=False), MARKED)


def test_palettes_and_labels():
    palette = painted().point(lambda level: level and 1).convert("P")
    palette.putpalette([0, 0, 0, 128, 0, 0])
    np.testing.assert_array_equal(found(palette), MARKED)
    labels = np.where(MARKED, 1 + np.arange(SIZE[0], dtype=np.uint8) // 60, 0)
    labels = Image.fromarray(labels.astype(np.uint8))
    np.testing.assert_array_equal(found(labels), MARKED)


@pytest.mark.parametrize("quality", [75, 80, 85, 90, 95])
@pytest.mark.parametrize("hole_is_white", [True, False])
def test_the_noise_of_jpeg_marks_nothing(quality, hole_is_white):
    picture = painted() if hole_is_white else painted().point(lambda level: 255 - level)
    for mode in ("L", "RGB"):
        jpeg = through_jpeg(picture.convert(mode), quality)
        hole = found(jpeg, hole_is_white=hole_is_white)
        np.testing.assert_array_equal(hole, MARKED)


@pytest.mark.parametrize("blur", [1.0, 3.0, 6.0])
@pytest.mark.parametrize("quality", [None, 75, 95])
def test_a_soft_brush_leaves_nothing_half_covered(blur, quality):
    soft = painted(blur=blur)
    covered = np.asarray(soft) / 255.0
    picture = soft if quality is None else through_jpeg(soft, quality)
    hole = found(picture)
    assert hole[covered > 0.25].all() and not hole[covered < 0.05].any()


@pytest.mark.parametrize("quality", [75, 95])
@pytest.mark.parametrize("colour", ["red", "blue"])
def test_colours_in_jpeg_hide_all_that_was_painted(quality, colour):
    hole = found(through_jpeg(strokes(colour, "black"), quality))
    assert hole[MARKED].all()
    # Colours are stored at half the resolution, so the hole grows; not by more.
    near = np.asarray(painted().filter(ImageFilter.MaxFilter(17))) > 0
    assert not hole[~near].any()


def test_layers_and_erased_pictures():
    layer = np.zeros((*MARKED.shape, 4), np.uint8)
    layer[...] = 255, 0, 0, 0
    layer[MARKED, 3] = 255
    np.testing.assert_array_equal(found(Image.fromarray(layer)), MARKED)
    soft = layer.copy()
    soft[..., 3] = np.asarray(painted(blur=2.0))
    assert found(Image.fromarray(soft))[MARKED].all()
    # Black where it is kept, and white where it was erased.
    erased = np.full((*MARKED.shape, 4), 255, np.uint8)
    erased[~MARKED, :3] = 0
    erased[MARKED, 3] = 0
    np.testing.assert_array_equal(found(Image.fromarray(erased)), MARKED)
    # A photograph in which the hole is erased.
    photo = np.concatenate([noise(*MARKED.shape, 3), erased[..., 3:]], axis=-1)
    for hole_is_white in (True, False):
        hole = found(Image.fromarray(photo), hole_is_white=hole_is_white)
        np.testing.assert_array_equal(hole, MARKED)


def photograph():
    """A drawn scene: gradients, things of many shades, noise."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    scene = np.stack([120 + y // 2, 90 + x // 2, 200 - y], axis=-1).astype(np.uint8)
    picture = Image.fromarray(scene)
    draw = ImageDraw.Draw(picture)
    rng = np.random.default_rng(0)
    for _ in range(60):
        a, b = rng.integers(0, 140, 2).tolist()
        draw.ellipse((a, b, a + 25, b + 18), fill=tuple(rng.integers(30, 230, 3)))
    return picture


def test_a_photograph_is_refused_with_what_was_found():
    for hole_is_white in (True, False):
        text = refusal(photograph(), hole_is_white=hole_is_white)
        assert "m.png: looks like a photograph" in text and "levels" in text
    whitened = photograph()
    ImageDraw.Draw(whitened).rectangle((40, 30, 90, 70), fill="white")
    assert "photograph" in refusal(whitened)


def test_a_flat_grey_picture_with_noise_is_refused():
    rare = noise(50, 50, seed=1) < 50
    levels = np.where(rare, 100 + noise(50, 50) % np.uint8(20), np.uint8(100))
    assert "between 100 and 119" in refusal(Image.fromarray(levels))


@pytest.mark.parametrize("hole_is_white", [True, False])
@pytest.mark.parametrize("level", [0, 255])
def test_one_colour_is_no_hole_or_nothing_else(level, hole_is_white):
    share = "100%" if (level == 255) == hole_is_white else "0%"
    picture = Image.new("L", SIZE, level)
    assert f" {share} of the image" in refusal(picture, hole_is_white=hole_is_white)
