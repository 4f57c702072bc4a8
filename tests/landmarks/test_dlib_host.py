"""The library's dlib equals dlib called by hand, also from inside compiled programs."""

import hashlib
import os
import pathlib
import subprocess
import sys

import dlib
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import inpaint_jax
from inpaint_jax.errors import InputError
from inpaint_jax.images import framing, pixels
from inpaint_jax.io import data, files, picture_files
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.landmarks.cascade import model_file

SIDE = 64
BOX = (9, 23, 54, 68)
PORTRAIT = files.ASSETS / "portrait.png"


def faces(count, seed=0):
    """Blurred noise: dlib places points in anything."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 8, 8, 3))
    fine = coarse.repeat(SIDE // 8, axis=1).repeat(SIDE // 8, axis=2)
    return (fine + rng.uniform(-20, 20, fine.shape)).clip(0, 255).astype(np.uint8)


def boxes(count, seed=0):
    corners = np.random.default_rng(seed).integers(-4, 12, (count, 4))
    return (np.array(BOX) + corners).astype(np.int32)


@pytest.fixture(scope="session")
def predictor(toy_model):
    return dlib_host.Predictor(str(toy_model))


@pytest.fixture(scope="module")
def detector():
    return dlib_host.Detector()


def by_hand(toy_model, images, corners, points=68):
    model = dlib.shape_predictor(str(toy_model))
    places = []
    for image, corner in zip(images, corners, strict=True):
        shape = model(image, dlib.rectangle(*corner.tolist()))
        places.append([(shape.part(i).x, shape.part(i).y) for i in range(points)])
    return np.array(places)


def test_predictor_equals_dlib(toy_model, predictor):
    images, corners = faces(6), boxes(6)
    points, status = predictor.predict(images, corners)
    expected = by_hand(toy_model, images, corners)
    assert len({tuple(face.ravel()) for face in expected}) == 6
    np.testing.assert_array_equal(points, expected)
    np.testing.assert_array_equal(status, np.zeros(6))
    assert points.dtype == np.float32 and status.dtype == np.int32


def test_predictor_takes_views(toy_model, predictor):
    images, corners = faces(3), boxes(3)
    flipped = images[:, :, ::-1]
    points, _ = predictor.predict(flipped, corners)
    expected = by_hand(toy_model, np.ascontiguousarray(flipped), corners)
    np.testing.assert_array_equal(points, expected)


def test_predictor_of_no_images(predictor):
    points, status = predictor.predict(faces(0), boxes(0))
    assert points.shape == (0, 68, 2) and status.shape == (0,)


@pytest.mark.parametrize("error", [RuntimeError, ValueError])
def test_a_failure_is_a_status_and_nan_in_its_own_row(
    toy_model, predictor, monkeypatch, error
):
    images, corners = faces(3), boxes(3)
    whole, _ = predictor.predict(images, corners)
    model = dlib.shape_predictor(str(toy_model))

    def fails_once(image, rectangle):
        if np.array_equal(image, images[1]):
            raise error("Unsupported image type")
        return model(image, rectangle)

    monkeypatch.setattr(dlib, "shape_predictor", lambda path: fails_once)
    failing = dlib_host.Predictor(str(toy_model))
    points, status = failing.predict(images, corners)
    np.testing.assert_array_equal(status, [0, 1, 0])
    assert np.isnan(points[1]).all()
    np.testing.assert_array_equal(points[::2], whole[::2])
    call = jax.jit(lambda x, b: dlib_host.predict_in_graph(failing, x, b))
    got = call(pixels.from_bytes(images), jnp.asarray(corners))
    np.testing.assert_array_equal(got[0], points)
    np.testing.assert_array_equal(got[1], status)


def test_predictor_says_which_file_it_read(toy_model, predictor):
    assert predictor.path == str(toy_model)
    digest = hashlib.sha256(toy_model.read_bytes()).hexdigest()
    assert predictor.sha256 == digest


def test_a_missing_model_is_an_input_error(tmp_path):
    missing = str(tmp_path / "none.dat")
    with pytest.raises(InputError, match=r"none\.dat: no such file"):
        dlib_host.Predictor(missing)
    with pytest.raises(InputError, match="give a dlib shape"):
        dlib_host.Predictor(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"\x89PNG and more", b"a" * 5000, "cut"])
def test_a_file_that_is_no_model_is_an_input_error(content, toy_model, tmp_path):
    if content == "cut":
        content = toy_model.read_bytes()[:4000]
    file = tmp_path / "bad.dat"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"/bad\.dat: byte \d+: "):
        dlib_host.Predictor(str(file))


def test_dlib_gets_no_file_that_was_not_accepted(toy_model, tmp_path, monkeypatch):
    # dlib would load this file, and crash at the first picture.
    model = model_file.parse(toy_model.read_bytes())
    model.first[1, 2, 3] = 1_000_000
    file = tmp_path / "beyond.dat"
    file.write_bytes(model_file.serialise(model))
    monkeypatch.setattr(dlib, "shape_predictor", lambda path: pytest.fail("loaded"))
    with pytest.raises(InputError, match=r"beyond\.dat: byte \d+: 1000000 is out of"):
        dlib_host.Predictor(str(file))


def test_a_model_of_five_points_is_an_input_error(train_toy):
    file = train_toy(5, 2, 2, 5)
    with pytest.raises(InputError, match=r"\.dat: has 5 .* 68"):
        dlib_host.Predictor(str(file))


def test_a_predictor_of_five_points_equals_dlib_and_runs_in_a_graph(train_toy):
    file = train_toy(5, 2, 2, 5)
    predictor = dlib_host.Predictor(str(file), points=5)
    images, corners = faces(2), boxes(2)
    points, _ = predictor.predict(images, corners)
    np.testing.assert_array_equal(points, by_hand(file, images, corners, points=5))
    got, status = jax.jit(lambda x, b: dlib_host.predict_in_graph(predictor, x, b))(
        pixels.from_bytes(images), jnp.asarray(corners)
    )
    np.testing.assert_array_equal(got, points)
    np.testing.assert_array_equal(status, [0, 0])


def test_a_model_of_68_points_is_no_model_of_five(toy_model):
    with pytest.raises(InputError, match=r"has 68 points; give a model of 5\."):
        dlib_host.Predictor(str(toy_model), points=5)


@pytest.mark.parametrize("points", [68, 5])
def test_without_the_package_there_is_no_model(monkeypatch, points):
    monkeypatch.setitem(sys.modules, "face_recognition_models", None)
    with pytest.raises(InputError, match=f"no landmark model of {points} points; run"):
        dlib_host.find_model(None, points=points)


def test_predictor_holds_the_model_that_it_read(toy_model, predictor):
    expected = model_file.parse(toy_model.read_bytes())
    for found, values in zip(predictor.model, expected, strict=True):
        np.testing.assert_array_equal(found, values)


def test_in_graph_equals_predict_under_jit_and_vmap(predictor):
    images, corners = faces(6), boxes(6)
    points, status = predictor.predict(images, corners)
    image, box = pixels.from_bytes(images), jnp.asarray(corners)

    def call(image, box):
        return dlib_host.predict_in_graph(predictor, image, box)

    got = jax.jit(call)(image, box)
    np.testing.assert_array_equal(got[0], points)
    np.testing.assert_array_equal(got[1], status)
    assert got[0].dtype == jnp.float32 and got[1].dtype == jnp.int32
    mapped = jax.jit(jax.vmap(call))(image, box)
    np.testing.assert_array_equal(mapped[0], points)
    nested = jax.jit(jax.vmap(jax.vmap(call)))(
        image.reshape(2, 3, SIDE, SIDE, 3), box.reshape(2, 3, 4)
    )
    np.testing.assert_array_equal(nested[0], points.reshape(2, 3, 68, 2))
    np.testing.assert_array_equal(nested[1], status.reshape(2, 3))
    one_box = jax.jit(jax.vmap(call, in_axes=(0, None)))(image, box[0])
    same = np.broadcast_to(corners[:1], corners.shape)
    np.testing.assert_array_equal(one_box[0], predictor.predict(images, same)[0])


def test_in_graph_rounds_to_the_nearest_byte(predictor, monkeypatch):
    # Up to 0.45 of a level beside each byte, and some pixels beyond the ends.
    expected = faces(4)
    rng = np.random.default_rng(4)
    image = (expected + rng.uniform(-0.45, 0.45, expected.shape)) / 127.5 - 1
    image[:, :4], image[:, 4:8] = -1.3, 1.3
    expected[:, :4], expected[:, 4:8] = 0, 255
    points, _ = predictor.predict(expected, boxes(4))
    seen = []
    predict = predictor.predict

    def recorded(images, corners):
        seen.append(np.array(images))
        return predict(images, corners)

    monkeypatch.setattr(predictor, "predict", recorded)
    got, _ = jax.jit(lambda x, b: dlib_host.predict_in_graph(predictor, x, b))(
        jnp.asarray(image, jnp.float32), jnp.asarray(boxes(4))
    )
    np.testing.assert_array_equal(got, points)
    np.testing.assert_array_equal(seen[0], expected)
    assert seen[0].dtype == np.uint8


def test_in_graph_has_no_gradient(predictor):
    image, box = pixels.from_bytes(faces(2)), jnp.asarray(boxes(2))

    @jax.jit
    @jax.value_and_grad
    def value_and_gradient(image):
        points, _ = dlib_host.predict_in_graph(predictor, image, box)
        return jnp.sum(points**2) + 3.0 * jnp.sum(image)

    value, gradient = value_and_gradient(image)
    assert np.isfinite(value)
    # What is left is the other term's gradient alone.
    np.testing.assert_array_equal(gradient, np.full(image.shape, 3.0))
    # Forward mode too: pushed along any direction, the points stay.
    points, tangent = jax.jvp(
        lambda x: dlib_host.predict_in_graph(predictor, x, box)[0],
        (image,),
        (jnp.ones_like(image),),
    )
    np.testing.assert_array_equal(points, predictor.predict(faces(2), boxes(2))[0])
    np.testing.assert_array_equal(tangent, np.zeros((2, 68, 2)))


IN_GRAPH = """
import faulthandler, os, sys
faulthandler.dump_traceback_later(55, exit=True)
if sys.argv[2] == "allow":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax
import jax.numpy as jnp
import numpy as np
from inpaint_jax import runtime
from inpaint_jax.landmarks import dlib_host

