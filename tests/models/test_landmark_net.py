"""The landmark net sees only what is known; its ellipses are those of a density."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from inpaint_jax.models import landmark_net

TINY = landmark_net.Architecture(image_size=16, features=4, hidden=8)
BATCH, SIZE = 4, TINY.image_size
LAYOUT = ("NHWC", "HWIO", "NHWC")


def shapes(architecture):
    size = architecture.image_size
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    mask = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)

    def init(image, mask):
        network = architecture.network()
        return network.init(jax.random.key(0), image, mask, train=False)

    return jax.eval_shape(init, image, mask)


@pytest.fixture(scope="module")
def variables():
    """Weights from N(0, 0.25), variances and scales around 1, so that all parts act."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        values = 0.25 * rng.normal(size=leaf.shape)
        if path[-1].key == "var":
            values = np.exp(values)
        return jnp.asarray(values + (path[-1].key == "scale"), jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes(TINY))


@pytest.fixture(scope="module")
def faces():
    """Noise as images, and masks with holes of another size in each row."""
    rng = np.random.default_rng(1)
    image = rng.uniform(-1, 1, (BATCH, SIZE, SIZE, 3))
    mask = np.ones((BATCH, SIZE, SIZE, 1))
    for row in range(BATCH):
        mask[row, 3 : 6 + 2 * row, 5:12] = 0.0
    return jnp.asarray(image, jnp.float32), jnp.asarray(mask, jnp.float32)


@jax.jit
def place(variables, image, mask):
    return TINY.network().apply(variables, image, mask, train=False)


@jax.jit
def place_in_training(variables, image, mask):
    network = TINY.network()
    return network.apply(variables, image, mask, train=True, mutable=["batch_stats"])[0]


@jax.jit
@jax.grad
def gradient_by_image(image, variables, mask):
    points, whitening = place(variables, image, mask)
    return jnp.sum(points**2) + jnp.sum(whitening**2)


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


# The network.


def test_features_are_what_the_points_are_read_from(variables, faces):
    see = functools.partial(TINY.network().apply, train=False, features=True)
    seen = np.asarray(jax.jit(see)(variables, *faces))
    assert seen.shape == (BATCH, TINY.hidden)
    assert seen.min() == 0.0 and seen.std() > 0.01
    last = variables["params"]["to_points"]
    expected = seen @ np.asarray(last["kernel"]) + np.asarray(last["bias"])
    points, _ = place(variables, *faces)
    np.testing.assert_allclose(
        points, SIZE * expected.reshape(BATCH, -1, 2), rtol=1e-4, atol=1e-3
    )


def plain_norm(x, variables, *names):
    params, stats = (
        functools.reduce(dict.get, names, variables[group])
        for group in ("params", "batch_stats")
    )
    x = (x - stats["mean"]) / np.sqrt(stats["var"] + np.float32(1e-5))
    return np.clip(x, -16, 16) * params["scale"] + params["bias"]


def plain_conv(x, kernel, stride):
    return np.asarray(
        lax.conv_general_dilated(
            x, kernel, (stride, stride), "SAME", dimension_numbers=LAYOUT
        )
    )


