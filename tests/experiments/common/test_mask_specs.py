"""What --mask specifies: which pixels of which picture are the hole."""

import functools
import hashlib
import pathlib

import numpy as np
import pytest
from PIL import Image

from experiments.common import chosen_faces, mask_specs, photo_cases
from experiments.common.input_paths import Input
from inpaint_jax.errors import InputError
from inpaint_jax.io import photographs
from tests.drawn import noise

SHAPE = (40, 30)
HOLE = np.zeros(SHAPE, bool)
HOLE[5:15, 8:20] = True


def stencil(path, hole=HOLE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(hole, np.uint8(255), np.uint8(0))).save(path)


def picture(folder, name="p", *, alpha=None, **options):
    pixels = noise(*SHAPE, 3)
    if alpha is not None:
        pixels = np.concatenate([pixels, alpha[..., None]], axis=-1)
    path = pathlib.Path(folder, f"{name}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return Input(path, name)


def hole_of(spec, given):
    photo = photographs.read_photograph(given.path)
    return spec.of(given, photo, size=16).pixels


def refusal(spec, given):
    with pytest.raises(InputError) as error:
        hole_of(spec, given)
    return str(error.value)


def test_a_preset_is_made_and_does_not_grow():
    spec = mask_specs.read_mask("left")
    assert spec.name == "left" and spec.make is not None and spec.find is None
    with pytest.raises(InputError, match="--grow_mask=3: .*--mask=left does not grow"):
        mask_specs.read_mask("left", grow=3)
    with pytest.raises(InputError, match="--masks=middle: no such mask"):
        mask_specs.read_mask("middle", flag="--masks")


def test_one_file_serves_all_pictures(tmp_path):
    stencil(tmp_path / "m.png")
    for name in (str(tmp_path / "m.png"), f'"{tmp_path}/m.png"'):
        spec = mask_specs.read_mask(name)
        for each in ("p", "q"):
            found = hole_of(spec, picture(tmp_path, each))
            np.testing.assert_array_equal(found, HOLE)


def test_the_identity_of_a_mask_is_its_name_or_the_hash_of_its_file(tmp_path):
    given = picture(tmp_path, "p")
    for name in ("left", "random20", "alpha", "rect:1,2,3,4"):
        assert mask_specs.read_mask(name).identity(given) == name
    stencil(tmp_path / "masks" / "p.png")
    for name in ("masks/p.png", "masks"):
        spec = mask_specs.read_mask(str(tmp_path / name))
        content = (tmp_path / "masks" / "p.png").read_bytes()
        assert spec.identity(given) == hashlib.sha256(content).hexdigest()
    with pytest.raises(InputError, match="no mask for .*q.png"):
        spec.identity(picture(tmp_path, "q"))


def test_a_folder_has_a_mask_for_each_picture(tmp_path):
    by_name = {"p": "p.png", "q": "q_mask.png", "a/r": "a/r.png", "s": "s.webp"}
    for i, name in enumerate(by_name.values()):
        stencil(tmp_path / "masks" / name, np.roll(HOLE, i, axis=1))
    spec = mask_specs.read_mask(str(tmp_path / "masks"))
    for i, name in enumerate(by_name):
        found = hole_of(spec, picture(tmp_path / "photos", name))
        np.testing.assert_array_equal(found, np.roll(HOLE, i, axis=1))
    text = refusal(spec, picture(tmp_path / "photos", "t"))
    assert "has no mask for" in text and "t.png; expected t.png or t_mask.png" in text
    stencil(tmp_path / "masks" / "p.webp")
    spec = mask_specs.read_mask(str(tmp_path / "masks"))
    assert "two masks" in refusal(spec, picture(tmp_path / "photos", "p"))


def test_masks_may_lie_beside_the_pictures(tmp_path):
    given = picture(tmp_path)
    stencil(tmp_path / "p_mask.png")
    spec = mask_specs.read_mask(str(tmp_path))
    np.testing.assert_array_equal(hole_of(spec, given), HOLE)
    (tmp_path / "p_mask.png").unlink()
    assert "has no mask" in refusal(mask_specs.read_mask(str(tmp_path)), given)


def test_a_folder_with_two_masks_of_a_picture_says_once_which_is_taken(
    tmp_path, capsys
):
    for name in "pq":
        stencil(tmp_path / "masks" / f"{name}_mask.png")
        stencil(tmp_path / "masks" / f"{name}.png", ~HOLE)
    spec = mask_specs.read_mask(str(tmp_path / "masks"))
    for name in "pq":
        np.testing.assert_array_equal(hole_of(spec, picture(tmp_path, name)), HOLE)
    out = capsys.readouterr().out
    assert out.count("p_mask.png is taken") == 1 and "q_mask" not in out
    assert "and p.png is not" in out


def test_transparent_pixels_are_the_hole(tmp_path):
    spec = mask_specs.read_mask("alpha")
    alpha = np.where(HOLE, np.uint8(0), np.uint8(255))
    alpha[5, 8] = 128  # half erased
    np.testing.assert_array_equal(hole_of(spec, picture(tmp_path, alpha=alpha)), HOLE)
    assert "has no transparent pixels" in refusal(spec, picture(tmp_path))
    opaque = picture(tmp_path, alpha=np.full(SHAPE, 255, np.uint8))
    assert "has no transparent pixels" in refusal(spec, opaque)
    clear = picture(tmp_path, alpha=np.zeros(SHAPE, np.uint8))
    assert "transparent all over" in refusal(spec, clear)


def test_a_rectangle_in_pixels_of_the_picture(tmp_path):
    given = picture(tmp_path)
    spec = mask_specs.read_mask("rect:8,5,12,10")
    np.testing.assert_array_equal(hole_of(spec, given), HOLE)
    corner = hole_of(mask_specs.read_mask("rect:-5,30,10,99"), given)
    assert corner.sum() == 5 * 10 and corner[30:, :5].all()
    outside = mask_specs.read_mask("rect:30,0,5,5")
    assert "lies outside" in refusal(outside, given)
    assert "30 x 40 pixels" in refusal(outside, given)
    over = mask_specs.read_mask("rect:-1,-1,99,99")
    assert "covers all of" in refusal(over, given)
    for text in (
        "rect:",
        "rect:1,2,3",
        "rect:0,0,0,5",
        "rect:a,b,c,d",
        "rect:1,2,-3,4",
    ):
        with pytest.raises(InputError, match=f"^--mask={text}: no rectangle; give"):
            mask_specs.read_mask(text)


@pytest.mark.parametrize("grow", [1, 4, 30])
def test_a_hole_grows_by_pixels_in_all_directions(tmp_path, grow):
    stencil(tmp_path / "m.png")
    given = picture(tmp_path)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    rows, columns = np.nonzero(HOLE)
    away = (y[..., None] - rows) ** 2 + (x[..., None] - columns) ** 2
    spec = mask_specs.read_mask(str(tmp_path / "m.png"), grow=grow)
    expected = away.min(axis=-1) <= grow**2
    if expected.all():
        assert f"--grow_mask={grow}: " in refusal(spec, given)
    else:
        np.testing.assert_array_equal(hole_of(spec, given), expected)


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path):
    stencil(tmp_path / "turned.png", HOLE.T)
    stencil(tmp_path / "small.png", HOLE[:20])
    stencil(tmp_path / "model.png", HOLE[:16, :16])
    given = picture(tmp_path)
    text = refusal(mask_specs.read_mask(str(tmp_path / "small.png")), given)
    assert "small.png: 30 x 20 pixels" in text and "p.png has 30 x 40" in text
    text = refusal(mask_specs.read_mask(str(tmp_path / "turned.png")), given)
    assert "turn the mask by a quarter" in text and "EXIF" not in text
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = picture(tmp_path, "lying", exif=exif)
    upright = mask_specs.read_mask(str(tmp_path / "turned.png"))
    np.testing.assert_array_equal(hole_of(upright, lying), HOLE.T)
    stencil(tmp_path / "stored.png")
    text = refusal(mask_specs.read_mask(str(tmp_path / "stored.png")), lying)
    assert "EXIF orientation" in text and "40 x 30 pixels upright" in text
    model = mask_specs.read_mask(str(tmp_path / "model.png"))
    assert hole_of(model, given).shape == (16, 16)


