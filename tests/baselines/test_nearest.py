"""The nearest face by the known pixels, as a plain loop finds it."""

import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.baselines import nearest
from inpaint_jax.images import blending
from tests import drawn

SIDE, COUNT = 32, 30


def solve(image, mask, faces, *, blend=blending.paste, **options):
    given = jnp.asarray(image), jnp.asarray(mask), faces
    return nearest.solve(*given, blend=blend, **options)


def bank():
    # Twins that differ in one byte, less than float32 resolves in their bright squares,
    # and one that stands there twice.
    faces = 192 + drawn.noise(COUNT, SIDE, SIDE, 3, seed=1) // 4
    faces[20:24] = faces[4]
    faces[20, 0, -1, 1] ^= 1
    faces[21, -1, 0, 2] ^= 1
    faces[22, -1, -1, 0] ^= 1
    return faces


def as_image(faces):
    return (faces.astype(np.float64) / 127.5 - 1).astype(np.float32)


def mask(batch):
    known = np.random.default_rng(2).uniform(size=(batch, SIDE, SIDE, 1)) > 0.4
    known[:, [0, 0, -1, -1], [0, -1, 0, -1]] = True
    return known.astype(np.float32)


def by_loop(image, mask, faces):
    """(index, mirrored, distance) of the first face with the least distance."""
    known = mask[..., 0] > 0
    candidates = [
        (np.sqrt(np.mean((image[known] - turned[known].astype(float)) ** 2)), flip, i)
        for i, face in enumerate(as_image(faces))
        for flip, turned in ((False, face), (True, face[:, ::-1]))
    ]
    distance, flip, index = min(candidates)
    return index, flip, distance


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_face_of_the_bank_finds_itself(mirrored):
    faces, chosen = bank(), np.array([4, 20, 21, 22, 29, 0])
    image = as_image(faces[chosen])
    image = image[:, :, ::-1] if mirrored else image
    _, info = solve(image, mask(len(chosen)), faces)
    np.testing.assert_array_equal(info.index, chosen)
    np.testing.assert_array_equal(info.mirrored, [mirrored] * len(chosen))
    np.testing.assert_allclose(info.distance, np.zeros(len(chosen)), atol=1e-6)


def test_the_nearest_is_that_of_a_loop():
    faces, image = bank(), as_image(drawn.noise(6, SIDE, SIDE, 3, seed=3))
    visible = mask(6)
    _, info = solve(image, visible, faces)
    expected = [by_loop(*pair, faces) for pair in zip(image, visible, strict=True)]
    index, mirrored, distance = zip(*expected, strict=True)
    np.testing.assert_array_equal(info.index, index)
    np.testing.assert_array_equal(info.mirrored, mirrored)
    np.testing.assert_allclose(info.distance, distance, rtol=1e-5)
    assert 0 < sum(mirrored) < 6


def test_without_mirror_no_face_is_mirrored():
    faces = bank()
    _, info = solve(as_image(faces[3:4])[:, :, ::-1], mask(1), faces, mirror=False)
    assert not np.asarray(info.mirrored).any()
    assert info.distance[0] > 0.1


@pytest.mark.parametrize("block", [7, COUNT])
def test_any_block_gives_the_same(block):
    faces, image = bank(), as_image(drawn.noise(6, SIDE, SIDE, 3, seed=3))
    image[0] = as_image(faces[4])
    one = solve(image, mask(6), faces, block=block)
    other = solve(image, mask(6), faces)
    for got, expected in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(one[0], other[0])


def test_the_hole_does_not_matter():
    faces, image = bank(), as_image(drawn.noise(2, SIDE, SIDE, 3, seed=3))
    visible = mask(2)
    result, info = solve(np.where(visible > 0, image, np.nan), visible, faces)
    expected, _ = solve(image, visible, faces)
    np.testing.assert_array_equal(result, expected)
    assert np.isfinite(info.distance).all()


def test_the_face_found_is_blended_in():
    faces = bank()
    visible, image = mask(1), as_image(faces[5:6])[:, :, ::-1]
    offset = np.where(visible > 0, 0.0, 3.0).astype(np.float32)
    damaged = jnp.asarray(image + offset)
    result = nearest.complete(damaged, jnp.asarray(visible), faces)
    known = np.broadcast_to(visible > 0, image.shape)
    np.testing.assert_array_equal(np.asarray(result)[known], image[known])
    np.testing.assert_allclose(result, image, atol=1e-5)
