"""A completion that goes on leaves what one leaves that nobody interrupted."""

import contextlib
import io
import shutil
import signal
from typing import NamedTuple
from unittest import mock

import jax
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import inpaint as application
from experiments.common import application as common
from experiments.common import chosen_faces, stopping
from experiments.search import (
    face_finder,
    finished_records,
    picture_search,
    resuming,
    searches,
)
from inpaint_jax.images import alignment
from inpaint_jax.io import picture_files
from inpaint_jax.pretrained import weights
from tests import drawn
from tests.experiments import kill_applications

QUICK = (
    "--landmark_term=none",
    "--lambda_structure=0",
    "--init=random",
    "--restarts=2",
    "--iterations=2",
)
QUICK += ("--chunk=1", "--patience=0", "--face=none")
NAMES = "abc"
GOES_ON = f"python -m {common.name()}"
FRAMES = [
    alignment.fit(np.array(points, float), np.array([(-0.5, -0.5), (63.5, -0.5)]))
    for points in ([(19.5, 29.5), (99.5, 29.5)], [(150, 40), (198, 76)])
]
FACES = [chosen_faces.Framed(FRAMES[0]), chosen_faces.Framed(FRAMES[1], guessed=True)]


class Outcome(NamedTuple):
    code: int
    out: str
    notes: list
    searched: int  # number of groups
    at_once: set  # numbers of images in their programs
    files: dict

    @property
    def said(self):
        return next(x for x in self.out.splitlines() if x.startswith("--resume"))


