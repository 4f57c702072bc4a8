"""Logs continue without a seam, sheets put pictures where they belong."""

import json

import numpy as np

from experiments.common import reporting


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_log_drops_what_was_written_after_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = reporting.JsonLines(path)
    for step in (10, 20, 30):
        log.append(step=step, loss=step / 10)
    with open(path, "a") as file:
        file.write('{"step": 40, "lo')
    log = reporting.JsonLines(path, resume_after=20)
    log.append(step=30, loss=float("nan"))
    assert read(path) == [
        {"step": 10, "loss": 1.0},
        {"step": 20, "loss": 2.0},
        {"step": 30, "loss": None},
    ]


def test_a_new_log_replaces_an_old_one_with_its_first_line(tmp_path):
    path = tmp_path / "trace.jsonl"
    reporting.JsonLines(path).append(step=1)
    log = reporting.JsonLines(path)
    assert read(path) == [{"step": 1}]
    log.append(step=2)
    log.append(step=3)
    assert read(path) == [{"step": 2}, {"step": 3}]


def test_sheet_places_pictures_and_leaves_the_rest_white():
    a, b, c = (np.full((3, 4, 3), value, np.uint8) for value in (10, 20, 30))
    sheet = reporting.sheet([[a, b], [c]])
    assert sheet.shape == (2 * 5 + 2, 2 * 6 + 2, 3)
    assert (sheet[2:5, 2:6] == 10).all() and (sheet[2:5, 8:12] == 20).all()
    assert (sheet[7:10, 2:6] == 30).all() and (sheet[7:10, 8:12] == 255).all()
    assert (sheet[:2] == 255).all() and (sheet[5:7] == 255).all()
    large = reporting.sheet([[a, b], [c]], enlarge=3)
    np.testing.assert_array_equal(large[::3, ::3], sheet)


def test_a_captioned_sheet_is_the_sheet_beside_its_words():
    a, b, c = (np.full((30, 40, 3), value, np.uint8) for value in (10, 20, 30))
    rows, headings = [[a, b], [c]], ["input", "completed"]
    sheet = reporting.sheet(rows, enlarge=2)
    height, width = sheet.shape[:2]
    named = reporting.captioned_sheet(
        rows, headings=headings, names=["first", "second"], enlarge=2
    )
    np.testing.assert_array_equal(named[-height:, -width:], sheet)
    top, left = named.shape[0] - height, named.shape[1] - width
    over = (named[:top, left:] < 128).any(axis=(0, 2))
    assert over[: width // 2].any() and over[width // 2 :].any()
    beside = (named[top:, :left] < 128).any(axis=(1, 2))
    assert beside[: height // 2].any() and beside[height // 2 :].any()
    plain = reporting.captioned_sheet(rows, headings=headings, enlarge=2)
    np.testing.assert_array_equal(plain[-height:], sheet)


def test_environment_names_versions_and_device():
    environment = reporting.environment()
    assert environment["versions"]["jax"] and environment["device"]
    json.dumps(environment, allow_nan=False)
