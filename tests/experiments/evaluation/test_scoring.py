"""Columns equal what dlib and NumPy say by hand, whatever the size of a block."""

import functools
import itertools

import numpy as np
import pytest

from experiments.evaluation import scoring
from inpaint_jax.errors import InputError
from inpaint_jax.images import framing
from inpaint_jax.io import files, picture_files
from inpaint_jax.landmarks import dlib_host, embedding
from inpaint_jax.landmarks.cascade import model_file
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel

pytest.importorskip("dlib")

PORTRAIT = files.ASSETS / "portrait.png"
CROP, SIZE = 128, 64
PIXELS = ("psnr", "psnr_hole", "ssim", "ssim_hole", "l1_hole", "seam")


score = functools.partial(scoring.score, block=4)


@pytest.fixture(scope="module")
def images():
    """Two faces, and noise without one."""
    face = framing.frame(picture_files.read(PORTRAIT), crop=CROP, size=SIZE)
    noise = np.random.default_rng(0).integers(0, 256, face.shape, np.uint8)
    return np.stack([face, face[:, ::-1], noise])


@pytest.fixture(scope="module")
def landmark_model(tmp_path_factory):
    """A model of 68 points that follows pixels somehow: the real one takes seconds."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 40, (2, 2, 20, 3), dtype=np.int32)
    model = ShapeModel(
        initial=rng.uniform(0.2, 0.8, (68, 2)).astype(np.float32),
        first=first,
        second=second,
        threshold=rng.normal(0, 30, (2, 20, 3)).astype(np.float32),
        leaves=rng.normal(0, 0.02, (2, 20, 4, 68, 2)).astype(np.float32),
        anchor=rng.integers(0, 68, (2, 40), dtype=np.int32),
        offset=rng.normal(0, 0.2, (2, 40, 2)).astype(np.float32),
    )
    path = tmp_path_factory.mktemp("model") / "toy.dat"
    path.write_bytes(model_file.serialise(model))
    return str(path)


@pytest.fixture(scope="module")
def truth(images, landmark_model):
    return scoring.truth(images, crop=CROP, landmark_model=landmark_model)


@pytest.fixture(scope="module")
def mask():
    known = np.ones((3, SIZE, SIZE, 1), np.float32)
    known[:, 20:44, 16:48] = 0
    return known


@pytest.fixture(scope="module")
def completed(images, mask):
    """One hole grey, one with the other face's pixels, one with other noise."""
    filling = np.stack([np.full_like(images[0], 128), images[0], images[2][::-1]])
    return np.where(mask > 0, images, filling)


@pytest.fixture(scope="module")
def columns(completed, truth, mask):
    return score(completed, truth, mask).columns


def test_each_column_has_a_number_a_face(columns):
    assert tuple(columns) == scoring.COLUMNS
    for values in columns.values():
        assert isinstance(values, np.ndarray) and values.shape == (3,)


def test_the_originals_themselves_are_faultless(images, truth, mask):
    columns = score(images, truth, mask).columns
    for name in ("psnr", "psnr_hole"):
        np.testing.assert_array_equal(columns[name], np.inf)
    for name in ("ssim", "ssim_hole", "sharpness"):
        np.testing.assert_allclose(columns[name], 1, atol=1e-6)
    np.testing.assert_allclose(columns["eye_detail"], [1, 1, np.nan], atol=1e-6)
    for name in ("l1_hole", "seam", "identity"):
        np.testing.assert_array_equal(columns[name], 0)
    for name in ("nme", "nme_independent"):
        np.testing.assert_array_equal(columns[name], [0, 0, np.nan])
    np.testing.assert_array_equal(columns["faces_found"], [1, 1, 0])


def test_pixel_columns_are_those_of_the_bytes(columns, completed, images, mask):
    error = (completed.astype(np.float64) - images) / 255
    hole = mask[..., 0] == 0
    inside = [e[h] for e, h in zip(error, hole, strict=True)]
    psnr = [-10 * np.log10(np.mean(e**2)) for e in error]
    np.testing.assert_allclose(columns["psnr"], psnr, rtol=1e-5)
    psnr = [-10 * np.log10(np.mean(e**2)) for e in inside]
    np.testing.assert_allclose(columns["psnr_hole"], psnr, rtol=1e-5)
    l1 = [np.mean(np.abs(e)) for e in inside]
    np.testing.assert_allclose(columns["l1_hole"], l1, rtol=1e-5)
    # The corners of this hole have two known neighbours, the rest of its rim one.
    rim = [np.r_[e[20], e[43], e[:, 16], e[:, 47]] for e in error * hole[..., None]]
    seam = [np.abs(r).sum() / (3 * 2 * (24 + 32)) for r in rim]
    np.testing.assert_allclose(columns["seam"], seam, rtol=1e-5)
    assert (columns["ssim_hole"] < columns["ssim"]).all()


