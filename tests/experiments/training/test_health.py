"""A generator's health: the figures, the bounds, and what may be seen on the page."""

import json
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.common import reporting
from experiments.training import health, health_page, health_scores, reconstruction
from inpaint_jax.errors import InputError
from inpaint_jax.images import framing, pixels
from inpaint_jax.io import data, files, picture_files
from tests import drawn
from tests.experiments import launcher

pytestmark = pytest.mark.usefixtures("optimised")

SIDE = 16
PORTRAIT = files.ASSETS / "portrait.png"
MAGENTA = np.array([255, 0, 255], np.uint8)  # of all faces that are real
FEW = health_scores.Counts(2, 2)


def faces(count, seed=0):
    images = np.random.default_rng(seed).integers(0, 120, (count, SIDE, SIDE, 3))
    images = images.astype(np.uint8)
    images[:, :4] = MAGENTA
    return data.Faces(images, tuple(map(str, range(count))), ())


def model():
    """A generator that paints z, and a discriminator that likes magenta."""

    def generate(z):
        image = jnp.broadcast_to(z[:, None, :, None], (len(z), SIDE, SIDE, 3))
        return image * jnp.linspace(0.1, 1.0, SIDE)[None, :, None, None]

    return types.SimpleNamespace(
        architecture=types.SimpleNamespace(z_dim=SIDE),
        crop=128,
        source={"path": "toy", "step": 7},
        generate=generate,
        discriminate=lambda x: x[:, 0, 0, 0] - x[:, 0, 0, 1] - 1.5,
    )


@pytest.fixture(scope="module")
def checked(tmp_path_factory, optimised):
    run_dir = tmp_path_factory.mktemp("health")
    log = run_dir / "metrics.jsonl"
    lines = [
        {"step": s, "generator_loss": 1 / s, "real_accuracy": None} for s in (1, 2, 3)
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    pairs = np.zeros((1, 2, SIDE, SIDE, 3), np.uint8)
    psnr, nme = ({"value": x, "low": x, "high": x} for x in (20.0, 0.04))
    found = health.check(
        jax.random.key(0),
        model(),
        faces(4),
        faces(6, seed=1),
        run_dir=run_dir,
        log=log,
        reconstruction={"psnr": psnr, "nme": nme, "pairs": pairs},
        least=FEW,
    )
    return run_dir, found


def magenta_share(path):
    return np.mean(np.all(np.asarray(Image.open(path)) == MAGENTA, axis=-1))


def test_the_report_holds_what_was_returned(checked):
    run_dir, found = checked
    assert json.loads((run_dir / "health.json").read_text()) == found
    assert found["counts"]["samples"] == found["counts"]["reference"] == 6
    assert found["counts"]["real"] == 4
    assert {n: x["value"] for n, x in found["reconstruction"].items()} == {
        "psnr": 20.0,
        "nme": 0.04,
    }
    assert found["model"] == {"path": "toy", "step": 7}
    assert found["frechet_face"] > found["frechet_face_floor"] > 0


def test_the_discriminator_is_right_about_both(checked):
    right = checked[1]["discriminator"]
    assert [right[f"accuracy_{of}"]["value"] for of in ("real", "samples")] == [1, 1]


def test_a_generator_that_draws_no_faces_is_not_fit(checked):
    found = checked[1]
    assert found["face_fraction"]["value"] == 0.0 and not found["fit"]
    assert found["verdict"][0].startswith("FAILED: exactly one face in 0.0%")


def test_real_faces_are_beside_the_page_and_never_on_it(checked):
    run_dir, _ = checked
    assert magenta_share(run_dir / "health.png") == 0.0
    assert magenta_share(run_dir / "neighbours.png") > 0.05


def test_every_figure_of_the_verdict_has_an_interval_around_it(checked):
    found = checked[1]
    figures = [
        *(found[f"{name}_ratio"] for name in ("frechet", "diversity")),
        *(
            found["face_fraction"],
            found["face_fraction_real"],
            found["nearest"]["ratio"],
        ),
        *found["discriminator"].values(),
    ]
    for figure in figures:
        assert figure["low"] <= figure["value"] <= figure["high"]
        assert figure["low"] < figure["high"]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("one", "all samples are one picture"),
        ("nearly one", "all samples are one picture"),
        ("two", "all samples are like those of [23] pictures"),  # 5 samples, 10 pairs
    ],
)
def test_nothing_is_passed_by_a_generator_that_draws_a_picture_or_two(
    kind, why, tmp_path
):
    portrait = framing.frame(picture_files.read(PORTRAIT), crop=128, size=64)
    picture = pixels.from_bytes(jnp.asarray(portrait))[None]

    def generate(z):
        first = z[:, 0, None, None, None]
        other = {
            "one": 0 * first,
            "nearly one": 0.02 * first,
            "two": (first > 0).astype(z.dtype),
        }[kind]
        return picture * (1.0 - other) + jnp.flip(picture, axis=2) * other

    collapsed = model()
    collapsed.generate = generate
    found = health.check(
        jax.random.key(0),
        collapsed,
        *(data.Faces(drawn.noise(n, 64, 64, 3, seed=n), (), ()) for n in (4, 5)),
        run_dir=tmp_path,
        least=FEW,
    )
    assert not found["fit"]
    assert not [line for line in found["verdict"] if line.startswith("passed")]
    words = f"not judged: {why}: exactly one face in 100"
    assert re.match(words, found["verdict"][0])


