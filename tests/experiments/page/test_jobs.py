"""The queue: one at a time, in their order, and what ends a search before its end."""

import threading
import time

import pytest

from experiments.page import engines, jobs
from experiments.page.completing import Completed
from inpaint_jax.errors import InputError

DONE = {"kind": "done"}


def until(true, *, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.005)


def steps(count, *, gate=None, log=None):
    def work():
        for number in range(count):
            if gate is not None:
                assert gate.wait(20.0)
            if log is not None:
                log.append(number)
            yield {"kind": "step", "step": number}
        yield Completed(())
        yield DONE

    return work


@pytest.fixture
def queue():
    return jobs.Queue(most=2, seconds=60.0)


def test_a_job_tells_its_steps_and_its_end(queue):
    job = queue.add(steps(2))
    until(lambda: job.ended)
    assert [event["kind"] for event in job.events] == ["step", "step", "done"]
    assert job.completed == Completed(())


def test_jobs_run_one_at_a_time_in_their_order(queue):
    gate, log = threading.Event(), []
    first = queue.add(steps(1, gate=gate, log=log))
    until(lambda: queue.before(first) == 0)
    second, third = (queue.add(steps(1, log=log)) for _ in range(2))
    assert (queue.before(second), queue.before(third)) == (1, 2)
    assert jobs.described(queue, third, told=0) == [{"kind": "waiting", "before": 2}]
    with pytest.raises(jobs.Full):
        queue.add(steps(1))
    assert not log
    gate.set()
    until(lambda: third.ended)
    assert len(log) == 3 and first.completed and second.completed


def test_a_cancelled_job_ends_before_its_next_step_and_the_next_one_begins(queue):
    gate, log = threading.Event(), []
    first = queue.add(steps(1000, gate=gate, log=log))
    second = queue.add(steps(1))
    first.cancel()
    gate.set()
    until(lambda: second.ended)
    assert first.events[-1] == {"kind": "failed", "error": "cancelled."}
    assert first.completed is None and second.completed is not None and len(log) < 3


def test_a_job_that_is_cancelled_while_it_waits_never_begins(queue):
    gate, log = threading.Event(), []
    first, second = queue.add(steps(1, gate=gate)), queue.add(steps(1, log=log))
    second.cancel()
    assert queue.before(second) == 0 and second.ended
    assert second.events == [{"kind": "failed", "error": "cancelled."}]
    gate.set()
    until(lambda: first.ended)
    assert not log


def test_a_job_that_nobody_watches_is_cancelled(queue, monkeypatch):
    monkeypatch.setattr(jobs, "_ABANDONED", 0.05)
    gate = threading.Event()
    first = queue.add(steps(3, gate=gate))
    time.sleep(0.1)
    gate.set()
    until(lambda: first.ended)
    assert first.events[-1]["error"] == "cancelled."


def test_a_job_that_takes_too_long_ends_with_what_to_do():
    queue = jobs.Queue(most=2, seconds=0.0)
    job = queue.add(steps(3))
    until(lambda: job.ended)
    assert "--most_seconds=0" in job.events[-1]["error"] and job.completed is None


def test_work_that_takes_long_between_two_events_ends_when_it_asks(queue):
    asked = threading.Event()

    def looks_for_faces():
        for _ in range(2000):
            asked.set()
            engines.CHECK.get()()
            time.sleep(0.01)
        yield {"kind": "faces"}

    first, second = queue.add(looks_for_faces), queue.add(steps(1))
    assert asked.wait(20.0)
    first.cancel()
    until(lambda: second.ended)
    assert first.events == [{"kind": "failed", "error": "cancelled."}]


def test_outside_of_a_job_nothing_ends_anything():
    assert engines.CHECK.get(None) is None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InputError("a.png: no face was found."), "a.png: no face was found."),
        (KeyError("/home/someone/secret"), "internal error"),
    ],
)
def test_an_error_is_told_and_the_next_job_runs(queue, capsys, error, told):
    def fails():
        yield {"kind": "step"}
        raise error

    first, second = queue.add(fails), queue.add(steps(1))
    until(lambda: second.ended)
    assert told in first.events[-1]["error"] and first.completed is None
    assert "secret" not in first.events[-1]["error"]
    assert second.completed is not None


def test_what_was_told_is_not_told_again(queue):
    job = queue.add(steps(2))
    until(lambda: job.ended)
    assert jobs.described(queue, job, told=2) == [DONE]
    assert jobs.described(queue, job, told=3) == []


def test_the_photograph_is_dropped_with_the_work(queue):
    job = queue.add(steps(1))
    until(lambda: job.ended and not hasattr(job, "work"))