def model(seed):
    found = weights.templates(kill_applications.TINY)
    variables = drawn.variables(found, seed=seed)
    # Strong enough that restarts are different answers.
    variables = jax.tree.map(lambda leaf: 3.0 * leaf, variables)
    return weights.Model(kill_applications.TINY, 128, **variables, source={})


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A folder with a model, pictures, and a mask for each."""
    folder = tmp_path_factory.mktemp("bench")
    weights.export(folder / "tiny", model(0), provenance={})
    (folder / "faces").mkdir()
    (folder / "masks").mkdir()
    for seed, name in enumerate(NAMES):
        picture = drawn.noise(64, 64, 3, seed=seed)
        picture_files.write(folder / "faces" / f"{name}.png", picture)
        picture_files.write(folder / "masks" / f"{name}.png", hole(seed))
    return folder


def hole(size):
    found = np.zeros((64, 64, 3), np.uint8)
    found[20 : 40 + size, 10:50] = 255
    return found


def record_of(folder, name):
    return folder / finished_records.FOLDER / finished_records.file_name(name)


def left_in(folder):
    found = kill_applications.of_inpaint(folder)
    del found["effective.flags"]  # names the folder
    return found


def complete(bench, folder, *given, stop_after=None):
    """Runs in this process; stops after a number of faces as after a signal."""
    command = [*QUICK, f"--checkpoint={bench}/tiny", f"--output_dir={folder}", *given]
    if not any(flag.startswith("--images=") for flag in given):
        command.append(f"--images={bench}/faces")
    if any(flag.startswith("--flagfile") for flag in given):
        command = list(given)
    out, done, code, notes = io.StringIO(), [], None, []
    add, together = resuming.Records.add, searches.together

    def add_and_stop(*arguments):
        add(*arguments)
        done.append("face")
        if len(done) == stop_after:
            raise stopping.Stopped(signal.SIGINT)

    with (
        flagsaver.flagsaver(),
        jax.numpy_dtype_promotion("standard"),
        contextlib.redirect_stdout(out),
        mock.patch.object(resuming.Records, "add", add_and_stop),
        mock.patch.object(searches, "together", side_effect=together) as searched,
    ):
        flags.FLAGS(["experiments.inpaint", *command])
        try:
            code = application.main()
        except stopping.Stopped as stopped:
            notes = getattr(stopped, "__notes__", [])
    files = {} if code is None else left_in(folder)
    at_once = {call.kwargs["at_once"] for call in searched.call_args_list}
    return Outcome(code, out.getvalue(), notes, searched.call_count, at_once, files)


@pytest.fixture(scope="module")
def whole(bench, tmp_path_factory):
    """What is left by a run that nobody interrupts."""
    return complete(bench, tmp_path_factory.mktemp("whole") / "out")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_was_interrupted_goes_on(bench, whole, tmp_path, count):
    folder = tmp_path / "out"
    first = complete(bench, folder, stop_after=count)
    assert first.notes == [
        f"{GOES_ON} --flagfile={folder}/effective.flags --resume goes on."
    ]
    # As the note says.
    assert "resume" not in (folder / "effective.flags").read_text()
    then = complete(bench, folder, f"--flagfile={folder}/effective.flags", "--resume")
    assert then.code == 0 and then.searched == 3 - count
    assert then.files == whole.files
    assert then.said == f"--resume: {count} of 3 pictures are finished"
    assert ("then programs compiled" in then.out) == (count < 3)


def test_it_is_interrupted_twice(bench, whole, tmp_path):
    for _ in range(2):
        assert complete(bench, tmp_path / "out", "--resume", stop_after=1).code is None
    then = complete(bench, tmp_path / "out", "--resume")
    assert then.said == "--resume: 2 of 3 pictures are finished"
    assert then.files == whole.files


def repaint(bench, folder):
    del folder
    picture_files.write(bench / "faces" / "b.png", drawn.noise(64, 64, 3, seed=9))


def retrain(bench, folder):
    del folder
    weights.export(bench / "tiny", model(1), provenance={})


def remask(bench, folder):
    del folder
    picture_files.write(bench / "masks" / "b.png", hole(9))


def remove(bench, folder):
    del bench
    (folder / "b.png").unlink()


def retouch(bench, folder):
    del bench
    picture_files.write(folder / "b.png", drawn.noise(64, 64, 3, seed=9))


def damage(bench, folder):
    del bench
    path = record_of(folder, "b")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


# name -> (what happens, further flags, pictures done again, words that say why).
CHANGES = {
    "picture": (repaint, [], 1, "picture (1)"),
    "mask": (remask, [], 1, "mask (1)"),
    "weights": (retrain, [], 3, "networks (3)"),
    "seed": (None, ["--seed=1"], 3, "--seed (3)"),
    "setting": (None, ["--learning_rate=0.5"], 3, "--learning_rate (3)"),
    "several": (repaint, ["--blend=paste"], 3, "--blend (2); picture, --blend (1)"),
    "no result": (remove, [], 1, "results (1)"),
    "another result": (retouch, [], 1, "results (1)"),
    "damaged record": (damage, [], 1, "b: "),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_has_changed_is_done_again(bench, whole, tmp_path, name):
    del whole  # has compiled
    own, folder = tmp_path / "bench", tmp_path / "out"
    shutil.copytree(bench, own)
    masks = f"--mask={own}/masks"
    assert complete(own, folder, masks).code == 0
    happens, given, count, words = CHANGES[name]
    if happens is not None:
        happens(own, folder)
    then = complete(own, folder, masks, *given, "--resume")
    assert (then.code, then.searched) == (0, count)
    assert words in then.out
    assert then.said.startswith(f"--resume: {3 - count} of 3 pictures are finished")
    assert then.files == complete(own, tmp_path / "anew", masks, *given).files


def test_groups_are_those_of_a_run_that_nobody_interrupts(bench, tmp_path):
    # Where a search stops early, the others of its program go on in a smaller one.
    given = ("--images_at_once=2", "--iterations=40", "--chunk=5", "--patience=1")
    expected = complete(bench, tmp_path / "whole", *given)
    for count in (1, 2):
        folder = tmp_path / str(count)
        assert complete(bench, folder, *given, stop_after=count).code is None
        then = complete(bench, folder, *given, "--resume")
        assert then.files == expected.files
        assert then.searched == 3 - count
        again = "a: searched for again with the others of the program"
        assert (again in then.out) == (count == 1)


def test_as_many_are_searched_for_at_once_as_before(bench, whole, tmp_path):
    del whole
    given = ("--images_at_once=3", "--max_memory=1")
    for number, stop_after, expected in ((2, 2, 2), (3, None, 2)):
        fit = mock.patch.object(picture_search, "_that_fit", return_value=number)
        with fit:
            found = complete(
                bench, tmp_path / "out", *given, "--resume", stop_after=stop_after
            )
        assert found.at_once == {expected}
    assert "2 of 3 pictures are finished" in found.said


def test_every_file_of_a_picture_counts(bench, tmp_path):
    given = ("--answers=2", "--animate")
    folder = tmp_path / "out"
    expected = complete(bench, tmp_path / "whole", *given)
    assert {"a_2.png", "a.webp"} <= expected.files.keys()
    assert complete(bench, folder, *given, stop_after=2).code is None
    (folder / "a.webp").unlink()
    (folder / "b_2.png").write_bytes(b"")
    then = complete(bench, folder, *given, "--resume")
    assert then.searched == 3 and "results (2)" in then.said
    assert then.files == expected.files
    then = complete(bench, folder, *given, "--resume")
    assert then.searched == 0 and then.files == expected.files


def test_a_photograph_is_finished_with_its_last_face(bench, whole, tmp_path):
    del whole
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate("pq"):
        picture = drawn.noise(150, 240, 3, seed=seed)
        picture_files.write(tmp_path / "photos" / f"{name}.png", picture)
    given = (f"--images={tmp_path}/photos", "--face=all")
    two = mock.patch.object(face_finder.Finder, "faces", return_value=FACES)
    models = {"cascade": "of dlib"}
    found = mock.patch.object(face_finder, "models", side_effect=lambda: {**models})
    with two as finder, found:
        expected = complete(bench, tmp_path / "whole", *given)
        for name in ("report.json", "contact_sheet.html"):
            # Of both photographs the second face.
            assert str(expected.files[name]).count("a face lies is only guessed") == 2
        for count, searched in ((1, 4), (2, 2), (3, 2)):
            folder = tmp_path / str(count)
            assert complete(bench, folder, *given, stop_after=count).code is None
            then = complete(bench, folder, *given, "--resume")
            assert then.files == expected.files and then.searched == searched
        finder.reset_mock()
        assert complete(bench, folder, *given, "--resume").searched == 0
        assert not finder.called
        models["cascade"] = "another"
        then = complete(bench, folder, *given, "--resume")
        assert then.searched == 4 and "models that find faces (2)" in then.said


def test_what_was_skipped_is_named_again(bench, whole, tmp_path):
    del whole
    own, folder = tmp_path / "bench", tmp_path / "out"
    shutil.copytree(bench, own)
    content = (own / "faces" / "b.png").read_bytes()
    (own / "faces" / "b.png").write_bytes(content[: len(content) // 2])
    (own / "faces" / "notes.txt").write_text("no picture")
    expected = complete(own, tmp_path / "whole")
    assert expected.code == 1
    assert complete(own, folder, stop_after=1).code is None
    for searched in (1, 0):
        then = complete(own, folder, "--resume")
        assert (then.code, then.searched) == (1, searched)
        assert then.files == expected.files
        assert then.out.count("skipped ") == 2


def test_a_run_without_the_flag_begins_anew(bench, whole, tmp_path):
    folder = tmp_path / "out"
    complete(bench, folder)
    (folder / "c.png").unlink()
    stale = record_of(folder, "c")
    one = f"--images={bench}/faces/a.png"
    assert complete(bench, folder, one).searched == 1
    assert not stale.exists() and record_of(folder, "b").exists()
    then = complete(bench, folder, "--resume")
    assert then.searched == 1 and then.files == whole.files


def test_nothing_is_lost_by_a_signal_while_pictures_are_passed_over(
    bench, whole, tmp_path
):
    folder = tmp_path / "out"
    complete(bench, folder)
    stop = mock.patch.object(stopping, "asked", [signal.SIGTERM])
    with stop:
        assert complete(bench, folder, "--resume").code is None
    assert left_in(folder) == whole.files
