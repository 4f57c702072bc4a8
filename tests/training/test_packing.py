"""Faces packed into one archive: small, in order, the same bytes each time."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from inpaint_jax.errors import InputError, OutputError
from inpaint_jax.io import data
from inpaint_jax.training import packing
from tests.drawn import noise


def smooth(count, *, size=32):
    """Pictures with little detail, no two alike."""
    coarse = noise(count, 6, 6, 3)
    scaled = [Image.fromarray(one).resize((size, size)) for one in coarse]
    return np.stack([np.asarray(one) for one in scaled])


def webp(image, quality):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=quality, method=6)
    return buffer.getvalue()


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.comment), {
            name: np.asarray(Image.open(io.BytesIO(archive.read(name))))
            for name in archive.namelist()
        }


def test_packed_faces_come_back_in_order_and_unscaled(tmp_path):
    images = smooth(12)
    path = tmp_path / "faces.zip"
    packed = packing.pack(path, images, bytes_per_face=700)
    about, members = contents(path)
    assert list(members) == [f"{i:02d}.webp" for i in range(12)]
    faces = data.load(f"zip:{path}", crop=128, size=32)
    np.testing.assert_array_equal(faces.images, list(members.values()))
    assert faces.names == tuple(members) and not faces.skipped
    error = ((faces.images.astype(float) - images) ** 2).mean(axis=(1, 2, 3))
    expected = 10 * np.log10(255**2 / error)
    np.testing.assert_allclose(packed.psnr, expected, rtol=1e-4)
    assert expected.min() > 25
    quality = packed.quality
    assert about == {"faces": 12, "size": 32, "format": "WebP", "quality": quality}
    assert packed.faces == 12 and packed.bytes_per_face == path.stat().st_size / 12
    line = str(packed)
    assert f"quality {quality}" in line and f"{np.median(expected):.1f} dB" in line


@pytest.mark.parametrize("bytes_per_face", [350, 500, 650])
def test_the_quality_is_the_highest_that_fits(tmp_path, bytes_per_face):
    images = smooth(9)
    path = tmp_path / "faces.zip"
    packed = packing.pack(path, images, bytes_per_face=bytes_per_face)
    assert path.stat().st_size <= 9 * bytes_per_face
    assert 0 < packed.quality < packing.MAX_QUALITY
    # What a zip takes beside its members: two headers with the name "0.webp" for each,
    # and the end with its comment.
    beside = 9 * (30 + 46 + 2 * 6) + 22 + len('{"faces": 9, "size": 32, ') + 33
    at = [
        sum(len(webp(image, packed.quality + more)) for image in images) + beside
        for more in (0, 1)
    ]
    assert at[0] == pytest.approx(path.stat().st_size, abs=2)
    assert at[1] > 9 * bytes_per_face


def test_a_sample_that_flatters_the_rest_does_not_break_the_limit(tmp_path):
    images = smooth(8)
    images[::2] = 128
    path = tmp_path / "faces.zip"
    sampled = packing.pack(path, images[::2], bytes_per_face=300)
    whole = packing.pack(path, images, bytes_per_face=300, sample=4)
    assert whole.quality < sampled.quality
    assert path.stat().st_size <= 8 * 300


def test_simple_pictures_have_the_best_quality(tmp_path):
    images = np.full((3, 16, 16, 3), 128, np.uint8)
    packed = packing.pack(tmp_path / "faces.zip", images)
    assert packed.quality == packing.MAX_QUALITY == 95


def test_the_same_faces_make_the_same_bytes(tmp_path, monkeypatch):
    images = smooth(11)
    np.save(tmp_path / "faces.npy", images)
    written = []
    for i, given_images in enumerate(
        (images, np.load(tmp_path / "faces.npy", mmap_mode="r"))
    ):
        monkeypatch.setattr("time.time", lambda i=i: 1.6e9 + 1e6 * i)
        packing.pack(tmp_path / f"{i}.zip", given_images, bytes_per_face=600)
        written.append((tmp_path / f"{i}.zip").read_bytes())
    assert written[0] == written[1]


def test_what_does_not_fit_is_refused_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "faces.zip"
    path.write_bytes(b"old")
    with pytest.raises(InputError, match=r"faces.zip: .* lowest quality, above 300"):
        packing.pack(path, noise(3, 64, 64, 3), bytes_per_face=300)
    assert path.read_bytes() == b"old"
    with pytest.raises(OutputError, match="cannot write here"):
        packing.pack(tmp_path / "missing" / "faces.zip", smooth(2))
    assert [p.name for p in tmp_path.iterdir()] == ["faces.zip"]


@pytest.mark.parametrize("count", [1, 10, 11, 101])
def test_any_number_of_faces_keeps_its_order(tmp_path, count):
    # Grey levels 0, 30, 60 ... and pairs of them tell the faces apart.
    levels = np.stack(np.divmod(np.arange(count), 8), axis=-1).astype(np.uint8) * 30
    images = np.zeros((count, 16, 16, 3), np.uint8)
    images[:, :8] = levels[:, :1, None, None]
    images[:, 8:] = levels[:, 1:, None, None]
    packing.pack(tmp_path / "faces.zip", images)
    faces = data.load(f"zip:{tmp_path}/faces.zip", crop=128, size=16)
    assert len(faces.images) == count
    found = faces.images[:, [0, -1], 0, 0]
    np.testing.assert_allclose(found, levels, atol=12)
