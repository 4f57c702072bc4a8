"""The cascade in the graph equals dlib to the pixel; the soft one has its slope."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.errors import InputError
from inpaint_jax.images import framing, pixels
from inpaint_jax.io import data
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.landmarks.cascade import model_file, prediction
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel

pytestmark = pytest.mark.usefixtures("optimised")

HEIGHT, WIDTH = 40, 56
EVERY_WAY = ("points", "depth", "levels", "trees", "features")
SIZES = [(1, 1, 2, 3, 1), (5, 5, 3, 27, 40), (68, 3, 2, 60, 200)]

soft = functools.partial(prediction.predict_soft, temperature=4.0)
compiled, compiled_soft = jax.jit(prediction.predict), jax.jit(soft)


def random_model(points, depth, levels, trees, features):
    """A cascade in which every level moves the points by several pixels."""
    rng = np.random.default_rng((points, depth))
    splits, forest = 2**depth - 1, (levels, trees)
    # Every other threshold is whole, as differences of bytes are.
    threshold = rng.normal(0, 60, (*forest, splits))
    threshold[:, ::2] = np.round(threshold[:, ::2])
    leaves = rng.normal(0, 0.2 / np.sqrt(trees), (*forest, splits + 1, points, 2))
    return ShapeModel(
        initial=rng.uniform(0, 1, (points, 2)).astype(np.float32),
        first=rng.integers(0, features, (*forest, splits), dtype=np.int32),
        second=rng.integers(0, features, (*forest, splits), dtype=np.int32),
        threshold=threshold.astype(np.float32),
        leaves=leaves.astype(np.float32),
        anchor=rng.integers(0, points, (levels, features), dtype=np.int32),
        offset=rng.normal(0, 0.2, (levels, features, 2)).astype(np.float32),
    )


def pictures(count, seed=0):
    shape = (count, HEIGHT, WIDTH, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def boxes(count, seed=0):
    """Boxes of all shapes, most of them partly outside the image."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(-20, [WIDTH, HEIGHT], (count, 2))
    opposite = np.maximum(corner + rng.integers(1, 70, (count, 2)), 0)
    return np.concatenate([corner, opposite], axis=1).astype(np.int32)


def by_dlib(path, images, box):
    dlib = pytest.importorskip("dlib")
    predictor = dlib.shape_predictor(str(path))
    placed = []
    for image, sides in zip(images, box.tolist(), strict=True):
        parts = predictor(image, dlib.rectangle(*sides)).parts()
        placed.append([(part.x, part.y) for part in parts])
    return np.array(placed)


def rounded(model, images, box):
    image = pixels.from_bytes(images)
    return np.asarray(prediction.round_as_dlib(compiled(model, image, box)))


@pytest.mark.parametrize(EVERY_WAY, SIZES)
def test_predict_is_dlib(points, depth, levels, trees, features, tmp_path):
    model = random_model(points, depth, levels, trees, features)
    file = tmp_path / "model.dat"
    file.write_bytes(model_file.serialise(model))
    images, box = pictures(200), boxes(200)
    expected = by_dlib(file, images, box)
    still = model._replace(leaves=np.zeros_like(model.leaves))
    moved = np.abs(expected - rounded(still, images, box))
    assert np.median(moved) >= 2
    np.testing.assert_array_equal(rounded(model, images, box), expected)


def test_predict_is_dlib_with_a_trained_model(train_toy):
    file = train_toy(5, 4, 2, 24)
    model = model_file.parse(file.read_bytes())
    images, box = pictures(200), boxes(200)
    expected = by_dlib(file, images, box)
    assert len(np.unique(expected - box[:, None, :2], axis=0)) > 100
    np.testing.assert_array_equal(rounded(model, images, box), expected)


@pytest.mark.faces
@pytest.mark.parametrize("points", [68, 5])
@pytest.mark.parametrize("crop", [108, 128])
def test_predict_is_dlib_on_the_test_faces(crop, points, faces_folder):
    try:
        file = dlib_host.find_model(None)
    except InputError as error:
        pytest.skip(str(error))
    file = file.with_name(file.name.replace("68", str(points)))
    faces = data.load(f"folder:{faces_folder}[9000:9500]", crop=crop, size=64)
    count = len(faces.images)
    assert count > 0
    box = np.tile(framing.aligned_box(crop=crop, size=64), (count, 1)).astype(np.int32)
    expected = by_dlib(file, faces.images, box)
    assert expected.shape == (count, points, 2)
    model = model_file.load(file)
    np.testing.assert_array_equal(rounded(model, faces.images, box), expected)