def plain_net(variables, image, mask):
    """The network layer by layer, with XLA's own convolutions."""
    params = variables["params"]
    x = np.concatenate([np.where(mask > 0, image, np.float32(0)), mask], axis=-1)
    # Halve; halve, block; halve, block, block; halve.
    for kind, i in [
        *[("_Down", 0), ("_Down", 1), ("_Residual", 0), ("_Down", 2)],
        *[("_Residual", 1), ("_Residual", 2), ("_Down", 3)],
    ]:
        scope = f"{kind}_{i}"
        if kind == "_Down":
            x = plain_conv(x, params[scope]["kernel"], 2)
            x = np.maximum(plain_norm(x, variables, scope, "BatchNorm_0"), 0)
            continue
        change = plain_conv(x, params[scope]["kernel_0"], 1)
        change = np.maximum(plain_norm(change, variables, scope, "BatchNorm_0"), 0)
        change = plain_conv(change, params[scope]["kernel_1"], 1)
        change = plain_norm(change, variables, scope, "BatchNorm_1")
        x = np.maximum(x + change, 0)
    x = x.reshape(len(image), -1)
    x = x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]
    x = np.maximum(plain_norm(x, variables, "BatchNorm_0"), 0)
    points, numbers = (
        (x @ params[name]["kernel"] + params[name]["bias"]).reshape(len(x), 68, -1)
        for name in ("to_points", "to_whitening")
    )
    whitening = np.zeros((len(x), 68, 2, 2))
    whitening[..., 0, 0] = np.exp(np.clip(numbers[..., 0], -4, 4))
    whitening[..., 1, 1] = np.exp(np.clip(numbers[..., 1], -4, 4))
    whitening[..., 1, 0] = numbers[..., 2]
    return SIZE * points, whitening


def test_network_equals_a_plain_one(variables, faces):
    points, whitening = place(variables, *faces)
    numbers = jax.tree.map(np.asarray, variables)
    expected = plain_net(numbers, *map(np.asarray, faces))
    # The faces differ in what comes out, or the comparison would say little.
    assert np.ptp(expected[0], axis=0).mean() > 1 and np.ptp(expected[1]) > 1
    np.testing.assert_allclose(points, expected[0], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(whitening, expected[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.0])
def test_what_lies_in_the_hole_changes_nothing(variables, faces, value):
    image, mask = faces
    other = jnp.where(mask > 0, image, value)
    assert_equal(place(variables, image, mask), place(variables, other, mask))


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_gradient_is_zero_in_the_hole_and_only_there(variables, faces, value):
    image, mask = faces
    hidden = jnp.where(mask > 0, image, value)
    found = np.asarray(gradient_by_image(hidden, variables, mask))
    hole = np.broadcast_to(np.asarray(mask) == 0, found.shape)
    np.testing.assert_array_equal(found[hole], 0.0)
    assert np.isfinite(found).all() and (found[~hole] != 0).mean() > 0.9


def test_the_mask_is_looked_at(variables, faces):
    image, mask = faces
    # The same zeros, once as hole and once as known grey.
    grey = jnp.where(mask > 0, image, 0.0)
    points = place(variables, grey, mask)[0], place(variables, grey, 0 * mask + 1)[0]
    assert (np.abs(points[0] - points[1]).max(axis=(1, 2)) > 0.1).all()


def test_rows_are_alone_without_train(variables, faces):
    image, mask = faces
    together = place(variables, image, mask)
    for i in range(BATCH):
        # Row i among copies of row 0.
        rows = np.array([0, i, 0, 0])
        alone = place(variables, image[rows], mask[rows])
        for one, many in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[1], many[i], rtol=1e-5, atol=1e-5)


def test_rows_are_coupled_with_train(variables, faces):
    image, mask = faces
    before = place_in_training(variables, image, mask)
    after = place_in_training(variables, image.at[0].multiply(-1.0), mask)
    for one, other in zip(before, after, strict=True):
        assert np.abs(one[1:] - other[1:]).max() > 1e-2


@pytest.mark.parametrize("factor", [1e3, -1e3])
def test_whitening_is_triangular_and_its_diagonal_bounded(variables, faces, factor):
    head = jax.tree.map(lambda x: factor * x, variables["params"]["to_whitening"])
    params = {**variables["params"], "to_whitening": head}
    _, whitening = place({**variables, "params": params}, *faces)
    np.testing.assert_array_equal(whitening[..., 0, 1], 0.0)
    for axis in range(2):
        diagonal = np.asarray(whitening[..., axis, axis])
        # Both bounds are met, and none is passed.
        np.testing.assert_allclose(diagonal.min(), math.exp(-4), rtol=1e-5)
        np.testing.assert_allclose(diagonal.max(), math.exp(4), rtol=1e-5)


