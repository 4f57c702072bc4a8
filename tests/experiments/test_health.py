"""A generator's health: the figures, the bounds, and what may be seen on the page."""

import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import curves, health
from inpaint_jax import data
from inpaint_jax.errors import InputError

SIDE = 16
MAGENTA = np.array([255, 0, 255], np.uint8)  # of all faces that are real
GOOD = {
    "face_share": 0.9,
    "face_share_real": 0.95,
    "frechet_face": 0.06,
    "frechet_face_floor": 0.02,
    "diversity": 0.6,
    "diversity_real": 0.65,
    "nearest": {"samples_mean": 0.2, "real_mean": 0.22},
    "reconstruction": {"psnr": 22.1, "nme": 0.04},
}


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
def checked(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("health")
    log = run_dir / "metrics.jsonl"
    lines = [
        {"step": s, "generator_loss": 1 / s, "real_share": None} for s in (1, 2, 3)
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    pairs = np.zeros((1, 2, SIDE, SIDE, 3), np.uint8)
    found = health.check(
        jax.random.key(0),
        model(),
        faces(4),
        faces(6, seed=1),
        run_dir=run_dir,
        log=log,
        reconstruction={"psnr": 20.0, "nme": 0.04, "pairs": pairs},
    )
    return run_dir, found


def magenta_share(path):
    return np.mean(np.all(np.asarray(Image.open(path)) == MAGENTA, axis=-1))


def test_the_report_holds_what_was_returned(checked):
    run_dir, found = checked
    assert json.loads((run_dir / "health.json").read_text()) == found
    assert found["counts"]["samples"] == found["counts"]["reference"] == 6
    assert found["counts"]["real"] == 4
    assert found["reconstruction"] == {"psnr": 20.0, "nme": 0.04}
    assert found["model"] == {"path": "toy", "step": 7}
    assert found["frechet_face"] > found["frechet_face_floor"] > 0


def test_the_discriminator_is_right_about_both(checked):
    expected = {"accuracy_real": 1.0, "accuracy_samples": 1.0}
    assert checked[1]["discriminator"] == expected


def test_a_generator_that_draws_no_faces_is_not_fit(checked):
    found = checked[1]
    assert found["face_share"] == 0.0 and not found["fit"]
    assert found["verdict"][0].startswith("FAILED: exactly one face in 0.0%")


def test_real_faces_are_beside_the_page_and_never_on_it(checked):
    run_dir, _ = checked
    assert magenta_share(run_dir / "health.png") == 0.0
    assert magenta_share(run_dir / "neighbours.png") > 0.05


def test_all_rules_are_kept():
    verdict, fit = health.judge(GOOD, trained_on_reference=True)
    assert fit and len(verdict) == 5
    assert all(sentence.startswith("passed: ") for sentence in verdict)


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        ({"face_share": 0.849}, 0),
        ({"frechet_face": 0.0801}, 1),
        ({"frechet_face": float("nan")}, 1),
        ({"diversity": 0.55}, 2),
        ({"nearest": {"samples_mean": 0.175, "real_mean": 0.22}}, 3),
        ({"reconstruction": {"psnr": 21.9, "nme": 0.04}}, 4),
        ({"reconstruction": {"psnr": 22.1, "nme": 0.051}}, 4),
    ],
)
def test_one_broken_rule_is_enough(broken, rule):
    verdict, fit = health.judge({**GOOD, **broken}, trained_on_reference=True)
    failed = [sentence.startswith("FAILED") for sentence in verdict]
    assert not fit and failed == [i == rule for i in range(5)]


def test_memorisation_is_judged_by_the_training_faces_only():
    near = {**GOOD, "nearest": {"samples_mean": 0.01, "real_mean": 0.22}}
    verdict, fit = health.judge(near, trained_on_reference=False)
    assert fit and "--train_data" in verdict[-1]


def test_reference_is_spread_over_the_training_faces(monkeypatch):
    monkeypatch.setattr(health, "_REAL", 3)
    monkeypatch.setattr(health, "_REFERENCE", 4)
    held_out, known = faces(5), faces(10, seed=1)
    real, reference = health.choose(held_out, known)
    np.testing.assert_array_equal(real, held_out.images[2:])
    np.testing.assert_array_equal(reference, known.images[[0, 3, 6, 9]])


def test_without_training_faces_real_and_reference_do_not_overlap():
    held_out = faces(7)
    real, reference = health.choose(held_out, None)
    np.testing.assert_array_equal(real, held_out.images[4:])
    np.testing.assert_array_equal(reference, held_out.images[:4])


@pytest.mark.parametrize(("count", "known"), [(3, None), (1, 9), (9, 1)])
def test_too_few_faces_are_refused(count, known):
    with pytest.raises(InputError, match=rf"{count} pictures"):
        health.choose(faces(count), None if known is None else faces(known))


def test_a_path_between_two_samples_is_straight():
    path = health._paths(jax.random.key(0), 5).reshape(4, 8, 5)
    np.testing.assert_allclose(np.diff(path, 2, axis=1), 0.0, atol=1e-6)
    assert np.abs(path).max() <= 1.0 and np.ptp(path, axis=1).min(axis=1).all()


def test_a_rising_curve_rises_on_the_chart():
    chart = curves.chart({"share": [(0, 0.0), (10, 1.0)]}, width=300, height=120)
    blue = np.asarray(chart).astype(int)
    line = (blue[..., 2] > blue[..., 0] + 80)[30:]
    left, right = (np.nonzero(line[:, x])[0].mean() for x in (80, 280))
    assert right < left - 40


@pytest.mark.parametrize("text", ['{"step": 1', '{"share": 1.0}', "[1]"])
def test_a_damaged_log_is_refused(tmp_path, text):
    log = tmp_path / "metrics.jsonl"
    log.write_text(text)
    with pytest.raises(InputError, match=r"metrics\.jsonl: not the log"):
        curves.read(log, names=["share"])


def test_the_application_prints_the_verdict(tmp_path, launched):
    pictures = tmp_path / "noise.npy"
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    np.save(pictures, noise)
    done = launched(
        *("experiments.train", "--check=release"),
        *(f"--data=array:{pictures}", f"--train_data=array:{pictures}[:3]"),
        *(
            "--reconstruct=1",
            "--reconstruct_iterations=40",
            f"--run_dir={tmp_path / 'health'}",
        ),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "health" / "health.json").read_text())
    assert done.stdout.splitlines()[:5] == found["verdict"]
    redrawn = found["reconstruction"]
    assert redrawn["faces"] == 1 and 5 < redrawn["psnr"] < 30