@pytest.mark.parametrize("zero", ["offset", "leaves"])
def test_places_and_points_are_rounded_as_dlib_rounds_them(zero, tmp_path):
    # The mean shape lies within a few units in the last place of halves, on both sides.
    # Without offsets feature pixels lie there, without leaves the points stay there.
    rng = np.random.default_rng(0)
    model, extent = random_model(*SIZES[-1]), np.array([45, 1333])
    half = rng.integers(0, extent, model.initial.shape) + 0.5
    initial = (half / extent).astype(np.float32)
    initial += rng.integers(-1, 2, half.shape) * np.spacing(initial)
    # On a half itself dlib's float64 errors decide.
    tie = np.float64(initial) * extent == half
    initial = np.where(tie, np.nextafter(initial, np.float32(1)), initial)
    still = {"initial": initial, zero: np.zeros_like(getattr(model, zero))}
    file = tmp_path / "model.dat"
    file.write_bytes(model_file.serialise(model._replace(**still)))
    images = pictures(200)
    corner = rng.integers([-40, -1300], [WIDTH, HEIGHT], (200, 2))
    corner = np.maximum(corner, -extent)
    box = np.concatenate([corner, corner + extent], axis=1).astype(np.int32)
    expected = by_dlib(file, images, box)
    np.testing.assert_array_equal(
        rounded(model._replace(**still), images, box), expected
    )


def turned_pixel(a, b, offset, anchor, extent):
    """The pixel that dlib reads, in its own float32 steps, without the corner."""
    x, y = np.moveaxis(offset, -1, 0)
    place = np.stack([a * x - b * y, b * x + a * y], axis=-1) + anchor
    return np.floor(np.float64(place) * extent + 0.5)


def offsets_where_bits_matter(a, b, anchor, extent):
    """Offsets [features, 2] that a wrong last bit of the rotation sends elsewhere."""
    rng, ulp = np.random.default_rng(0), np.spacing(np.float32(1))
    half = rng.integers(0, extent, anchor.shape) + 0.5
    toward = half / extent - anchor
    exact = (toward @ [1, 1j]) / (a + 1j * b)
    offset = np.stack([exact.real, exact.imag], axis=-1)[None]
    tried = offset + rng.normal(0, 1e-7, (200, *anchor.shape))
    tried = tried.astype(np.float32)
    read = turned_pixel(a, b, tried, anchor, extent)
    changed = sum(
        np.any(read != turned_pixel(a + da, b + db, tried, anchor, extent), axis=-1)
        for da, db in [(ulp, 0), (-ulp, 0), (0, ulp), (0, -ulp)]
    )
    best = np.argmax(changed, axis=0)
    features = np.arange(len(anchor))
    assert np.mean(changed[best, features]) > 2
    return tried[best, features]


def test_the_last_bit_of_the_rotation_is_dlibs(tmp_path):
    # Level 0 moves the points alike in all images; level 1 reads with that rotation.
    model, extent = random_model(*SIZES[-1]), np.array([45, 33])
    leaves = np.float32(4) * model.leaves
    leaves[0] = leaves[0, :, :1]
    shape = model.initial
    for leaf in leaves[0, :, 0]:
        shape = shape + leaf
    from_centre = (model.initial - model.initial.mean(0, dtype=float)) @ [1, 1j]
    turn = np.conj(from_centre) @ (shape @ [1, 1j]) / np.sum(abs(from_centre) ** 2)
    a, b = np.float32(turn.real), np.float32(turn.imag)
    offset = model.offset.copy()
    offset[1] = offsets_where_bits_matter(a, b, shape[model.anchor[1]], extent)
    model = model._replace(leaves=leaves, offset=offset)
    file = tmp_path / "model.dat"
    file.write_bytes(model_file.serialise(model))
    images, corner = pictures(200), np.array([(4, 3)])
    box = np.concatenate([corner, corner + extent], axis=1).repeat(200, axis=0)
    box = box.astype(np.int32)
    expected = by_dlib(file, images, box)
    np.testing.assert_array_equal(rounded(model, images, box), expected)


def test_round_as_dlib_rounds_halves_up():
    below = np.nextafter(np.float32(0.5), np.float32(0))
    points = np.array([[[2.5, -2.5], [below, -below], [-0.5, 41.4]]], np.float32)
    got = jax.jit(prediction.round_as_dlib)(points)
    np.testing.assert_array_equal(got, [[[3, -2], [0, 0], [0, 41]]])