def test_the_default_net_is_small():
    variables = shapes(landmark_net.Architecture())

    def count(tree):
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    assert 1_500_000 < count(variables["params"]) <= 2_000_000
    assert 2 * count(variables) <= 8_000_000  # bytes in half precision


def test_points_and_matrices_have_their_shapes():
    architecture = landmark_net.Architecture()
    found = jax.eval_shape(
        lambda v, i, m: architecture.network().apply(v, i, m, train=False),
        shapes(architecture),
        jax.ShapeDtypeStruct((3, 64, 64, 3), jnp.float32),
        jax.ShapeDtypeStruct((3, 64, 64, 1), jnp.float32),
    )
    assert [leaf.shape for leaf in found] == [(3, 68, 2), (3, 68, 2, 2)]
    assert all(leaf.dtype == jnp.float32 for leaf in found)


@pytest.mark.parametrize("size", [-16, 0, 8, 15, 24, 100])
def test_architecture_refuses_sizes_that_cannot_be_halved_four_times(size):
    with pytest.raises(ValueError, match=f"image_size.*{size}"):
        landmark_net.Architecture(image_size=size)


# The ellipses.

# In 1 / pixels: a circle, two long ellipses and one that leans.
MATRICES = np.array(
    [
        [[1.0, 0.0], [0.0, 1.0]],
        [[0.5, 0.0], [0.0, 2.0]],
        [[1.5, 0.0], [-1.0, 0.4]],
        [[0.3, 0.0], [0.7, 0.9]],
    ],
    np.float32,
)


def whitenings(matrices=MATRICES):
    return jnp.asarray(matrices)[None]


