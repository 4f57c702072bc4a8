"""A signal stops an application between two steps, a second one at once."""

import signal
import subprocess
import sys

import pytest

from experiments.benchmarks import timing
from experiments.common import progress, stopping
from experiments.training import release_job, release_labels, release_plan
from inpaint_jax.io import data
from tests import drawn
from tests.experiments import launcher

# Steps of a tenth of a second, or one that no signal gets into.
APPLICATION = """
import signal, sys, time
from experiments.common import stopping

# As in the foreground; in the background of a script SIGINT is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
stopping.watch()
print("watched", flush=True)
if sys.argv[1] == "imports":
    time.sleep(60)
try:
    with stopping.deferred():
        print("in the buffer")
        print("begun", file=sys.stderr, flush=True)
        while True:
            time.sleep(60 if sys.argv[1] == "stuck" else 0.1)
            stopping.check()
except stopping.Stopped as stopped:
    print("stopped", stopped)
    sys.exit(stopped.code)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["imports", "steps", "stuck"])
def test_no_signal_is_lost_and_none_waits_for_ever(kind, number):
    with subprocess.Popen(
        [sys.executable, "-c", APPLICATION, kind],
        cwd=launcher.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "watched\n"
        if kind != "imports":
            assert process.stderr.readline() == "begun\n"
        process.send_signal(number)
        if kind == "stuck":
            assert process.stderr.readline().startswith("stopping when what runs now")
            process.send_signal(number)
        out, err = process.stdout.read(), process.stderr.read()
    word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    assert process.returncode == 128 + number
    if kind == "steps":
        assert err.count("\n") == 1 and "a second signal ends at once" in err
        assert out == f"in the buffer\nstopped {word}\n"
    else:
        assert err.startswith(f"error: {word}; ") and err.count("\n") == 1
        assert out == ("in the buffer\n" if kind == "stuck" else "")


@pytest.mark.parametrize("found", ["-m", "-c"])
def test_an_application_is_watched_while_it_imports_and_a_user_of_its_code_is_not(
    found,
):
    code = "import signal, sys; "
    code += "signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += f"sys.argv[0] = '{found}'; import experiments; "
    code += (
        "print(len(signal.pthread_sigmask(signal.SIG_BLOCK, [])), 'jax' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    out = subprocess.check_output(command, cwd=launcher.ROOT, text=True)
    assert out == ("2 False\n" if found == "-m" else "0 False\n")


@pytest.fixture
def asked(monkeypatch):
    """A signal has come."""
    monkeypatch.setattr(stopping, "asked", [signal.SIGTERM])


def test_without_a_signal_nothing_stops():
    stopping.check()
    with stopping.deferred():
        pass


def test_a_signal_is_told_at_the_latest_when_the_work_is_done(asked):
    with pytest.raises(stopping.Stopped, match="terminated") as caught:
        with stopping.deferred():
            pass
    assert caught.value.code == 143


def test_no_loop_that_goes_on_after_errors_goes_on_after_a_signal():
    assert not issubclass(stopping.Stopped, Exception)


def test_items_are_not_taken_after_a_signal(asked):
    with pytest.raises(stopping.Stopped):
        next(progress.over("abc", 3, what="reading", unit="pictures"))


def test_a_benchmark_stops_between_two_runs(asked):
    with pytest.raises(stopping.Stopped):
        timing.time_in_turn({"never": lambda: pytest.fail("was run")}, 1)


def test_a_release_begins_no_other_network(asked, tmp_path):
    faces = data.Faces(drawn.noise(4, 16, 16, 3), tuple("abcd"), ())
    job = release_job.Job(
        release_job.Wanted(image_size=16),
        faces,
        faces,
        release_labels.Landmarks(None, None, ""),
        run_dir=tmp_path / "run",
        output_dir=tmp_path,
        provenance={},
        accepted=lambda: pytest.fail("was accepted"),
    )
    with pytest.raises(stopping.Stopped):
        release_plan.run(job, only=("ce",), began=release_plan.now())
    assert not list(tmp_path.iterdir())