# In an image of 40 x 56 pixels: inside, partly outside, just touching each edge, just
# wide, high and narrow enough.
GOOD_BOXES = [
    *[(3, 2, 48, 36), (10, 10, 40, 40), (5, 1, 25, 39), (-10, 5, 30, 50)],
    *[(20, -8, 60, 20), (-9, 5, 0, 20), (55, 5, 70, 20), (5, -9, 20, 0)],
    *[(5, 39, 20, 50), (-4000, 5, 95, 20), (5, 5, 6, 20), (5, 5, 20, 6)],
]
# Beyond each edge, not two pixels wide or high, too wide, too high, absurd.
BAD_BOXES = [
    *[(-9, 5, -1, 20), (56, 5, 70, 20), (5, -9, 20, -1), (5, 40, 20, 50)],
    *[(5, 5, 5, 20), (5, 5, 20, 5), (20, 5, 5, 20), (5, 20, 20, 5)],
    *[(-4000, 5, 96, 20), (0, -4000, 20, 96)],
    *[(-(2**31), 0, 2**31 - 1, 20), (2**31 - 1, 0, -(2**31), 20)],
]
GOOD, ROWS = len(GOOD_BOXES), len(GOOD_BOXES + BAD_BOXES)


@functools.cache
def toy():
    """A model, images and boxes that are all good."""
    box = np.resize(np.array(GOOD_BOXES, np.int32), (ROWS, 4))
    image = np.array(pixels.from_bytes(pictures(ROWS)))
    return random_model(5, 2, 2, 30, 40), image, box


def spoilt():
    """Images and boxes of which all but the first are bad."""
    _, image, box = toy()
    image, box = image.copy(), box.copy()
    box[GOOD:] = BAD_BOXES
    image[1, 20, 30, 0] = np.nan
    image[2, 3, 4], image[3, 39, 55, 2] = np.inf, -np.inf
    bad = np.isin(np.arange(ROWS), [1, 2, 3, *range(GOOD, ROWS)])
    return image, box, bad


# In noise the soft points move with the last bit of where a pixel is read.
EXACT_AND_SOFT = [(compiled, 0), (compiled_soft, 1e-2)]


@pytest.mark.parametrize(("predict", "tolerance"), EXACT_AND_SOFT)
def test_faces_do_not_depend_on_each_other(predict, tolerance):
    model, image, box = toy()
    whole = predict(model, image, box)
    alone = [predict(model, image[i : i + 1], box[i : i + 1])[0] for i in range(5)]
    np.testing.assert_allclose(np.stack(alone), whole[:5], rtol=0, atol=tolerance)


@pytest.mark.parametrize(("predict", "tolerance"), EXACT_AND_SOFT)
def test_groups_and_a_constant_model_of_numpy_arrays_give_the_same(predict, tolerance):
    model, image, box = toy()
    constant = functools.partial(predict.__wrapped__, model)
    grouped = jax.jit(jax.vmap(constant))(
        image.reshape(2, -1, *image.shape[1:]), box.reshape(2, -1, 4)
    )
    got, whole = grouped.reshape(ROWS, 5, 2), predict(model, image, box)
    np.testing.assert_allclose(got, whole, rtol=0, atol=tolerance)


@pytest.mark.parametrize("predict", [compiled, compiled_soft])
def test_a_bad_box_or_image_gives_nan_in_its_own_row(predict):
    model, image, box = toy()
    expected = np.array(predict(model, image, box))
    assert np.isfinite(expected).all()
    image, box, bad = spoilt()
    expected[bad] = np.nan
    got = predict(model, image, box)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(
        np.isnan(prediction.round_as_dlib(got)), np.isnan(expected)
    )


def test_predict_has_no_gradient():
    model, image, box = toy()
    box = jnp.asarray(box)

    @jax.jit
    @jax.value_and_grad
    def value_and_gradient(image):
        return jnp.sum(prediction.predict(model, image, box) ** 2) + 3.0 * jnp.sum(
            image
        )

    value, gradient = value_and_gradient(image)
    assert np.isfinite(value)
    # What is left is the other term's gradient alone.
    np.testing.assert_array_equal(gradient, np.full(gradient.shape, 3.0))


