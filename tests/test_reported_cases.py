"""The checks of reported cases see what is wrong, and their tests are there."""

import ast
import pathlib

import numpy as np
import pytest

from tests import drawn
from tests.reported import running, table

TESTS = pathlib.Path(__file__).parent
HOLE = running.box_hole((20, 30), (5, 6, 14, 11))


def test_each_case_has_a_test_that_is_there():
    numbers = [reported.folder.partition("-")[0] for reported in table.CASES]
    assert len(numbers) == len(set(numbers)) == 31
    for reported in table.CASES:
        file, _, name = reported.test.partition("::")
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        functions = [x.name for x in tree.body if isinstance(x, ast.FunctionDef)]
        assert name in functions, reported


def test_each_case_begins_with_its_number():
    for reported in table.CASES:
        assert (reported.run.__doc__ or "").startswith(reported.folder[:2] + ": ")


def filled(seed=1):
    """A picture, and the same with another hole."""
    before = drawn.noise(20, 30, 3)
    return before, np.where(HOLE[..., None], drawn.noise(20, 30, 3, seed=seed), before)


def test_a_box_has_its_right_and_lower_edge():
    assert HOLE.sum() == 10 * 6 and HOLE[11, 14] and not HOLE[12, 14]


def test_a_picture_that_is_put_back_is_right():
    check = running.put_back(*filled(), HOLE)
    assert check.holds and check.seen.startswith("30 x 20, 100% of the hole")


def test_what_is_not_put_back_is_wrong():
    before, after = filled()
    assert not running.put_back(before, after[:-1], HOLE).holds
    assert not running.put_back(before, before, HOLE).holds
    after[0, 0] ^= 1
    assert not running.put_back(before, after, HOLE).holds
    after[0, 0] ^= 1
    after[5, 5] ^= 1
    assert not running.put_back(before, after, HOLE).holds
    assert running.put_back(before, after, HOLE, grown=1).holds


@pytest.mark.parametrize(
    ("code", "output"),
    [
        (1, "error: a.png: no picture."),
        (2, "a.png: no picture."),
        (2, "error: b.png: no picture."),
        (2, "error: a.png: no picture.\nerror: b.png: no picture."),
        (2, "Traceback (most recent call last):\nerror: a.png: no picture."),
    ],
)
def test_only_one_sentence_with_its_words_is_a_refusal(code, output):
    right = running.Ended(2, "on the CPU\nerror: a.png: no picture.\n", 0.0)
    assert right.refused("a.png", "picture").holds
    assert not running.Ended(code, output, 0.0).refused("a.png", "picture").holds


def test_a_traceback_is_no_success():
    assert running.Ended(0, "done", 0.0).done().holds
    assert not running.Ended(1, "done", 0.0).done().holds
    assert not running.Ended(0, "Traceback (most recent", 0.0).done().holds


def test_the_psnr_of_a_hole_looks_at_nothing_else():
    before, after = filled()
    error = (before[HOLE].astype(float) - after[HOLE]) ** 2
    expected = 10 * np.log10(255**2 / error.mean())
    assert running.psnr(before, after, HOLE) == pytest.approx(expected)
