"""Completion as a user runs it: files, exit codes, and the same bytes again."""

import base64
import concurrent.futures
import contextlib
import functools
import hashlib
import importlib.util
import io
import json
import pathlib
import subprocess
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from experiments import inpaint as application
from inpaint_jax.errors import InputError
from inpaint_jax.images import framing, masks
from inpaint_jax.io import files, picture_files
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import weights
from tests import rewritten
from tests.experiments import launcher

ROOT = pathlib.Path(__file__).parents[2]
FLAG_FILES = sorted((ROOT / "experiments" / "flags").glob("*.flags"))
OTHERS = ("train_", "ablation", "release")  # files of other applications
SEARCHES = [path for path in FLAG_FILES if not path.name.startswith(OTHERS)]
TINY = dcgan.Architecture(image_size=64, features=2, z_dim=8, kernel_size=4)
QUICK = (
    "--face=none",
    "--landmark_term=none",
    "--lambda_structure=0",
    "--restarts=2",
    "--iterations=2",
    "--chunk=1",
)
OWN = ("own", "own_file", "own_result")  # of commands that run side by side
PICTURES = {"a": (64, 64), "b": (109, 89), "c": (80, 100)}
HAS_DLIB = all(map(importlib.util.find_spec, ("dlib", "face_recognition_models")))


class Outcome(NamedTuple):
    code: int
    out: str
    err: str
    folder: pathlib.Path

    def report(self):
        return json.loads((self.folder / "report.json").read_text())

    def pictures(self):
        return {path.name: path.read_bytes() for path in self.folder.glob("*.png")}


def noise(height, width, *, seed=0):
    """No two neighbours alike, so that no hole is filled right by chance."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def tiny_model():
    """Random networks."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        values = 0.3 * rng.normal(size=leaf.shape)
        positive = path[-1].key in ("var", "scale")
        return jnp.asarray(1.0 + 0.0 * values if positive else values, jnp.float32)

    variables = jax.tree_util.tree_map_with_path(
        draw, weights.templates(TINY, encoder=True)
    )
    return weights.Model(TINY, 128, **variables, source={}, encodes="damaged faces")


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    """A folder with a model, pictures, masks and things that are none of these."""
    folder = tmp_path_factory.mktemp("bench")
    weights.export(folder / "tiny", tiny_model(), provenance={})
    weights.export(folder / "nan", tiny_model(), provenance={})
    rewritten.rewrite(
        folder / "nan" / "generator.safetensors",
        lambda tensors: tensors["params/project/bias"].__setitem__(0, np.nan),
    )
    for name in (
        "answered",
        "faces",
        "faces_named",
        "mixed",
        "bad",
        "twins",
        "named_grid",
        *OWN,
        "masks",
    ):
        (folder / name).mkdir()
    for seed, (name, shape) in enumerate(PICTURES.items()):
        picture_files.write(folder / "faces" / f"{name}.png", noise(*shape, seed=seed))
    intact = (folder / "faces" / "a.png").read_bytes()
    copies = (
        "answered/a.png",
        "answered/a_2.png",
        "mixed/a.png",
        "twins/a.png",
        "twins/a.webp",
        "named_grid/grid.png",
        "faces_named/a.png",
        "faces_named/a_face1.png",
    )
    for name in (*copies, *(f"{folder}/a.png" for folder in OWN)):
        (folder / name).write_bytes(intact)
    for name in (*OWN, "masks"):  # as if they were results of an earlier run
        mark = "# python -m experiments.inpaint --flagfile=effective.flags"
        (folder / name / "effective.flags").write_text(mark)
    corrupt = ("corrupt.png", "mixed/corrupt.png", "bad/1.png", "bad/2.png")
    for name in corrupt:
        (folder / name).write_bytes(intact[: len(intact) // 2])
    (folder / "empty.png").write_bytes(b"")
    Image.fromarray(np.full((64, 64), 999, np.uint16)).save(folder / "sixteen.png")
    (folder / "notes.txt").write_text("neither a model nor a picture")
    hole = np.zeros((64, 64), np.uint8)
    hole[20:40, 10:50] = 255
    stencils = {
        "white_hole": hole,
        "black_hole": 255 - hole,
        "all_black": 0 * hole,
        "all_white": 0 * hole + 255,
        "small": hole[:32, :32],
    }
    stencils["masks/a"] = hole
    # Painted over a whole 89 x 109 photograph; its frame starts at (12, 22).
    photo = np.zeros((109, 89), np.uint8)
    photo[22 + 20 : 22 + 40, 12 + 10 : 12 + 50] = 255
    stencils["photo_hole"] = photo
    # Over a photograph that has to be scaled; what is painted there must not matter.
    large = np.zeros((218, 178), np.uint8)
    large[85:121, 51:98] = 255
    stencils["large_hole"] = large
    (folder / "large").mkdir()
    for name, inside in {"dark/large": 0, "light/large": 255}.items():
        (folder / name).parent.mkdir()
        picture = noise(218, 178)
        picture[large == 255] = inside
        picture_files.write(folder / f"{name}.png", picture)
    for name, stencil in stencils.items():
        Image.fromarray(stencil).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="session")
def inpaint(bench, launched, tmp_path_factory):
    """Runs the application with a flag file first or without one."""

    def run(*flags, start=launched):
        folder = tmp_path_factory.mktemp("out")
        command = [flag for flag in flags if flag.startswith("--flagfile")]
        command += [f"--checkpoint={bench}/tiny", f"--output_dir={folder}"]
        command += [flag for flag in flags if not flag.startswith("--flagfile")]
        done = start("experiments.inpaint", *command)
        return Outcome(done.returncode, done.stdout, done.stderr, folder)

    return run


@pytest.fixture(scope="session")
def inpaint_here(inpaint):
    """The same in this process: what one run has traced serves all that follow."""

    def start(module, *command):
        out = io.StringIO()
        with (
            flagsaver.flagsaver(),
            jax.numpy_dtype_promotion("standard"),
            contextlib.redirect_stdout(out),
        ):
            flags.FLAGS([module, *command])
            code = application.main()
        return subprocess.CompletedProcess(command, code, out.getvalue(), "")

    return functools.partial(inpaint, start=start)


@pytest.fixture(scope="session")
def both(inpaint):
    """Runs many command lines, two at a time."""

    def run(commands):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda flags: inpaint(*flags), commands))

    return run


