"""A face is put back so that it meets the photograph around the hole."""

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from inpaint_jax.images import insertion


def solved_directly(values, unknown, known):
    """The harmonic extension, as a system of equations."""
    number = np.full(unknown.shape, -1)
    number[unknown] = np.arange(unknown.sum())
    matrix = scipy.sparse.lil_matrix((unknown.sum(),) * 2)
    right = np.zeros((unknown.sum(), values.shape[-1]))
    for y, x in np.argwhere(unknown):
        for other in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
            within = all(0 <= n < side for n, side in zip(other, known.shape))  # noqa: B905
            if within and (unknown[other] or known[other]):
                matrix[number[y, x], number[y, x]] += 1
                if unknown[other]:
                    matrix[number[y, x], number[other]] -= 1
                else:
                    right[number[y, x]] += values[other]
    found = np.where(known[..., None], values, 0.0)
    found[unknown] = scipy.sparse.linalg.spsolve(matrix.tocsc(), right)
    return found


def ring(shape):
    rows, columns = np.indices(shape)
    radius = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2)
    return (radius < 0.4 * min(shape)) & (radius > 0.15 * min(shape))


def block(shape):
    hole = np.zeros(shape, bool)
    hole[7:-9, 5:-12] = True
    return hole


def half(shape):
    hole = np.zeros(shape, bool)
    hole[:, : shape[1] // 2] = True
    return hole


@pytest.mark.parametrize("hole", [ring, block, half])
def test_it_is_nearly_the_harmonic_extension(hole):
    unknown = hole((61, 74))
    slope = np.add.outer(np.linspace(-30, 20, 61), np.linspace(10, -40, 74))
    noise = np.random.default_rng(0).normal(scale=5.0, size=(61, 74, 3))
    values = (slope[..., None] + noise).astype(np.float32)
    found = insertion.harmonic(values, unknown, ~unknown)
    expected = solved_directly(values, unknown, ~unknown)
    np.testing.assert_array_equal(found[~unknown], values[~unknown])
    error = np.abs(found - expected)[unknown]
    assert error.mean() < 0.6 and error.max() < 3.0


def test_a_face_of_another_brightness_vanishes_in_its_photograph():
    generator = np.random.default_rng(1)
    photograph = generator.integers(60, 180, (40, 50, 3), np.uint8)
    face = photograph + np.array([20, -15, 40], np.int16)
    fill = block((40, 50))
    found = insertion.insert(
        photograph, face.astype(np.uint8), fill, known=~fill
    ).astype(np.int16)
    assert np.abs(found - photograph).max() <= 1


def test_pixels_that_are_no_neighbours_of_the_hole_do_not_count():
    # A second hole, which nothing fills, adjoins the first; its colours are garish.
    fill, other = np.zeros((2, 30, 40), bool)
    fill[8:20, 10:20] = True
    other[8:20, 20:30] = True
    photograph = np.full((30, 40, 3), 90, np.uint8)
    photograph[other] = [255, 0, 255]
    face = np.full_like(photograph, 120)
    found = insertion.insert(photograph, face, fill, known=~fill & ~other)
    expected = photograph.copy()
    expected[fill] = 90
    np.testing.assert_array_equal(found, expected)


@hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
@hypothesis.given(
    hnp.arrays(
        np.int8, st.tuples(*2 * [st.integers(1, 12)]), elements=st.integers(0, 2)
    )
)
def test_only_what_is_to_be_filled_changes(kind):
    photograph = np.random.default_rng(2).integers(0, 256, (*kind.shape, 3), np.uint8)
    face = 255 - photograph
    found = insertion.insert(photograph, face, kind == 1, known=kind == 0)
    np.testing.assert_array_equal(found[kind != 1], photograph[kind != 1])
    if not (kind == 0).any():  # nothing to fit: the face as it is
        np.testing.assert_array_equal(found[kind == 1], face[kind == 1])


@pytest.mark.parametrize("cast", [(0, 0, 0), (12, 0, -12)])
def test_a_face_has_the_tone_of_a_photograph_without_colours(cast):
    rng = np.random.default_rng(0)
    levels = rng.integers(20, 230, (70, 90, 1))
    photograph = (levels + cast + rng.integers(-1, 2, (70, 90, 3))).astype(np.uint8)
    hole = block((70, 90))
    photograph[hole] = (255, 0, 0)  # is not looked at
    face = rng.integers(20, 230, (8, 8, 3)).astype(np.uint8)
    found = insertion.in_tone(face, photograph, known=~hole)
    expected = face.mean(axis=-1, keepdims=True) + np.array(cast)
    np.testing.assert_allclose(found, expected, atol=1)


def test_a_face_keeps_its_colours_in_a_photograph_with_some():
    rng = np.random.default_rng(0)
    photograph = np.full((70, 90, 3), 130, np.uint8)
    photograph[:, 60:70] = (170, 130, 110)  # skin
    face = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    everywhere = np.ones((70, 90), bool)
    found = insertion.in_tone(face, photograph, known=everywhere)
    np.testing.assert_array_equal(found, face)
    found = insertion.in_tone(face, photograph, known=~everywhere)
    np.testing.assert_array_equal(found, face)


@pytest.mark.parametrize("band", [1.5, 4.0])
def test_far_from_what_lies_beyond_the_frame_a_face_fits_the_rest(band):
    rng = np.random.default_rng(3)
    shape = (40, 56)
    fill, beyond = np.zeros(shape, bool), np.zeros(shape, bool)
    fill[4:36, 12:30] = True
    beyond[:, :12] = True  # another picture begins here
    face = rng.integers(60, 180, (*shape, 3)).astype(np.uint8)
    photograph = (face + np.uint8(30)).astype(np.uint8)
    photograph[beyond] = 255
    known = ~fill
    found, plain, own = (
        insertion.insert(photograph, face, fill, known=each, beyond=edge, band=band)
        for each, edge in ((known, beyond), (known, None), (known & ~beyond, None))
    )
    np.testing.assert_array_equal(found[~fill], photograph[~fill])
    far = fill & (np.indices(shape)[1] > 12 + 3 * band)
    near = fill & (np.indices(shape)[1] == 12)
    # As if nothing were beyond: as bright as the rest of the photograph.
    np.testing.assert_allclose(found[far].astype(int), own[far], atol=1)
    np.testing.assert_allclose(own[far].astype(int), photograph[far], atol=1)
    assert np.abs(plain[far].astype(int) - own[far]).max() > 10
    # At the edge it meets what is beyond, nearly as without a band.
    apart = np.abs(found[near].astype(int) - plain[near]).mean()
    assert apart < 0.4 * np.abs(own[near].astype(int) - plain[near]).mean()
    nothing = np.zeros(shape, bool)
    same = insertion.insert(photograph, face, fill, known=known, beyond=nothing)
    np.testing.assert_array_equal(same, plain)