def test_reference_is_spread_over_the_training_faces():
    held_out, known = faces(5), faces(10, seed=1)
    most = health_scores.Counts(3, 4)
    real, reference = health.choose(held_out, known, least=FEW, most=most)
    np.testing.assert_array_equal(real, held_out.images[2:])
    np.testing.assert_array_equal(reference, known.images[[0, 3, 6, 9]])


def test_without_training_faces_real_and_reference_do_not_overlap():
    held_out = faces(7)
    real, reference = health.choose(held_out, None, least=FEW)
    np.testing.assert_array_equal(real, held_out.images[4:])
    np.testing.assert_array_equal(reference, held_out.images[:4])


def test_without_training_faces_the_reference_is_not_left_with_too_few():
    for count, expected in ((12, 2), (13, 3), (40, 20)):
        real, reference = health.choose(
            faces(count), None, least=health_scores.Counts(2, 10)
        )
        assert (len(real), len(reference)) == (expected, count - expected)


@pytest.mark.parametrize(("count", "known"), [(3, None), (1, 9), (9, 1)])
def test_too_few_faces_are_refused(count, known):
    with pytest.raises(InputError, match=rf"{count} pictures"):
        health.choose(faces(count), None if known is None else faces(known), least=FEW)


@pytest.mark.parametrize(
    ("count", "known", "enough"),
    [
        (1199, None, False),
        (1200, None, True),
        (199, 1000, False),
        (200, 999, False),
        (200, 1000, True),
    ],
)
def test_hundreds_of_faces_are_needed(count, known, enough):
    given = [
        data.Faces(np.zeros((n, 2, 2, 3), np.uint8), (), ()) if n else None
        for n in (count, known)
    ]
    if enough:
        real, reference = health.choose(*given)
        assert len(real) >= 200 and len(reference) >= 1000
    else:
        with pytest.raises(
            InputError, match=rf"{count} pictures and --train_data: {known or 0} .*1200"
        ):
            health.choose(*given)


@pytest.mark.parametrize("sentence", ["FAILED: a.", "not judged: a: b.", "passed, but"])
def test_what_is_not_plainly_passed_stands_out_on_the_page(sentence):
    assert health_page._colour(sentence) not in (reporting.INK, health_page._PASSED)
    assert health_page._colour("passed: a (1 to 2).") == reporting.INK


def test_a_path_between_two_samples_is_straight():
    path = health._paths(jax.random.key(0), 5).reshape(4, 8, 5)
    np.testing.assert_allclose(np.diff(path, 2, axis=1), 0.0, atol=1e-6)
    assert np.abs(path).max() <= 1.0 and np.ptp(path, axis=1).min(axis=1).all()


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "noise.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8))
    return path


def test_the_application_prints_the_verdict(noise, tmp_path, launched):
    done = launched(
        *("tests.experiments.check_few", "--check=release"),
        *(f"--data=array:{noise}", f"--train_data=array:{noise}[:3]"),
        *(
            "--reconstruct=1",
            "--reconstruct_iterations=40",
            f"--run_dir={tmp_path / 'health'}",
        ),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "health" / "health.json").read_text())
    lines = launcher.told(done.stdout)
    assert lines[-8:] == [*found["verdict"], "not fit for searching"]
    assert len(found["verdict"]) == 7
    redrawn = found["reconstruction"]
    assert redrawn["faces"] == 1 and 5 < redrawn["psnr"]["value"] < 30


def test_the_application_refuses_to_judge_by_four_pictures(noise, tmp_path, launched):
    done = launched(
        *("experiments.train", "--check=release", f"--data=array:{noise}"),
        f"--run_dir={tmp_path / 'health'}",
    )
    assert done.returncode == 2 and "fit" not in "".join(launcher.told(done.stdout))
    assert "--data: 4 pictures" in done.stderr and "1200" in done.stderr
    assert "Traceback" not in done.stderr


def test_few_faces_are_not_redrawn():
    images = np.zeros((19, 64, 64, 3), np.uint8)
    with pytest.raises(InputError, match=r"--reconstruct=19: too few.*at least 20"):
        reconstruction.score(jax.random.key(0), model(), images)


def test_files_of_another_origin_are_not_replaced(launched, tmp_path):
    (tmp_path / "health.json").write_text("mine")
    done = launched(
        *("experiments.train", "--check=release", "--data=array:none.npy"),
        f"--run_dir={tmp_path}",
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "no results of" in done.stderr and "as health.json;" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["health.json"]
