"""Several searches in one process: each by its own flags, none by another's."""

import functools
import time

import jax
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.common import cases, options
from experiments.search import guidance, search_methods
from inpaint_jax.errors import InputError
from inpaint_jax.images import masks, pixels
from inpaint_jax.io import files
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import weights
from inpaint_jax.search import completion, driver
from tests import drawn

SIZE = 16
TINY = dcgan.Architecture(image_size=SIZE, features=2, z_dim=8, kernel_size=4)
QUICK = [
    "--landmark_term=none",
    "--lambda_structure=0",
    "--restarts=2",
    "--iterations=3",
    "--chunk=2",
]
QUICK += ["--patience=0", "--init=random"]
LOST = driver.Progress(1, *[np.array([np.nan, np.inf])] * 2, state=None)


@pytest.fixture(autouse=True)
def promoted(standard_promotion):
    """As in applications."""


@functools.cache
def model():
    variables = drawn.variables(weights.templates(TINY, encoder=True))
    return weights.Model(TINY, 128, **variables, source={}, encodes="damaged faces")


def inputs(count):
    found = []
    for i in range(count):
        picture = drawn.noise(SIZE, SIZE, 3, seed=i)
        key = jax.random.key(i)
        mask = masks.centre(key, (SIZE, SIZE))[None]
        found.append(cases.Case(f"{i}", picture, picture, 128, mask, key))
    return found


def prepare(name, *given, images=1):
    base = search_methods.parse("usual", QUICK)
    asked = search_methods.parse(name, given, base=base)
    return search_methods.prepare(name, asked, model(), images=images)


@pytest.fixture(scope="module")
def done():
    """Three images by a method, two at once, filled up; and how long it took."""
    with jax.numpy_dtype_promotion("standard"):
        method = prepare("quick", "--blend=paste", images=2)
        started = time.perf_counter()
        search_methods.warm_up(method, inputs(3), at_once=2)
        completed = search_methods.complete(method, inputs(3), at_once=2)
        return method, completed, time.perf_counter() - started


def test_flags_of_a_method_are_read_and_leave_no_trace():
    before = flags.FLAGS.flag_values_dict()
    method = prepare("five", "--restarts=5", "--nodecay", "--blend=paste")
    assert method.settings.restarts == 5 and not method.settings.decay
    assert method.settings.iterations == 3, "what is not said is as before"
    assert method.blend == "paste" and method.guides.terms() == {}
    assert flags.FLAGS.flag_values_dict() == before
    assert search_methods.parse("usual", []) == search_methods.Asked()


def test_a_method_may_come_from_a_file(tmp_path):
    file = tmp_path / "seven.flags"
    files.write_text(file, "# Seven.\n--restarts=7\n--window=9\n")
    method = prepare("seven", f"--flagfile={file}", "--window=11")
    assert (method.settings.restarts, method.settings.window) == (7, 11)


def test_flags_of_the_process_go_before_a_file(tmp_path):
    file = tmp_path / "seven.flags"
    files.write_text(file, "--restarts=7\n--window=9\n")
    asked = search_methods.parse("seven", [f"--flagfile={file}"])
    with flagsaver.flagsaver():
        flags.FLAGS(["evaluate", "--window=21"])  # the default, but it is given
        asked = options.read(search_methods.Asked, base=asked)
    assert (asked.search.settings.restarts, asked.search.settings.window) == (7, 21)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("--restart=3", "restart"),
        ("--spread=0.1", "--spread: is called --init_std now."),
        ("--restarts=0", "--restarts=0"),
        ("--window=4", "--window=4"),
        ("--learning_rate=nan", "learning_rate"),
        ("--checkpoint=elsewhere", "checkpoint"),
        ("--debug", "debug"),
        ("thesis.flags", "thesis.flags"),
        ("--flagfile=missing.flags", "missing.flags"),
        ("--landmark_target=oracle --landmark_term=soft", "--allow_oracle"),
    ],
)
def test_what_is_no_search_is_refused_by_the_methods_name(given, words):
    before = flags.FLAGS.flag_values_dict()
    with pytest.raises(InputError, match="method wrong: ") as refused:
        prepare("wrong", *given.split())
    assert words in str(refused.value)
    assert flags.FLAGS.flag_values_dict() == before


def test_a_method_does_what_the_library_does(done):
    method, completed, _ = done
    case = inputs(3)[2]
    problem, _ = guidance.Guidance().problem(case)
    *_, (last, _) = driver.search_together(
        [case.key] * 2, [problem] * 2, compiled=method.compiled
    )
    alone = completion.finish(last, problem, compiled=method.compiled, blend="paste")
    assert completed.loss[2] == pytest.approx(float(alone.score[0]), rel=1e-4)
    expected = np.asarray(pixels.to_bytes(alone.completed[0])).astype(int)
    assert np.abs(completed.images[2].astype(int) - expected).max() <= 1


def test_columns_have_a_value_for_each_image(done):
    _, completed, _ = done
    assert completed.images.shape == (3, SIZE, SIZE, 3)
    assert completed.images.dtype == np.uint8
    assert completed.iterations.tolist() == [3, 3, 3]
    assert not completed.failed.any() and (completed.seconds > 0).all()
    for case, image in zip(inputs(3), completed.images, strict=True):
        known = np.asarray(case.mask[0, ..., 0] > 0)
        np.testing.assert_array_equal(image[known], case.picture[known])
        assert (image[~known] != case.picture[~known]).any()


def test_compiling_is_not_on_the_clock(done):
    _, completed, seconds = done
    assert completed.seconds.sum() < 0.5 * seconds


def test_warming_up_runs_each_program_once(monkeypatch):
    ran = []

    def search(method, group, problems, *, at_once):
        ran.append((at_once, method.compiled.settings.stages))
        return [search_methods.Ended(LOST, 0.0)] * len(group)

    monkeypatch.setattr(search_methods, "search", search)
    method = prepare("cold", "--restart_schedule=4x9,2x4,1x1", "--chunk=4")
    search_methods.warm_up(method, inputs(2), at_once=1)
    assert ran == [(1, ((4, 5), (2, 4), (1, 1)))]
    search_methods.complete(method, inputs(1), at_once=1)
    assert ran[1:] == [(1, ((4, 9), (2, 4), (1, 1)))]


def test_a_search_that_diverges_is_kept_as_a_mean_colour(done, monkeypatch):
    method, *_ = done
    monkeypatch.setattr(
        search_methods, "search", lambda *a, at_once: [search_methods.Ended(LOST, 0.0)]
    )
    completed = search_methods.complete(method, inputs(1), at_once=2)
    assert completed.failed.tolist() == [True] and np.isnan(completed.loss[0])
    (case,) = inputs(1)
    known = np.asarray(case.mask[0, ..., 0] > 0)
    np.testing.assert_array_equal(completed.images[0][known], case.picture[known])
    hole = completed.images[0][~known]
    assert (hole == hole[0]).all()
    np.testing.assert_allclose(hole[0], case.picture[known].mean(axis=0), atol=0.51)


def test_other_stages_run_on_the_same_programs(done):
    method, *_ = done
    short = search_methods.with_stages(method, ((2, 2),))
    (case,) = inputs(1)
    problem, _ = method.guides.problem(case)
    ((last, _),) = search_methods.search(short, [case], [problem], at_once=2)
    assert last.iteration == 2
    assert short.compiled.pieces is method.compiled.pieces
    assert method.compiled.settings.all_iterations == 3