@pytest.fixture(scope="session")
def base(inpaint, bench, environment):
    """Three pictures of three shapes, mask centre; started as a user does."""
    start = functools.partial(launcher.python_m, environment)
    outcome = inpaint(*QUICK, f"--images={bench}/faces", start=start)
    assert outcome.code == 0, outcome.err
    return outcome


@pytest.fixture(scope="session")
def processes(base, both, bench):
    """Runs whose output, exit code or way to compile matters."""
    commands = {
        "mixed": (*QUICK, f"--images={bench}/mixed"),
        "together": (
            *QUICK,
            f"--images={bench}/faces",
            "--images_at_once=2",
            f"--compilation_cache_dir={bench}/programs",
        ),
    }
    return dict(zip(commands, both(commands.values()), strict=True))


@pytest.fixture(scope="session")
def variants(base, inpaint_here, bench):
    """Runs that differ from `base` in one thing each."""
    one = f"--images={bench}/faces/a.png"
    commands = {
        "repeated": (f"--flagfile={base.folder}/effective.flags",),
        "reseeded": (*QUICK, one, "--seed=1"),
        "scheduled": (
            *QUICK,
            one,
            "--restart_schedule=2x2,1x1",
            "--precision=bfloat16",
        ),
        "white": (*QUICK, one, f"--mask={bench}/white_hole.png", "--original_known"),
        "black": (
            *QUICK,
            one,
            f"--mask={bench}/black_hole.png",
            "--mask_hole=black",
        ),
        "answers": (*QUICK, one, "--answers=2", "--init=random", "--animate"),
        "alike": (*QUICK, one, "--answers=2", "--init_std=0"),
        "photo": (
            *QUICK,
            f"--images={bench}/faces/b.png",
            f"--mask={bench}/photo_hole.png",
        ),
    }
    for name in ("dark", "light"):
        commands[name] = (
            *QUICK,
            f"--images={bench}/{name}/large.png",
            f"--mask={bench}/large_hole.png",
        )
    return {name: inpaint_here(*flags) for name, flags in commands.items()}


