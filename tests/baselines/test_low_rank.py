"""TNNR against plain loops in float64, and on matrices of low rank."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.baselines import low_rank
from inpaint_jax.images import framing
from inpaint_jax.io import picture_files

SIDE, RANK = 16, 2
solve = jax.jit(functools.partial(low_rank.solve, rank=RANK))


def masks():
    draw = np.random.default_rng(3).uniform(size=(3, SIDE, SIDE, 1))
    mask = (draw > 0.4).astype(np.float32)
    mask[1] = 1
    mask[1, 5:9, 6:10] = 0
    mask[2, :, :5] = 0
    return mask


def pictures():
    rng = np.random.default_rng(0)
    left = rng.uniform(-1, 1, (3, 3, SIDE, RANK))
    right = rng.uniform(-1, 1, (3, 3, RANK, SIDE))
    return np.moveaxis(0.5 * left @ right, 1, -1).astype(np.float32)


def shrink(x, threshold):
    left, values, right = np.linalg.svd(x)
    return left @ np.diag(np.maximum(values - threshold, 0)) @ right


def truncated_nuclear_norm(image, known, *, rank, beta=0.5, tolerance=1e-3):
    # Algorithms 1 and 2 of the paper for one colour, in float64.
    data = np.where(known, image, 0.0).astype(np.float64)
    scale = np.linalg.norm(data)
    x, y = data, np.zeros_like(data)
    for _ in range(20):
        left, _, right = np.linalg.svd(x)
        ab = left[:, :rank] @ right[:rank]
        before = x
        for _ in range(200):
            w = np.where(known, data, x + (ab + y) / beta)
            y = y + beta * (x - w)
            last, x = x, shrink(w - y / beta, 1 / beta)
            if np.linalg.norm(x - last) <= 1e-4 * scale:
                break
        if np.linalg.norm(x - before) <= tolerance * scale:
            break
    return np.clip(np.where(known, image, x), -1, 1)


@pytest.fixture(scope="module")
def solved():
    return jax.tree.map(np.asarray, solve(pictures(), masks()))


@pytest.mark.parametrize("case", range(3))
def test_it_agrees_with_plain_loops(solved, case):
    for channel in range(3):
        expected = truncated_nuclear_norm(
            pictures()[case, ..., channel], masks()[case, ..., 0] > 0, rank=RANK
        )
        np.testing.assert_allclose(solved[0][case, ..., channel], expected, atol=2e-3)


def test_scattered_pixels_of_a_low_rank_matrix_are_recovered(solved):
    error = np.abs(solved[0] - pictures())
    assert error[0].max() < 0.02


def test_a_column_without_known_pixels_comes_out_grey(solved):
    np.testing.assert_allclose(solved[0][2, :, :5], 0.0, atol=1e-5)


def test_known_pixels_are_kept_and_the_hole_does_not_matter(solved):
    known = np.broadcast_to(masks() > 0, pictures().shape)
    broken = np.where(known, pictures(), np.nan).astype(np.float32)
    got = np.asarray(solve(broken, masks())[0])
    np.testing.assert_array_equal(got[known], pictures()[known])
    np.testing.assert_array_equal(got, solved[0])


def test_company_changes_nothing(solved):
    got, info = solve(pictures()[::-1], masks()[::-1])
    np.testing.assert_array_equal(got[::-1], solved[0])
    np.testing.assert_array_equal(info.iterations[::-1], solved[1].iterations)


def test_it_says_whether_it_converged(solved):
    assert solved[1].converged.all() and (solved[1].refreshes > 1).all()
    inputs = jnp.asarray(pictures()), jnp.asarray(masks())
    _, info = low_rank.solve(*inputs, rank=RANK, max_refreshes=1)
    assert (info.refreshes == 1).all() and not info.converged[0].any()


@pytest.mark.parametrize("rank", [-1, SIDE + 1])
def test_an_impossible_rank_is_refused(rank):
    with pytest.raises(ValueError, match=f"got {rank}"):
        low_rank.complete(jnp.asarray(pictures()), jnp.asarray(masks()), rank=rank)


@pytest.mark.faces
def test_five_faces_come_out_as_by_plain_loops(faces_folder):
    paths = sorted(faces_folder.iterdir())[8500:8505]
    pictures = [framing.frame(picture_files.read(p), crop=128, size=32) for p in paths]
    faces = np.stack(pictures).astype(np.float32) / 128 - 1
    mask = np.ones((5, 32, 32, 1), np.float32)
    mask[:, 8:24, 8:24] = 0
    found = np.asarray(jax.jit(low_rank.complete)(faces, mask))
    for image, known, ours in zip(faces, mask, found, strict=True):
        for channel in range(3):
            peer = truncated_nuclear_norm(
                image[..., channel], known[..., 0] > 0, rank=1
            )
            np.testing.assert_allclose(ours[..., channel], peer, atol=2e-3)