def test_a_large_hole_is_hinted_at_once(tmp_path, capsys):
    for name in "pq":
        stencil(tmp_path / "masks" / f"{name}.png", ~HOLE)
    spec = mask_specs.read_mask(str(tmp_path / "masks"))
    for name in "pq":
        np.testing.assert_array_equal(hole_of(spec, picture(tmp_path, name)), ~HOLE)
    out = capsys.readouterr().out
    assert out.count("--mask_hole=black") == 1 and "90%" in out
    mask_specs.read_mask(str(tmp_path / "masks" / "p.png"), hole_is_white=False)
    assert not capsys.readouterr().out


def read(given, spec):
    wanted = photo_cases.Wanted(
        functools.partial(chosen_faces.as_it_is, crop=128, size=30),
        crop=128,
        size=30,
        seed=0,
        original_known=None,
    )
    (case,) = photo_cases.read(given, spec, wanted=wanted)
    return case


def test_a_case_takes_its_hole_from_the_photograph(tmp_path):
    alpha = np.where(HOLE, np.uint8(0), np.uint8(255))
    case = read(picture(tmp_path, "sub/p", alpha=alpha), mask_specs.read_mask("alpha"))
    assert case.name == "sub/p" and case.original is None
    # The central square of 30 x 40 pixels, at its own size.
    np.testing.assert_array_equal(np.asarray(case.mask[0, ..., 0]) == 0, HOLE[5:35])


def test_transparent_pixels_under_a_preset_are_told(tmp_path, capsys):
    alpha = np.where(HOLE, np.uint8(0), np.uint8(255))
    preset = mask_specs.read_mask("centre")
    for given in (picture(tmp_path, "p", alpha=alpha), picture(tmp_path, "q")):
        assert read(given, preset).original is not None
    said = capsys.readouterr().out
    assert "p.png: 10% is transparent" in said and said.count("is transparent") == 1


def test_auto_is_the_transparent_part_or_the_centre(tmp_path):
    alpha = np.where(HOLE, np.uint8(0), np.uint8(255))
    spec = mask_specs.read_mask("auto")
    erased = read(picture(tmp_path, "erased", alpha=alpha), spec)
    np.testing.assert_array_equal(np.asarray(erased.mask[0, ..., 0]) == 0, HOLE[5:35])
    assert erased.original is None
    everything = np.full(HOLE.shape, 255, np.uint8)
    for given in (picture(tmp_path), picture(tmp_path, "full", alpha=everything)):
        whole, centre = (
            read(given, mask_specs.read_mask(m)) for m in ("auto", "centre")
        )
        np.testing.assert_array_equal(whole.mask, centre.mask)
        assert whole.original is not None
    assert spec.identity(given) == "auto"
    with pytest.raises(InputError, match="--grow_mask=3: a preset as --mask=auto"):
        mask_specs.read_mask("auto", grow=3)
