"""Photographs in memory: who may see them, and when they are forgotten."""

import threading
import time
import types

import pytest

from experiments.page import jobs, sessions
from inpaint_jax.errors import InputError


def job(*, ended):
    found = types.SimpleNamespace(id=str(id(object())), ended=ended, cancelled=False)
    found.cancel = lambda: setattr(found, "cancelled", True)
    return found


def begin(session, found):
    queue = types.SimpleNamespace(add=lambda work: found)
    assert session.begin(queue, None) is found


@pytest.fixture
def clock(monkeypatch):
    now = types.SimpleNamespace(time=0.0)
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now.time)
    return now


def test_names_cannot_be_guessed_and_no_other_is_known():
    kept = sessions.Sessions(most=100)
    names = {kept.add("a.png", b"", None).id for _ in range(50)}
    assert len(names) == 50 and all(len(name) >= 22 for name in names)
    with pytest.raises(sessions.Unknown):
        kept.get("a.png")


def test_a_session_is_forgotten_after_15_minutes_without_a_request(clock):
    kept = sessions.Sessions(most=2)
    session = kept.add("a.png", b"", None)
    clock.time = 14 * 60.0
    assert kept.get(session.id) is session
    clock.time += 14 * 60.0
    assert kept.get(session.id) is session
    clock.time += 15 * 60.0 + 1.0
    with pytest.raises(sessions.Unknown):
        kept.get(session.id)


def test_one_that_is_searched_for_is_not_forgotten(clock):
    kept = sessions.Sessions(most=2)
    session = kept.add("a.png", b"", None)
    begin(session, job(ended=False))
    clock.time = 3600.0
    assert kept.get(session.id) is session


def test_of_too_many_the_one_without_requests_for_longest_goes(clock):
    kept = sessions.Sessions(most=2)
    first, second = kept.add("a.png", b"", None), kept.add("b.png", b"", None)
    clock.time = 1.0
    kept.get(first.id)
    third = kept.add("c.png", b"", None)
    assert kept.get(first.id) is first and kept.get(third.id) is third
    with pytest.raises(sessions.Unknown):
        kept.get(second.id)


def test_where_all_are_searched_for_there_is_no_place():
    kept = sessions.Sessions(most=1)
    begin(kept.add("a.png", b"", None), job(ended=False))
    with pytest.raises(jobs.Full):
        kept.add("b.png", b"", None)


def test_a_search_is_known_to_its_own_session_alone():
    kept = sessions.Sessions(most=2)
    one, other = kept.add("a.png", b"", None), kept.add("b.png", b"", None)
    found = job(ended=True)
    begin(one, found)
    assert kept.job(one.id, found.id) is found
    with pytest.raises(sessions.Unknown):
        kept.job(other.id, found.id)


def test_the_last_searches_are_kept():
    session = sessions.Sessions(most=1).add("a.png", b"", None)
    added = [job(ended=True) for _ in range(5)]
    for each in added:
        begin(session, each)
    assert session.jobs == added[2:]


def test_a_session_has_one_search_at_a_time_whoever_asks_first():
    session = sessions.Sessions(most=1).add("a.png", b"", None)
    together, refused = threading.Barrier(8), []

    def slow(work):
        time.sleep(0.01)
        return job(ended=False)

    def ask():
        together.wait()
        try:
            session.begin(types.SimpleNamespace(add=slow), None)
        except InputError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(session.jobs) == 1 and len(refused) == 7


def test_a_dropped_session_cancels_its_searches():
    kept = sessions.Sessions(most=1)
    session = kept.add("a.png", b"", None)
    begin(session, found := job(ended=False))
    kept.drop(session.id)
    assert found.cancelled
    with pytest.raises(sessions.Unknown):
        kept.get(session.id)
    kept.drop("nothing")
