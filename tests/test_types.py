"""Arrays that do not fit each other are refused while a program is traced."""

import jax
import numpy as np
import pytest

from inpaint_jax import types

IMAGE, MASK = np.zeros((2, 4, 5, 3)), np.ones((2, 4, 5, 1))


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"image": IMAGE[0]}, "image: is [4, 5, 3]; give [batch, H, W, 3]."),
        ({"image": MASK}, "image: is [2, 4, 5, 1]; give [batch, H, W, 3]."),
        (
            {"generated": IMAGE, "image": IMAGE[:1]},
            "image: is [1, 4, 5, 3]; give [2, 4, 5, 3], as generated.",
        ),
        (
            {"image": IMAGE, "generated": IMAGE.astype(np.uint8)},
            "generated: holds uint8; give floats in [-1, 1], as from "
            "pixels.from_bytes.",
        ),
        (
            {"image": IMAGE, "per_pixel": {"mask": MASK[:1]}},
            "mask: is [1, 4, 5, 1]; give [2, 4, 5, 1] for image.",
        ),
        (
            {"image": IMAGE, "per_pixel": {"region": MASK[..., 0]}},
            "region: is [2, 4, 5]; give [2, 4, 5, 1] for image.",
        ),
    ],
)
def test_shapes_that_would_be_broadcast_are_refused(arrays, sentence):
    with pytest.raises(ValueError) as raised:
        jax.jit(lambda given: types.check_images(**given))(arrays)
    assert str(raised.value) == sentence


def test_shapes_that_fit_pass():
    types.check_images(image=IMAGE, reference=IMAGE, per_pixel={"mask": MASK})
    types.check_images(image=IMAGE, per_pixel={"region": None})
    types.check_images(image=IMAGE)


def test_arrays_of_two_shapes_are_refused():
    types.check_alike(landmarks=IMAGE, truth=IMAGE)
    with pytest.raises(
        ValueError, match=r"^landmarks: is \[2, 4, 5, 3\], but truth \["
    ):
        types.check_alike(landmarks=IMAGE, truth=IMAGE[:1])