def test_covariance_is_the_inverse_of_the_product():
    rng = np.random.default_rng(0)
    matrices = np.zeros((3, 5, 2, 2))
    matrices[..., [0, 1], [0, 1]] = np.exp(rng.uniform(-2, 2, (3, 5, 2)))
    matrices[..., 1, 0] = rng.normal(size=(3, 5))
    expected = np.linalg.inv(np.swapaxes(matrices, -1, -2) @ matrices)
    covariance = jax.jit(landmark_net.covariance)
    found = covariance(jnp.asarray(matrices, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_whiten_multiplies_each_error_with_its_matrix():
    rng = np.random.default_rng(0)
    matrices, errors = rng.normal(size=(3, 5, 2, 2)), rng.normal(size=(3, 5, 2))
    found = landmark_net.whiten(
        jnp.asarray(errors, jnp.float32), jnp.asarray(matrices, jnp.float32)
    )
    for i in range(3):
        for j in range(5):
            expected = matrices[i, j] @ errors[i, j]
            np.testing.assert_allclose(found[i, j], expected, rtol=1e-4, atol=1e-5)


def quadrature(matrix, *, reach=18.0, steps=601):
    """Errors on a grid that holds all but e-7 of the density, and their area each."""
    middle = (np.arange(steps) + 0.5) / steps * 2 - 1
    # The box around the ellipse of that radius.
    half = reach * np.linalg.norm(np.linalg.inv(matrix), axis=1)
    x, y = np.meshgrid(half[0] * middle, half[1] * middle)
    return np.stack([x, y], axis=-1).reshape(-1, 2), np.prod(2 * half / steps)


def density(matrix, error):
    count = len(error)
    place = np.array([31.0, 17.0], np.float32)
    nll = jax.jit(landmark_net.negative_log_likelihood)(
        jnp.broadcast_to(place, (1, count, 2)),
        jnp.broadcast_to(jnp.asarray(matrix), (1, count, 2, 2)),
        jnp.asarray(place + error, jnp.float32)[None],
    )
    return np.exp(-np.asarray(nll, np.float64))[0]


@pytest.mark.parametrize("matrix", MATRICES)
def test_the_density_integrates_to_one(matrix):
    error, area = quadrature(matrix)
    assert area * density(matrix, error).sum() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("matrix", MATRICES)
def test_deviation_and_covariance_are_those_of_the_density(matrix):
    error, area = quadrature(matrix)
    second = np.einsum("n,ni,nj->ij", area * density(matrix, error), error, error)
    (covariance,) = landmark_net.covariance(whitenings([matrix]))[0]
    expected = landmark_net.LAPLACE_DEVIATION**2 * np.asarray(covariance)
    np.testing.assert_allclose(second, expected, rtol=2e-3, atol=2e-3)


def test_likelihood_is_the_formula_in_logarithms():
    rng = np.random.default_rng(0)
    place, truth = rng.uniform(0, 64, (2, 3, len(MATRICES), 2)).astype(np.float32)
    matrices = np.broadcast_to(MATRICES, (3, *MATRICES.shape))
    found = landmark_net.negative_log_likelihood(
        *map(jnp.asarray, (place, matrices, truth))
    )
    length = np.linalg.norm(
        np.einsum("bpij,bpj->bpi", matrices, truth - place), axis=-1
    )
    expected = length - np.log(np.linalg.det(matrices)) + np.log(2 * np.pi)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_gradient_of_the_likelihood_is_finite_at_no_error():
    truth = jnp.full((1, len(MATRICES), 2), 20.0)

    def total(points, matrices):
        return landmark_net.negative_log_likelihood(points, matrices, truth).sum()

    by_place, by_matrix = jax.jit(jax.grad(total, argnums=(0, 1)))(truth, whitenings())
    np.testing.assert_array_equal(by_place, 0.0)
    # -log(a b) alone.
    diagonal = MATRICES[:, [0, 1], [0, 1]]
    np.testing.assert_allclose(
        by_matrix[0, :, [0, 1], [0, 1]].T, -1 / diagonal, rtol=1e-5
    )
    np.testing.assert_array_equal(by_matrix[0, :, 1, 0], 0.0)


def test_likelihood_pulls_the_place_to_the_truth():
    truth = jnp.zeros((1, len(MATRICES), 2))
    points = truth + jnp.asarray([[[3.0, -2.0]]])

    def total(points):
        matrices = whitenings()
        return landmark_net.negative_log_likelihood(points, matrices, truth).sum()

    gradient = np.asarray(jax.jit(jax.grad(total))(points))[0]
    error = np.array([3.0, -2.0])
    # The gradient of |A e| is A^T A e / |A e|.
    for found, matrix in zip(gradient, MATRICES, strict=True):
        expected = matrix.T @ matrix @ error / np.linalg.norm(matrix @ error)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_values_are_normalised_as_far_out_as_training_has_them(variables):
    norm = landmark_net.BatchNorm(use_running_average=True)
    found = variables["params"]["_Down_0"]["BatchNorm_0"]
    stored = variables["batch_stats"]["_Down_0"]["BatchNorm_0"]
    channels = len(stored["mean"])
    deviations = np.array([-300.0, -15.9, 0.0, 2.5, 15.9, 17.0, 1e4])
    spread = np.sqrt(np.asarray(stored["var"]) + 1e-5)
    x = np.asarray(stored["mean"]) + deviations[:, None] * spread
    out = norm.apply(
        {"params": found, "batch_stats": stored}, jnp.asarray(x, jnp.float32)
    )
    expected = np.clip(deviations, -16, 16)[:, None] * np.asarray(found["scale"])
    expected = expected + np.asarray(found["bias"])
    assert out.shape == (len(deviations), channels)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)


def test_statistics_of_a_batch_are_those_of_all_its_values(variables):
    norm = landmark_net.BatchNorm(use_running_average=False)
    x = np.zeros((1000, 4), np.float32)
    x[0] = 1e4  # 32 deviations away
    out = norm.init_with_output(jax.random.key(0), jnp.asarray(x))[0]
    np.testing.assert_allclose(out[0], (x[0] - 10) / x.std(), rtol=1e-3)
