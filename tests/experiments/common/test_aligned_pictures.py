"""Aligned pictures become cases as they are framed, the bad ones are told apart."""

import numpy as np
import pytest

from experiments.common import aligned_pictures, mask_specs, skipping
from inpaint_jax.errors import InputError
from inpaint_jax.images import framing
from inpaint_jax.io import picture_files
from tests import drawn

SIZE = 16


@pytest.fixture
def pictures(tmp_path):
    """Pictures of other proportions too, and one that is none."""
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path, shape in zip(paths, ((218, 178), (40, 60), (16, 16)), strict=True):
        picture_files.write(path, drawn.noise(*shape, 3))
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    return aligned_pictures.AlignedPictures([*paths[:2], bad, paths[2]], 128, SIZE)


def test_pictures_are_framed_without_looking_for_faces(pictures):
    usable = pictures.usable("in", skipping.Skipped(alone=False))
    assert usable.names == ["a", "b", "c"]
    cases = usable.read(mask_specs.read_mask("left"), seed=3)
    for path, case in zip(usable.paths, cases, strict=True):
        expected = framing.frame(picture_files.read(path), crop=128, size=SIZE)
        np.testing.assert_array_equal(case.picture, expected)
        np.testing.assert_array_equal(case.original, expected)
        assert not case.mask[0, :, :8].any() and case.mask[0, :, 8:].all()
        assert case.placement is None


def test_a_picture_has_its_key_by_its_name_alone(pictures):
    usable = pictures.usable("in", skipping.Skipped(alone=False))
    hole = mask_specs.read_mask("random80")
    three = usable.read(hole, seed=3)
    (last,) = usable._replace(paths=usable.paths[2:]).read(hole, seed=3)
    np.testing.assert_array_equal(last.mask, three[2].mask)
    assert (last.key == three[2].key).all()
    assert not np.array_equal(three[1].mask, three[2].mask)


def test_bad_pictures_are_skipped_and_only_bad_ones_refused(pictures):
    skipped = skipping.Skipped(alone=False)
    pictures.usable("in", skipped)
    assert len(skipped.reasons) == 1 and skipped.exit_code == 1
    only = pictures._replace(paths=pictures.paths[2:3])
    with pytest.raises(InputError, match="--images=in: none of the pictures"):
        only.usable("in", skipping.Skipped(alone=False))