def framed(bench, name):
    picture = picture_files.read(bench / "faces" / f"{name}.png")
    return framing.frame(picture, crop=128, size=64)


def written(outcome, name):
    return picture_files.read(outcome.folder / f"{name}.png")


# What a run leaves behind.


def test_a_run_writes_what_it_promises(base):
    assert "Traceback" not in base.err
    names = {path.name for path in base.folder.iterdir()}
    pictures = {"a.png", "b.png", "c.png", "grid.png"}
    texts = {"report.json", "trace.jsonl", "effective.flags", "contact_sheet.html"}
    assert names == pictures | texts | {".lock", ".finished", ".results"}
    for name, shape in PICTURES.items():
        assert written(base, name).shape == (*shape, 3)
        assert f"{name}.png" in base.out
    grid = written(base, "grid")
    assert grid.shape[0] > 3 * 64 and grid.shape[1] > 4 * 64


def test_the_contact_sheet_shows_what_was_written(base):
    text = (base.folder / "contact_sheet.html").read_text()
    assert str(base.folder / "contact_sheet.html") in base.out
    assert [f'<h2>{name} <a href="./{name}.png">' in text for name in "abc"] == [
        True
    ] * 3
    stored = io.BytesIO()  # of the others the frame is shown
    Image.fromarray(written(base, "a")).save(stored, format="PNG")
    assert base64.b64encode(stored.getvalue()).decode() in text
    assert text.count('class="curves"') == 3 and "restart 2" in text


