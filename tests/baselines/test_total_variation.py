"""TV against ADMM in float64 on a dense gradient matrix, and against scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import restoration

from inpaint_jax.baselines import total_variation
from inpaint_jax.io import picture_files

SIDE = 12
TOLERANCE = 1e-4
solve = jax.jit(
    lambda image, mask: total_variation.solve(image, mask, tolerance=TOLERANCE)
)
stopped = jax.jit(
    lambda image, mask: total_variation.solve(
        image, mask, tolerance=0.0, max_iterations=30
    )
)


def block():
    mask = np.ones((SIDE, SIDE, 1), np.float32)
    mask[3:9, 4:10] = 0
    return mask


def half():
    mask = np.ones((SIDE, SIDE, 1), np.float32)
    mask[:, :6] = 0
    return mask


def scattered():
    draw = np.random.default_rng(3).uniform(size=(SIDE, SIDE, 1))
    return (draw > 0.7).astype(np.float32)


def no_hole():
    return np.ones((SIDE, SIDE, 1), np.float32)


MASKS = np.stack([block(), half(), scattered(), no_hole()])


def pictures():
    # Smooth shades, an edge across the holes, a little noise.
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    shades = np.stack([rows - columns, 0.5 * columns, np.sin(4 * rows)], axis=-1)
    edge = np.where(rows + 0.5 * columns > 0.7, 0.5, -0.3)[..., None]
    noise = 0.05 * rng.normal(size=(len(MASKS), SIDE, SIDE, 3))
    return np.clip(0.4 * shades + edge + noise, -1, 1).astype(np.float32)


def differences(side):
    # Dense [2 n, n]: down, then across, 0 at the far edge.
    step = np.eye(side, k=1) - np.eye(side)
    step[-1] = 0
    return np.concatenate([np.kron(step, np.eye(side)), np.kron(np.eye(side), step)])


def lengths(edges):
    # [2 n, 3] -> [n]
    return np.sqrt((edges.reshape(2, -1, 3) ** 2).sum(axis=(0, 2)))


def total(image):
    return lengths(
        differences(len(image)) @ image.reshape(-1, 3).astype(np.float64)
    ).sum()


def admm(image, mask, steps=3000, penalty=10.0):
    # min sum |d|, d = D x, x = image where known; the hole is solved for exactly.
    matrix, known = differences(len(image)), mask.reshape(-1) > 0
    x = np.where(known[:, None], image.reshape(-1, 3), 0.0).astype(np.float64)
    hole = matrix[:, ~known]
    least_squares = np.linalg.pinv(hole)
    given = matrix[:, known] @ x[known]
    edges, dual = matrix @ x, np.zeros((len(matrix), 3))
    for _ in range(steps):
        x[~known] = least_squares @ (edges - dual - given)
        moved = hole @ x[~known] + given + dual
        length = lengths(moved)
        kept = np.maximum(length - 1 / penalty, 0) / np.maximum(length, 1e-30)
        edges = moved * np.tile(kept, 2)[:, None]
        dual = moved - edges
    return x.reshape(image.shape)


@pytest.fixture(scope="module")
def peer():
    return [admm(image, mask) for image, mask in zip(pictures(), MASKS, strict=True)]


@pytest.fixture(scope="module")
def solved():
    return jax.tree.map(np.asarray, solve(pictures(), MASKS))


@pytest.mark.parametrize("case", range(3))
def test_the_objective_is_that_of_another_solver(solved, peer, case):
    expected = total(peer[case])
    got = total(solved[0][case])
    assert expected * (1 - 1e-5) <= got <= expected * (1 + 2 * TOLERANCE)


@pytest.mark.parametrize("case", range(3))
def test_the_pixels_are_those_of_another_solver(solved, peer, case):
    np.testing.assert_allclose(solved[0][case], peer[case], atol=0.02)


def test_the_gap_bounds_what_is_left_to_gain(peer):
    rough, info = stopped(pictures(), MASKS)
    for case in range(3):
        reached = total(np.asarray(rough[case]))
        gain = 1 - total(peer[case]) / reached
        assert 1e-4 < gain <= float(info.gap[case])


def test_it_says_whether_it_converged(solved):
    assert solved[1].converged.all() and (solved[1].gap <= TOLERANCE).all()
    _, info = stopped(pictures(), MASKS)
    assert info.iterations.tolist() == [50] * 4 and not info.converged.any()


def test_more_denoising_rounds_of_skimage_do_not_lower_tv(solved):
    # Denoise, put the known pixels back, again: a feasible point near the minimum.
    image, mask = pictures()[0], MASKS[0]
    x = np.where(mask > 0, image, image[mask[..., 0] > 0].mean(axis=0))
    for _ in range(50):
        x = restoration.denoise_tv_chambolle(x, weight=0.02, channel_axis=-1)
        x = np.where(mask > 0, image, x)
    best = total(solved[0][0])
    assert best <= total(x) <= 1.05 * best


def test_known_pixels_are_kept_and_the_hole_does_not_matter(solved):
    known = np.broadcast_to(MASKS > 0, pictures().shape)
    broken = np.where(known, pictures(), np.nan).astype(np.float32)
    got = np.asarray(solve(broken, MASKS)[0])
    np.testing.assert_array_equal(got[known], pictures()[known])
    np.testing.assert_array_equal(got, solved[0])


def test_company_changes_nothing(solved):
    others = pictures()[::-1].copy()
    others[2] = pictures()[2]
    masks = MASKS[[1, 1, 2, 0]]
    got, info = solve(others, masks)
    np.testing.assert_array_equal(got[2], solved[0][2])
    assert int(info.iterations[2]) == solved[1].iterations[2]
    assert len(set(solved[1].iterations.tolist())) > 1


def test_a_constant_picture_is_completed_at_once():
    image = np.full_like(pictures(), 0.3)
    got = total_variation.complete(jnp.asarray(image), jnp.asarray(MASKS))
    np.testing.assert_allclose(got, image, atol=1e-6)


@pytest.mark.faces
def test_five_faces_come_out_as_by_another_solver(faces_folder):
    side = 24
    paths = sorted(faces_folder.iterdir())[8500:8505]
    pictures = [picture_files.read(path)[30:78, 20:68] for path in paths]
    faces = np.stack([p[::2, ::2] for p in pictures]).astype(np.float32) / 128 - 1
    mask = np.ones((5, side, side, 1), np.float32)
    mask[:, 6:18, 6:18] = 0
    found = np.asarray(solve(faces, mask)[0])
    for image, known, ours in zip(faces, mask, found, strict=True):
        peer = admm(image, known, steps=1500)
        assert total(ours) <= total(peer) * (1 + 2 * TOLERANCE)
        assert np.sqrt(np.mean((ours - peer) ** 2)) < 0.01
