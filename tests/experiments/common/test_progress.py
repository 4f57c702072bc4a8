"""What a long job prints: at once, four times a minute, and at its end."""

import pytest

from experiments.common import progress


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_the_first_line_comes_at_once_and_knows_no_rate(clock, capsys):
    tells = progress.Progress("net")
    tells.say("compiling")
    clock.now += 20.0  # of compilation
    tells.update(50, 0.05, {"loss": 1.23456, "share": 0.5})
    assert lines(capsys) == [
        "net: compiling",
        "net: step 50 (5%); loss 1.235, share 0.5",
    ]


def test_further_lines_come_every_quarter_of_a_minute(clock, capsys):
    tells, told = progress.Progress("net"), []
    for second in range(61):
        tells.update(second, second / 100, {})
        told += [second] * len(lines(capsys))
        clock.now += 1.0
    assert told == [0, 15, 30, 45, 60]


def test_rate_and_time_left_are_those_since_the_first_line(clock, capsys):
    tells = progress.Progress("net")
    clock.now += 500.0
    tells.update(1000, 0.2, {})
    clock.now += 20.0
    tells.update(1500, 0.3, {"loss": 2.0})
    # A tenth took 20 s, so seven tenths take 140 s.
    assert lines(capsys)[1] == "net: step 1,500 (30%), 25 steps/s, 2 min left; loss 2"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(89.0, "89 s"), (91.0, "2 min"), (5340.0, "89 min"), (5460.0, "1.5 h")],
)
def test_time_left_is_told_in_a_unit_that_fits(clock, capsys, seconds, words):
    tells = progress.Progress("net")
    tells.update(0, 0.0, {})
    clock.now += seconds
    tells.update(10, 0.5, {})
    assert f"(50%), {10 / seconds:.3g} steps/s, {words} left;" in lines(capsys)[1]


def test_the_last_line_comes_in_any_case(clock, capsys):
    tells = progress.Progress("net")
    tells.update(1, 0.5, {"loss": 1.0})
    tells.update(2, 1.0, {"loss": 0.5}, last=True)  # in no time at all
    assert lines(capsys)[1] == "net: step 2 (100%), 0 s left; loss 0.5"
