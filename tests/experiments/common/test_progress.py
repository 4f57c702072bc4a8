"""What a long job tells: lines four times a minute, or a bar on a terminal."""

import io
import sys

import pytest
import tqdm

from experiments.common import progress


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(tqdm.std, "time", clock)
    return clock


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_a_sentence_is_printed_at_once(capsys):
    progress.say("compiling")
    assert lines(capsys) == ["compiling"]


def test_the_first_line_comes_at_once_and_knows_no_rate(clock, capsys):
    job = progress.Progress("net", unit="steps")
    clock.now += 20.0  # of compilation
    job.update(50, 0.05, {"loss": 1.23456, "accuracy": 0.5})
    assert lines(capsys)[-1] == (
        "net: 50 of 1000 steps (5 %), ? steps/s, ? left, loss 1.235, accuracy 0.5"
    )


@pytest.mark.parametrize("steps", [1, 2])
def test_the_last_step_is_told_once(clock, capsys, steps):
    job = progress.Progress("net", unit="steps")
    for step in range(1, steps + 1):
        job.update(step, step / steps)
    job.close()
    assert len(lines(capsys)) == steps


def test_further_lines_come_every_quarter_of_a_minute(clock, capsys):
    job, told = progress.Progress("net", unit="steps"), []
    for second in range(1, 62):
        job.update(second, second / 100)
        told += [second] * bool(lines(capsys))
        clock.now += 1.0
    assert told == [1, 16, 31, 46, 61]


def test_rate_and_time_left_are_those_since_the_first_line(clock, capsys):
    job = progress.Progress("net", unit="steps")
    clock.now += 500.0
    job.update(1000, 0.2)
    clock.now += 20.0
    job.update(1500, 0.3, {"loss": 2.0})
    # A tenth took 20 s, so seven tenths take 140 s.
    assert lines(capsys)[-1] == (
        "net: 1500 of 5000 steps (30 %), 25.00 steps/s, 02:20 left, loss 2"
    )


def test_a_job_that_is_ruled_by_the_clock_learns_how_long_it_is(clock, capsys):
    job = progress.Progress("net", unit="steps")
    for step, done in ((10, 0.5), (20, 0.8)):
        job.update(step, done)
        clock.now += 20.0
    assert "20 of 25 steps (80 %)" in lines(capsys)[-1]


def test_the_last_line_comes_in_any_case(clock, capsys):
    job = progress.Progress("net", unit="steps")
    job.update(1, 0.5, {"loss": 1.0})
    job.update(2, 1.0, {"loss": 0.5})  # in no time at all
    job.close()
    assert "2 of 2 steps (100 %)" in lines(capsys)[-1]


def test_a_short_job_is_silent_if_it_may_be(clock, capsys):
    for seconds, told in ((5.0, False), (40.0, True)):
        job = progress.Progress("face", unit="steps", silent_seconds=15.0)
        for step in range(1, 5):
            job.update(step, step / 4)
            clock.now += seconds / 4
        job.close()
        assert bool(lines(capsys)) is told


def test_items_pass_and_are_counted(clock, capsys):
    passed = []
    for item in progress.over("abc", 3, what="reading", unit="pictures"):
        passed.append(item)
        clock.now += 10.0
    assert passed == ["a", "b", "c"]
    assert lines(capsys)[-1].startswith("reading: 3 of 3 pictures (100 %), ")


def test_on_a_terminal_it_is_a_bar(clock, capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    job = progress.Progress("net", unit="steps")
    job.update(1, 0.5)
    job.update(2, 1.0)
    job.close()
    assert "\r" in terminal.getvalue() and "net: 100%|" in terminal.getvalue()
    assert not lines(capsys)