def plain_soft(model, grey, box, temperature):
    """The soft cascade of one face, step by step in float64."""
    rows, columns = (np.arange(side)[None] for side in grey.shape)
    corner, extent = np.float64(box[:2]), np.float64(box[2:] - box[:2])
    model = ShapeModel(*(x if x.dtype == np.int32 else np.float64(x) for x in model))
    centred = (model.initial - model.initial.mean(0)) @ [1, 1j]
    shape = model.initial
    for level in range(len(model.first)):
        turn = np.conj(centred) @ (shape @ [1, 1j]) / np.sum(np.abs(centred) ** 2)
        offset = turn * (model.offset[level] @ [1, 1j])
        place = shape[model.anchor[level]] + np.stack([offset.real, offset.imag], 1)
        x, y = (corner + extent * place).T[..., None]
        # Every pixel counts as a hat two pixels wide.
        across = np.maximum(0, 1 - np.abs(columns - x))
        down = np.maximum(0, 1 - np.abs(rows - y))
        value = np.einsum("fh,hw,fw->f", down, grey, across)
        difference = value[model.first[level]] - value[model.second[level]]
        left = 1 / (1 + np.exp((model.threshold[level] - difference) / temperature))
        reach = [np.ones(len(left))]
        for node, share in enumerate(left.T):
            reach += [reach[node] * share, reach[node] * (1 - share)]
        reached = np.stack(reach[left.shape[1] :], axis=1)
        shape = shape + np.einsum("tl,tlpc->pc", reached, model.leaves[level])
    return corner + extent * shape


def grey_of(image):
    return (np.float64(image).mean(axis=-1) + 1) * 127.5


@pytest.mark.parametrize("temperature", [2.0, 20.0])
def test_predict_soft_is_the_plain_soft_cascade(temperature):
    model, image, box = toy()
    predict = functools.partial(prediction.predict_soft, temperature=temperature)
    got = jax.jit(predict)(model, image, box)
    for row in range(GOOD):
        expected = plain_soft(model, grey_of(image[row]), box[row], temperature)
        np.testing.assert_allclose(got[row], expected, atol=5e-3)


@jax.jit
def soft_gradient(model, image, box, toward):
    """The gradient of sum((points - toward)^2) in the image."""
    return jax.grad(lambda x: jnp.sum((soft(model, x, box) - toward) ** 2))(image)


def test_the_gradient_of_predict_soft_is_the_slope():
    model, image, box = toy()
    rng = np.random.default_rng(0)
    toward = rng.uniform(0, 40, (ROWS, 5, 2)).astype(np.float32)
    gradients = np.float64(soft_gradient(model, image, box, toward))

    def loss(row, image):
        points = plain_soft(model, grey_of(image), box[row], 4.0)
        return np.sum((points - toward[row]) ** 2)

    for row in range(5):
        gradient = gradients[row]
        # Along the gradient, and where it is turned about by chance.
        for sign in (1, *rng.choice([-1, 1], (4, HEIGHT, WIDTH, 1))):
            direction = sign * gradient / np.linalg.norm(gradient)
            ahead, behind = (
                loss(row, image[row] + step * direction) for step in (1e-5, -1e-5)
            )
            slope, expected = (ahead - behind) / 2e-5, np.sum(gradient * direction)
            tolerance = 1e-3 * np.linalg.norm(gradient)
            np.testing.assert_allclose(slope, expected, rtol=0, atol=tolerance)


def test_bad_rows_have_no_gradient_and_spoil_no_other():
    model, image, box = toy()
    toward = np.full((ROWS, 5, 2), 20, np.float32)
    expected = np.array(soft_gradient(model, image, box, toward))
    assert np.isfinite(expected).all()
    assert np.abs(expected[:5]).max(axis=(1, 2, 3)).all()
    image, box, bad = spoilt()
    expected[bad] = 0
    # The loss itself is NaN in bad rows.
    got = soft_gradient(model, image, box, toward)
    np.testing.assert_array_equal(got, expected)


def test_predict_soft_becomes_predict_where_features_lie_on_pixels():
    # All is a multiple of 1/32 in a box of 32 pixels, and leaves move all points alike:
    # no reading lies between pixels, and nothing turns.
    rng = np.random.default_rng(0)
    model, _, _ = toy()
    moves = rng.integers(-2, 3, model.leaves[..., :1, :].shape).repeat(5, axis=-2)
    model = model._replace(
        initial=np.float32(np.round(32 * model.initial) / 32),
        offset=np.float32(np.round(32 * model.offset) / 32),
        threshold=np.float32(np.round(model.threshold) + 0.5),
        leaves=np.float32(moves / 32),
    )
    grey = rng.integers(0, 256, (ROWS, HEIGHT, WIDTH, 1), np.uint8)
    image = pixels.from_bytes(grey.repeat(3, axis=-1))
    box = np.tile(np.array([(12, 4, 44, 36)], np.int32), (ROWS, 1))
    exact = compiled(model, image, box)
    assert len(np.unique(exact, axis=0)) > ROWS / 2
    nearly = jax.jit(functools.partial(prediction.predict_soft, temperature=0.02))
    assert np.abs(compiled_soft(model, image, box) - exact).max() > 0.5
    assert np.abs(nearly(model, image, box) - exact).max() < 1e-3