if sys.argv[2] == "allow":
    runtime.allow_callbacks()
predictor = dlib_host.Predictor(sys.argv[1])
image = jax.random.uniform(jax.random.key(0), (16, 64, 64, 3), minval=-1.0)
box = jnp.tile(jnp.array([[9, 23, 54, 68]]), (16, 1))
call = jax.jit(lambda x: dlib_host.predict_in_graph(predictor, jnp.tanh(3.0 * x), box))
for _ in range(20):
    points, status = call(image)
    image = image + 1e-3 * jnp.mean(points)
print("ended", int(np.sum(status)), points.shape)
"""


def in_another_process(toy_model, how):
    root = pathlib.Path(inpaint_jax.__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-c", IN_GRAPH, str(toy_model), how],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=root,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="needs control over its cores"
)
def test_callbacks_do_not_hang_on_one_core(toy_model):
    result = in_another_process(toy_model, "allow")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "ended 0 (16, 68, 2)"


def test_callbacks_without_being_allowed_are_refused(toy_model):
    result = in_another_process(toy_model, "nothing")
    assert result.returncode != 0
    assert "RuntimeError: call inpaint_jax.runtime.allow_callbacks()" in result.stderr


def test_aligned_box_scales_with_the_picture():
    assert framing.aligned_box(crop=128, size=64) == BOX
    assert framing.aligned_box(crop=128, size=128) == (18, 46, 108, 136)
    # A crop of half the side shows the face twice as large around the same centre.
    assert framing.aligned_box(crop=64, size=64) == (-14, 14, 76, 104)


def test_face_box_of_a_face_and_of_noise(detector):
    portrait = framing.frame(picture_files.read(PORTRAIT), crop=128, size=SIDE)
    found = detector.boxes(portrait)
    assert found.shape == (1, 4)
    assert np.abs(found[0] - np.array(BOX)).max() <= 3
    box, origin = dlib_host.face_box(detector, portrait, crop=128)
    assert origin == "detected"
    np.testing.assert_array_equal(box, found[0])
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    assert detector.boxes(noise).shape == (0, 4)
    box, origin = dlib_host.face_box(detector, noise, crop=128)
    assert origin == "aligned"
    np.testing.assert_array_equal(box, BOX)


def test_two_faces_are_no_single_face(detector):
    portrait = framing.frame(picture_files.read(PORTRAIT), crop=128, size=SIDE)
    two = np.concatenate([portrait, portrait], axis=1)
    found = detector.boxes(two)
    assert found.shape == (2, 4)
    # The same face twice, one picture's width apart.
    left, right = found[np.argsort(found[:, 0])]
    np.testing.assert_allclose(right - left, [SIDE, 0, SIDE, 0], atol=2)
    assert dlib_host.face_box(detector, two, crop=128)[1] == "aligned"


@pytest.mark.faces
def test_real_faces_lie_in_the_aligned_box(detector, faces_folder):
    pictures = data.load(f"folder:{faces_folder}[:20]", crop=128, size=SIDE)
    assert len(pictures.images) == 20
    results = [
        dlib_host.face_box(detector, image, crop=128) for image in pictures.images
    ]
    found = np.array([box for box, origin in results if origin == "detected"])
    assert len(found) >= 0.7 * 20
    off = np.abs(found - np.array(framing.aligned_box(crop=128, size=SIDE)))
    assert np.median(off.max(axis=1)) <= 6