def test_trace_follows_each_image_step_by_step(base):
    text = (base.folder / "trace.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    expected = [(name, step) for name in "abc" for step in (1, 2)]
    assert [(line["image"], line["step"]) for line in lines] == expected
    for line in lines:
        assert len(line["loss"]) == len(line["best_loss"]) == 2
        assert all(
            best <= loss + 1e-6
            for best, loss in zip(line["best_loss"], line["loss"], strict=True)
        )


def test_report_says_what_the_result_depends_on(base, bench):
    report = base.report()
    assert report["seed"] == 0 and report["mask"] == "auto"
    assert report["blend"] == "poisson" and report["landmarks"] is None
    assert report["settings"]["restarts"] == 2
    assert report["settings"]["iterations"] == 2
    assert report["device"].startswith("cpu")
    assert report["versions"]["jax"] == jax.__version__
    assert report["versions"]["inpaint-jax"] is not None
    for network in ("generator", "discriminator"):
        content = (bench / "tiny" / f"{network}.safetensors").read_bytes()
        found = report["model"]["sha256"][network]
        assert found == hashlib.sha256(content).hexdigest()
    assert report["skipped"] == []


def test_report_scores_what_was_written(base, bench):
    entries = base.report()["images"]
    assert [entry["image"] for entry in entries] == ["a", "b", "c"]
    for entry in entries:
        assert entry["hole_fraction"] == 0.25 and entry["iterations"] == 2
        assert {"context", "prior"} <= entry["terms"].keys()
        assert all(np.isfinite(value) for value in entry["terms"].values())
        # The restarts are in order and the first is the one that was used.
        scores = entry["scores_of_restarts"]
        assert scores == sorted(scores) and entry["score"] == scores[0]
        if entry["image"] != "a":  # enlarged
            continue
        expected = framed(bench, entry["image"]).astype(float)
        error = (written(base, entry["image"]) - expected) ** 2
        psnr = 10 * np.log10(255**2 / error.mean())
        assert entry["psnr"] == pytest.approx(psnr, abs=0.01)
        # All of the error is in the quarter that was hidden.
        assert entry["psnr_hole"] == pytest.approx(psnr - 10 * np.log10(4), abs=0.01)
        assert -1.0 <= entry["ssim"] <= 1.0


# The same bytes again.


def test_effective_flags_repeat_a_run_byte_by_byte(base, variants):
    repeated = variants["repeated"]
    assert repeated.code == 0, repeated.err
    assert repeated.pictures() == base.pictures()


def test_other_images_and_damaged_ones_change_nothing(base, processes):
    mixed = processes["mixed"]
    assert mixed.pictures()["a.png"] == base.pictures()["a.png"]


def test_a_damaged_picture_is_skipped_with_exit_code_1(processes):
    mixed = processes["mixed"]
    assert mixed.code == 1
    assert mixed.pictures().keys() == {"a.png", "grid.png"}
    assert "skipped" in mixed.out and "corrupt.png: damaged" in mixed.out
    report = mixed.report()
    assert [entry["image"] for entry in report["images"]] == ["a"]
    assert len(report["skipped"]) == 1 and "corrupt.png" in report["skipped"][0]
    assert "Traceback" not in mixed.err


def test_pictures_searched_for_together_come_out_the_same(base, processes, bench):
    together = processes["together"]
    assert together.code == 0, together.err
    pictures = zip(together.report()["images"], base.report()["images"], strict=True)
    for entry, alone in pictures:
        assert entry["image"] == alone["image"]
        assert entry["score"] == pytest.approx(alone["score"], rel=1e-4)
    assert any((bench / "programs").iterdir())


def test_a_schedule_ends_with_the_restarts_of_its_last_stage(variants):
    scheduled = variants["scheduled"]
    assert scheduled.code == 0, scheduled.err
    (entry,) = scheduled.report()["images"]
    assert entry["iterations"] == 3 and len(entry["scores_of_restarts"]) == 1
    assert scheduled.report()["settings"]["restart_schedule"] == [[2, 2], [1, 1]]


def test_results_may_lie_in_the_folder_of_the_pictures(inpaint_here, bench):
    folder = files.make_directory(bench / "around")
    (folder / "a.png").write_bytes((bench / "faces" / "a.png").read_bytes())
    flags = (*QUICK, f"--images={folder}", f"--output_dir={folder}/out")
    for _ in range(2):
        outcome = inpaint_here(*flags)
        assert outcome.code == 0
        report = json.loads((folder / "out" / "report.json").read_text())
        assert [entry["image"] for entry in report["images"]] == ["a"]


def test_pictures_that_a_later_run_leaves_out_stay_results(inpaint_here, bench):
    folder = files.make_directory(bench / "again")
    (folder / "sub").mkdir()
    picture = (bench / "faces" / "a.png").read_bytes()
    for name in ("a.png", "sub/b.png"):
        (folder / name).write_bytes(picture)
    flags = (*QUICK, f"--output_dir={folder}/out", "--init=random")
    both, one = f"--images={folder}", f"--images={folder}/a.png"
    assert inpaint_here(*flags, both, "--animate").code == 0
    outcome = inpaint_here(*flags, one)
    assert "3 pictures of earlier runs stay, as a.webp" in outcome.out
    assert inpaint_here(*flags, both).code == 0
    (folder / "out" / "b.png").write_bytes(picture)
    (folder / "b.png").write_bytes(picture)
    with pytest.raises(InputError, match="out/b.png is no result of an earlier run"):
        inpaint_here(*flags, f"--images={folder}/b.png")
    assert (folder / "out" / "b.png").read_bytes() == picture


def test_the_seed_changes_the_hole_and_nothing_else(base, variants):
    reseeded = variants["reseeded"]
    assert reseeded.code == 0, reseeded.err
    changed = (written(base, "a") != written(reseeded, "a")).any(axis=-1)
    assert changed[16:48, 16:48].any()
    changed[16:48, 16:48] = False
    assert not changed.any()


def test_answers_are_restarts_and_the_first_is_the_result(base, variants):
    outcome = variants["answers"]
    assert outcome.code == 0, outcome.err
    (entry,) = outcome.report()["images"]
    first, second = entry["answers"]
    assert (first["file"], second["file"]) == ("a.png", "a_2.png")
    assert [first["score"], second["score"]] == entry["scores_of_restarts"]
    assert first["score"] == entry["score"] and first["distance"] is None
    one, two = (
        written(outcome, "a").astype(float),
        written(outcome, "a_2").astype(float),
    )
    hole = np.zeros((64, 64), bool)
    hole[16:48, 16:48] = True
    np.testing.assert_array_equal(one[~hole], two[~hole])
    apart = np.sqrt(((one - two)[hole] ** 2).mean()) / 127.5
    assert second["distance"] == pytest.approx(apart, abs=0.005) and apart >= 0.1
    sheet = (outcome.folder / "contact_sheet.html").read_text()
    assert "answer 2: loss" in sheet and "fewer_answers" not in entry
    assert "answers" not in base.report()["images"][0]


def test_an_animation_ends_with_the_result(variants):
    outcome = variants["answers"]
    with Image.open(outcome.folder / "a.webp") as animated:
        assert animated.n_frames == 2 and animated.size == (256, 256)
        animated.seek(1)
        last = np.asarray(animated.convert("RGB"))[2::4, 2::4]
    # The hole is blended alone here, and rounded once more.
    assert np.abs(last.astype(int) - written(outcome, "a")).max() <= 1


def test_restarts_that_are_alike_are_one_answer(variants):
    outcome = variants["alike"]
    (entry,) = outcome.report()["images"]
    assert [each["file"] for each in entry["answers"]] == ["a.png"]
    assert outcome.pictures().keys() == {"a.png", "grid.png"}
    assert f"a: {entry['fewer_answers']}" in outcome.out
    assert "1 of 2 answers" in entry["fewer_answers"]
    assert "1 of 2 answers" in (outcome.folder / "contact_sheet.html").read_text()


# Known pixels.


@pytest.mark.parametrize("name", PICTURES)
def test_known_pixels_are_those_of_the_photograph(base, bench, name):
    photo = picture_files.read(bench / "faces" / f"{name}.png")
    same = (written(base, name) == photo).all(axis=-1)
    side = framing.crop_side(*photo.shape[:2], crop=128)
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    # Rows and columns whose middle lies in the middle half of the frame.
    middle = (np.arange(side) + 0.5) / side
    within = (middle > 0.25) & (middle < 0.75)
    hole = np.zeros(photo.shape[:2], bool)
    hole[top : top + side, left : left + side] = within[:, None] & within
    assert same[~hole].all()
    # The picture is noise: what is not known is hardly met by chance.
    assert same[hole].mean() < 0.01


def test_known_pixels_survive_all_masks_and_blends(inpaint_here, bench):
    cases = [(mask, "poisson") for mask in masks.MASKS]
    cases += [("left", "paste"), ("random80", "paste")]
    for case in cases:
        outcome = inpaint_here(
            *QUICK,
            f"--images={bench}/faces/a.png",
            f"--mask={case[0]}",
            f"--blend={case[1]}",
            "--nooriginal_known",
        )
        assert outcome.code == 0, (case, outcome.err)
        entry = outcome.report()["images"][0]
        same = (written(outcome, "a") == framed(bench, "a")).all(axis=-1)
        # The picture is noise: what is not known is not met by chance.
        assert 0.0 < entry["hole_fraction"] < 1.0
        assert same.mean() == pytest.approx(1.0 - entry["hole_fraction"], abs=1e-6), (
            case
        )
        assert "psnr" not in entry
        if case[0] == "left":
            assert not same[:, :32].any() and same[:, 32:].all()
        if case[0] == "right":
            assert same[:, :32].all() and not same[:, 32:].any()


def test_a_mask_file_marks_the_hole_in_white_or_black(variants, bench):
    white, black = variants["white"], variants["black"]
    assert white.code == black.code == 0, white.err + black.err
    assert white.pictures()["a.png"] == black.pictures()["a.png"]
    same = (written(white, "a") == framed(bench, "a")).all(axis=-1)
    hole = np.zeros((64, 64), bool)
    hole[20:40, 10:50] = True
    np.testing.assert_array_equal(same, ~hole)
    # A mask file most often comes with a damaged picture: no score, unless asked for.
    assert "psnr" not in black.report()["images"][0]
    assert "psnr" in white.report()["images"][0]


def test_a_mask_of_the_photographs_size_is_its_hole(variants, bench):
    photo = variants["photo"]
    assert photo.code == 0, photo.err
    before = picture_files.read(bench / "faces" / "b.png")
    same = (written(photo, "b") == before).all(axis=-1)
    hole = picture_files.read(bench / "photo_hole.png")[..., 0] > 0
    assert same[~hole].all() and same[hole].mean() < 0.01


def test_nothing_of_a_painted_hole_leaks_through_scaling(variants):
    dark, light = variants["dark"], variants["light"]
    assert dark.code == light.code == 0, dark.err + light.err
    assert dark.pictures() == light.pictures()


# Flag files.


@pytest.mark.parametrize("path", FLAG_FILES, ids=lambda path: path.stem)
def test_flag_files_open_with_what_they_are(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ") and lines[1].startswith("# ")
    application = "inpaint"
    if path.name.startswith("train_"):
        application = "train_landmarks" if "landmarks" in path.name else "train"
    elif path.name.startswith(("ablation", "release")):
        application = path.stem.partition("_")[0]
    named = f"python -m experiments.{application} --flagfile=experiments/flags/"
    assert any(line.startswith(f"# {named}{path.name}") for line in lines)
    assert all(line.startswith(("#", "--")) for line in lines if line)


@pytest.mark.skipif(not HAS_DLIB, reason="needs dlib and its 68-point model")
def test_every_flag_file_runs(inpaint_here, bench):
    short = ("--iterations=1", "--restarts=1", "--chunk=1")
    for path in SEARCHES:
        one = f"--images={bench}/faces/a.png"
        outcome = inpaint_here(f"--flagfile={path}", *short, one)
        assert outcome.code == 0, (path.name, outcome.err)
        report = outcome.report()
        assert report["settings"]["iterations"] == 1
        (entry,) = report["images"]
        assert np.isfinite(entry["score"])
        asked = "--landmark_term=none" not in path.read_text()
        assert (report["landmarks"] is not None) == asked
        assert ("landmark" in entry["terms"]) == asked


# Refusals: name -> (further flags, words of the sentence).
REFUSED = {
    "missing picture": (["--images={bench}/missing.png"], ["missing.png"]),
    "empty picture": (["--images={bench}/empty.png"], ["empty.png", "empty"]),
    "corrupt picture": (["--images={bench}/corrupt.png"], ["corrupt.png", "damaged"]),
    "16-bit picture": (["--images={bench}/sixteen.png"], ["sixteen.png", "8 bits"]),
    "no picture": (["--images={bench}/notes.txt"], ["notes.txt"]),
    "empty slice": (["--images={bench}/faces[3:]"], ["faces[3:]", "empty"]),
    "only bad pictures": (["--images={bench}/bad"], ["bad", "none"]),
    "same stem": (["--images={bench}/twins"], ["a.png", "a.webp"]),
    "name of the grid": (["--images={bench}/named_grid"], ["grid.png"]),
    "mask of another size": (["--mask={bench}/small.png"], ["small.png", "32 x 32"]),
    "all known": (["--mask={bench}/all_black.png"], ["all_black.png", "0%"]),
    "all hole": (["--mask={bench}/all_white.png"], ["all_white.png", "100%"]),
    "corrupt mask": (["--mask={bench}/corrupt.png"], ["corrupt.png"]),
    "unknown mask": (["--mask=middle"], ["--mask=middle", "centre"]),
    "slice of a file": (["--images={bench}/faces/a.png[0:1]"], ["a.png[0:1]"]),
    "rate 0": (["--learning_rate=0"], ["learning_rate", "above 0"]),
    "NaN threshold": (["--landmark_threshold=nan"], ["landmark_threshold", "nan"]),
    "random0.5": (["--mask=random0.5"], ["--mask=random0.5", "random99"]),
    "no model": (["--checkpoint={bench}/faces"], ["faces", "model.json"]),
    "NaN weights": (["--checkpoint={bench}/nan"], ["NaN", "generator"]),
    "missing landmark model": (
        ["--landmark_term=step", "--landmark_model={bench}/missing.dat"],
        ["missing.dat"],
    ),
    "no landmark model": (
        ["--landmark_term=step", "--landmark_model={bench}/notes.txt"],
        ["notes.txt", "byte "],
    ),
    "oracle": (
        ["--landmark_term=net", "--landmark_target=oracle"],
        ["--landmark_target=oracle", "--allow_oracle"],
    ),
    "output_dir is a file": (["--output_dir={bench}/notes.txt"], ["notes.txt"]),
    "too many answers": (["--answers=3"], ["--answers=3", "2 restarts"]),
    "name of an answer": (
        ["--images={bench}/answered", "--answers=2"],
        ["--answers=2", "a_2.png"],
    ),
    "even window": (["--window=4"], ["--window=4", "odd"]),
    "negative rate": (["--learning_rate=-1"], ["learning_rate"]),
    "schedule of words": (["--restart_schedule=many"], ["schedule=many", "64x10"]),
    "growing schedule": (["--restart_schedule=2x1,4x1"], ["2x1,4x1", "fewer"]),
    "too little memory": (["--max_memory=1e-6"], ["--max_memory", "--restarts"]),
    "unknown flag": (["--iteration=5"], ["iteration"]),
    "unknown argument": (["face.png"], ["face.png"]),
    "large seed": (["--seed=99999999999999999999"], ["seed"]),
    "folder of other files": (
        ["--output_dir={bench}/faces"],
        ["faces", "no results", "a.png", "empty folder"],
    ),
    "folder of the input": (
        ["--images={bench}/own", "--output_dir={bench}/own"],
        ["own", "folder of --images"],
    ),
    "overwritten input": (
        ["--images={bench}/own_file/a.png", "--output_dir={bench}/own_file"],
        ["a.png", "overwritten"],
    ),
    "result in place of a file": (
        ["--output_dir={bench}/own_result"],
        ["own_result/a.png is no result of an earlier run", "move it"],
    ),
    "name of a face": (
        ["--images={bench}/faces_named", "--face=all"],
        ["a_face1.png", "like a face of a;", "--face=largest"],
    ),
    "overwritten mask": (
        ["--mask={bench}/masks/a.png", "--output_dir={bench}/masks"],
        ["masks/a.png", "overwritten"],
    ),
}


@pytest.fixture(scope="session")
def refused(base, both, bench):
    del base  # has compiled what these share
    one = [f"--images={bench}/faces/a.png"]  # a repeated flag gives several
    outcomes = both(
        (
            *QUICK,
            *([] if any(flag.startswith("--images") for flag in flags) else one),
            *(flag.format(bench=bench) for flag in flags),
        )
        for flags, _ in REFUSED.values()
    )
    return dict(zip(REFUSED, outcomes, strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_input_gives_a_sentence_and_exit_code_2(refused, name):
    outcome = refused[name]
    assert outcome.code == 2, outcome
    assert outcome.err.startswith("error: ") and outcome.err.count("\n") == 1
    assert "Traceback" not in outcome.err
    for word in REFUSED[name][1]:
        assert word in outcome.err
    assert outcome.pictures() == {}


def test_no_input_is_overwritten(refused, bench):
    assert refused["overwritten input"].code == 2
    intact = (bench / "faces" / "a.png").read_bytes()
    for folder in OWN:
        names = sorted(path.name for path in (bench / folder).glob("[!.]*"))
        assert names == ["a.png", "effective.flags"]
        assert (bench / folder / "a.png").read_bytes() == intact
    notes = (bench / "notes.txt").read_text()
    assert notes == "neither a model nor a picture"