@pytest.mark.parametrize(
    ("name", "model", "right", "left"),
    [
        ("nme", "landmarks68", slice(36, 42), slice(42, 48)),
        ("nme_independent", "landmarks5", slice(2, 4), slice(0, 2)),
    ],
)
def test_landmark_errors_are_those_in_the_box_of_the_original(
    columns, completed, images, truth, name, model, right, left
):
    for i in range(2):
        box = truth.detectors.faces.boxes(images[i])
        pair = np.stack([completed[i], images[i]])
        predictor = getattr(truth.detectors, model)
        found, true = predictor.predict(pair, np.repeat(box, 2, axis=0))[0]
        eyes = true[left].mean(axis=0) - true[right].mean(axis=0)
        expected = np.hypot(*(found - true).T).mean() / np.hypot(*eyes)
        assert expected > 0.01
        np.testing.assert_allclose(columns[name][i], expected, rtol=1e-5)


def test_identity_is_the_distance_of_embeddings(columns, completed, images):
    one, other = (embedding.embed(x, crop=CROP) for x in (completed, images))
    expected = np.linalg.norm(one - other, axis=1)
    np.testing.assert_allclose(columns["identity"], expected, rtol=1e-5)


def test_a_completion_that_is_no_face_is_counted(columns):
    np.testing.assert_array_equal(columns["faces_found"], [0, 1, 0])


def test_a_picture_without_a_face_has_its_pixel_columns_only(columns, truth):
    np.testing.assert_array_equal(truth.has_face, [True, True, False])
    np.testing.assert_array_equal(
        truth.boxes[2], framing.aligned_box(crop=CROP, size=SIZE)
    )
    for name in (*PIXELS, "identity"):
        assert np.isfinite(columns[name]).all()
    for name in ("nme", "nme_independent", "eye_detail"):
        np.testing.assert_array_equal(np.isnan(columns[name]), [False, False, True])


def test_of_several_faces_none_gives_the_box(images, landmark_model, monkeypatch):
    two = np.array([[1, 2, 30, 31], [20, 21, 50, 51]], np.int32)
    monkeypatch.setattr(dlib_host.Detector, "boxes", lambda self, image: two)
    found = scoring.truth(images[:1], crop=CROP, landmark_model=landmark_model)
    np.testing.assert_array_equal(
        found.boxes, [framing.aligned_box(crop=CROP, size=SIZE)]
    )
    assert found.has_face.all() and np.isfinite(found.landmarks5).all()


def test_blocks_of_any_size_give_the_same_with_one_program(
    columns, completed, truth, mask, monkeypatch
):
    traced, seam = [], scoring.metrics.seam
    monkeypatch.setattr(
        scoring.metrics, "seam", lambda *x: traced.append(1) or seam(*x)
    )
    in_twos = scoring.score(completed, truth, mask, block=2).columns
    for name, expected in columns.items():
        np.testing.assert_allclose(in_twos[name], expected, rtol=1e-5)
    one = truth._replace(
        **{
            field: getattr(truth, field)[1:2]
            for field in truth._fields
            if field not in ("crop", "detectors")
        }
    )
    alone = scoring.score(completed[1:2], one, mask[1:2], block=2).columns
    for name in scoring.COLUMNS:
        np.testing.assert_array_equal(alone[name], in_twos[name][1:2])
    assert len(traced) == 1


def test_another_number_of_completions_or_masks_is_refused(completed, truth, mask):
    with pytest.raises(ValueError, match=r"completed is \(2, 64, 64, 3\)"):
        score(completed[:2], truth, mask[:2])
    with pytest.raises(ValueError, match=r"mask is \(1, 64, 64, 1\)"):
        score(completed, truth, mask[:1])


def test_without_dlib(images, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(dlib_host.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"dlib .*\.\[landmarks\]"):
        scoring.truth(images, crop=CROP)


def ranks(values):
    """How many are smaller, and half of those that are equal."""
    return [np.sum(values < v) + np.sum(values == v) / 2 for v in values]


def test_agreement_is_what_ranks_and_pairs_say():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 8, 30).astype(np.float32)  # with ties
    y = (x + rng.integers(0, 8, 30)).astype(np.float32)
    x[3], y[5] = np.nan, np.nan
    known = np.setdiff1d(np.arange(30), [3, 5])
    found = scoring.agreement(x, y)
    assert found["faces"] == 28
    expected = np.corrcoef(ranks(x[known]), ranks(y[known]))[0, 1]
    np.testing.assert_allclose(found["spearman"], expected, rtol=1e-6)
    pairs = [
        (x[i] < x[j]) == (y[i] < y[j])
        for i, j in itertools.combinations(known, 2)
        if x[i] != x[j] and y[i] != y[j]
    ]
    np.testing.assert_allclose(found["same_order"], np.mean(pairs), rtol=1e-6)


@pytest.mark.parametrize("values", [[], [0.1], [0.2, 0.2], [np.nan, 0.1]])
def test_nothing_to_compare_has_no_agreement(values):
    found = scoring.agreement(np.array(values), np.array(values))
    assert np.isnan(found["spearman"]) and np.isnan(found["same_order"])
