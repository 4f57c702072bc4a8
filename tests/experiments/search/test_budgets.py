"""Each method gets the steps that fit in the time of the baseline."""

import types

import pytest

from experiments.search import budgets
from inpaint_jax.errors import InputError
from inpaint_jax.search.settings import Settings

SECONDS = {"none": 0.5, "slow": 0.8, "glacial": 100.0, "noisy": 0.4, "short": 0.8}
FEWER = {"short": {"restarts": 1, "iterations": 5}}


class Clock:
    """Time that passes when a search runs; the first searches, which compile, drag."""

    def __init__(self):
        self.now, self.turns = 0.0, []

    def perf_counter(self):
        return self.now

    def search(self, method, inputs, problems, *, at_once):
        assert inputs == ["face"] and problems == ["problem of face"]
        first = method.name not in self.turns
        outlier = len(self.turns) == 6
        self.turns.append(method.name)
        self.now += SECONDS[method.name] * (50 if first or outlier else 1)


def method(name, **changes):
    settings = Settings(restarts=4, iterations=30, patience=0)
    settings = vars(settings) | changes
    return types.SimpleNamespace(
        name=name,
        settings=Settings(**settings),
        guides=types.SimpleNamespace(problem=lambda case: (f"problem of {case}", {})),
    )


def test_steps_are_as_many_as_fit(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(budgets, "time", clock)
    monkeypatch.setattr(budgets.search_methods, "search", clock.search)
    monkeypatch.setattr(budgets.search_methods, "with_stages", lambda m, stages: m)
    found = budgets.measure(
        {name: method(name, **FEWER.get(name, {})) for name in SECONDS},
        ["face"],
        baseline="none",
        at_once=2,
    )
    assert {name: plan["iterations"] for name, plan in found.items()} == {
        "none": 30,
        "slow": round(30 * 0.5 / 0.8),
        "glacial": 1,
        "noisy": 30,
        "short": 5,  # as it asked for
    }
    assert found["short"]["restarts"] == 1
    slow = found["slow"]
    assert slow["planned_seconds"] == pytest.approx(
        slow["iterations"] * slow["step_seconds"]
    )
    assert found["none"]["step_seconds"] / slow["step_seconds"] == pytest.approx(0.625)
    # One after the other, not each several times in a row.
    assert clock.turns[:10] == [*SECONDS, *SECONDS]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"restarts": 8}, "--restarts"),
        ({"iterations": 31}, "--iterations"),
        ({"restart_schedule": ((4, 30),)}, "--restart_schedule"),
        ({"patience": 1}, "--patience=0"),
    ],
)
def test_what_cannot_take_equal_time_is_refused(changes, words):
    prepared = {"none": method("none"), "other": method("other", **changes)}
    with pytest.raises(InputError, match="method other") as refused:
        budgets.check(prepared, baseline="none")
    assert words in str(refused.value)
    budgets.check({"none": method("none")}, baseline="none")


def test_steps_can_be_equal_in_place_of_time(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(budgets, "time", clock)
    monkeypatch.setattr(budgets.search_methods, "search", clock.search)
    monkeypatch.setattr(budgets.search_methods, "with_stages", lambda m, stages: m)
    prepared = {name: method(name) for name in SECONDS}
    found = budgets.measure(
        prepared, ["face"], baseline="none", at_once=2, equal="steps"
    )
    assert {plan["iterations"] for plan in found.values()} == {30}
    assert not clock.turns  # nothing is measured that nothing depends on
    assert {plan["step_seconds"] for plan in found.values()} == {0.0}
